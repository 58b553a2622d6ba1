"""A member's directory: its keys, its card, and the configuration of its daemon.

member.key    block-signing key, mode 600 (not there when the key is held elsewhere)
member.curve  CURVE key for encrypted links, mode 600
card.toml     what the others need, public
fedsm.toml    configuration: fedsm --config fedsm.toml; made once, then it is the operator's
state/        guard, identity and evidence, made by the daemon
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedsm.ceremony.card import MemberCard, check_signing_key, check_words, read_card
from fedsm.ceremony.files import PRIVATE, PUBLIC, make_private_directory, replace, write_new
from fedsm.errors import FedsmError
from signers.base import SignerError
from signers.software import SoftwareSigner, generate_key, load_key, write_key_file
from transports import curve
from transports.base import TransportError

KEY_FILE = "member.key"
CURVE_FILE = "member.curve"
CARD_FILE = "card.toml"
CONFIGURATION_FILE = "fedsm.toml"
STATE = "state"
WIF_PREFIX = 239


class MemberDirectory:
    """The directory at ``path``. Keys in it are made once and never overwritten."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def card(self) -> MemberCard:
        """The card that was made here. FedsmError if there is none."""
        if not (self.path / CARD_FILE).exists():
            raise FedsmError(f"{self.path} is no member's directory: there is no {CARD_FILE}, run fedsm init")
        return read_card(str(self.path / CARD_FILE))

    @property
    def configuration(self) -> Path:
        """The daemon's configuration file."""
        return self.path / CONFIGURATION_FILE

    def make(
        self, *, chain: str, name: str, address: str, public_key: str | None, node: Mapping[str, object]
    ) -> MemberCard:
        """Make what is missing; keys that are there stay. ``public_key`` is that of a key held elsewhere.

        ``node`` are settings of fedsm.toml about the node. FedsmError when something there contradicts this.
        """
        # Whatever can be wrong with the words is found before anything is written.
        check_words(chain, name, address)
        if public_key is not None:
            check_signing_key(public_key)
        make_private_directory(self.path)
        card = MemberCard(chain, name, address, public_key or self._signing_key(), self._curve_key())
        self._write_card(card)
        settings: dict[str, object] = {} if public_key is not None else {"key-file": str(self.path / KEY_FILE)}
        settings |= {"curve-key-file": str(self.path / CURVE_FILE), "datadir": str(self.path / STATE), **node}
        if not self.configuration.exists():
            write_new(self.configuration, toml_of(settings), PRIVATE)
        return card

    def _write_card(self, card: MemberCard) -> None:
        """A card may get another name or address, but not another key or chain."""
        path = self.path / CARD_FILE
        if path.exists():
            known = self.card
            for field in ("public_key", "chain"):
                if getattr(known, field) != getattr(card, field):
                    raise FedsmError(
                        f"{path} is of {field} {getattr(known, field)}, not {getattr(card, field)}: use another "
                        "directory"
                    )
        replace(path, card.toml, PUBLIC)

    def _signing_key(self) -> str:
        """The public key of member.key, which is made if there is none."""
        path = self.path / KEY_FILE
        try:
            if not path.exists():
                write_key_file(path, generate_key(), WIF_PREFIX)
            return SoftwareSigner(load_key(path)).public_key.hex()
        except SignerError as error:
            raise FedsmError(str(error)) from None

    def _curve_key(self) -> str:
        path = self.path / CURVE_FILE
        try:
            if not path.exists():
                curve.write_key_file(path, curve.make_pair())
            return curve.load_key_file(path).public_text
        except TransportError as error:
            raise FedsmError(str(error)) from None

    def configured(self) -> dict[str, Any]:
        """What fedsm.toml says. FedsmError if it cannot be read."""
        try:
            return tomllib.loads(self.configuration.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise FedsmError(f"{self.configuration}: {error}") from None

    def check_settings(self, settings: Mapping[str, object]) -> None:
        """FedsmError if one of these settings stands in fedsm.toml with another value."""
        known = self.configured()
        for name, value in settings.items():
            if name in known and known[name] != value:
                raise FedsmError(f"{self.configuration} has {name} = {known[name]!r}, not {value!r}: correct it")

    def configure(self, settings: Mapping[str, object]) -> None:
        """Add those of the settings to fedsm.toml that are not there."""
        known = self.configured()
        missing = {name: value for name, value in settings.items() if name not in known}
        if missing:
            text = self.configuration.read_text(encoding="utf-8")
            # In front: what stands after a table would be of that table.
            replace(self.configuration, toml_of(missing) + text, PRIVATE)


def toml_of(settings: Mapping[str, object]) -> str:
    """Settings as lines of TOML; strings and numbers only."""
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings.items())
