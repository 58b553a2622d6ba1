"""Where a key is: which PKCS#11 module, which of its tokens, which key on it, and the words for that."""

from __future__ import annotations

import msgspec

_TOKEN_WORDS = {"token": "label", "serial": "serial", "manufacturer": "manufacturer", "model": "model"}


class KeyPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A private key's place. What is None is left open, and must then fit one token and one key only.

    ``module`` is a file, or a library's name for the system's loader. ``token``, ``serial``, ``manufacturer``,
    ``model`` and ``slot`` name the token, ``label`` (CKA_LABEL) and ``key_id`` (CKA_ID) the key.
    """

    module: str
    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    slot: int | None = None
    label: str | None = None
    key_id: bytes | None = None

    @property
    def token_words(self) -> str:
        """The token that is looked for, as told: ``token with label "x"``."""
        named = {word: getattr(self, name) for name, word in _TOKEN_WORDS.items()}
        said = [f'{word} "{value}"' for word, value in named.items() if value is not None]
        if self.slot is not None:
            said.append(f"slot {self.slot}")
        return f"token with {' and '.join(said)}" if said else "token"

    @property
    def key_words(self) -> str:
        """The key that is looked for, as told: ``private key with label "x"``."""
        said = [] if self.label is None else [f'label "{self.label}"']
        if self.key_id is not None:
            said.append(f"id {self.key_id.hex()}")
        return f"private key with {' and '.join(said)}" if said else "private key"
