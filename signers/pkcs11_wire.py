"""What the daemon and the process that holds the token say to each other: one message is one packet."""

from __future__ import annotations

from typing import Literal

import msgspec

from signers.base import PinError, SignerError, SignerErrorKind
from signers.pkcs11_place import KeyPlace

MAX_PACKET = 16384
# A name without meaning for the module: its own variables keep their names.
SOCKET_VARIABLE = "FEDSM_HSM_SOCKET"


class Open(msgspec.Struct, frozen=True, tag=True):
    """Load the module, log in, find the key. The first message, and only once."""

    place: KeyPlace
    pin: str | None
    allow_extractable: bool


class Sign(msgspec.Struct, frozen=True, tag=True):
    """Sign 32 bytes by the mechanism that was told in Opened."""

    data: bytes


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The key is there. ``token`` names where; ``mechanism`` is what it signs by."""

    public_key: bytes
    token: str
    mechanism: Literal["CKM_ECDSA", "CKM_ECDSA_SHA256"]


class Signed(msgspec.Struct, frozen=True, tag=True):
    """r and s as the token gave them, 64 bytes, neither verified nor low-S."""

    signature: bytes


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A SignerError (``pin``: a PinError) on the other side."""

    kind: SignerErrorKind
    message: str
    pin: bool

    @classmethod
    def of(cls, error: SignerError) -> Failed:
        """The message of an error; cut, so that a token's long names cannot make it too large to send."""
        return cls(error.kind, error.message[:2000], isinstance(error, PinError))

    def error(self) -> SignerError:
        """The error of a message."""
        return PinError(self.message) if self.pin else SignerError(self.kind, self.message)


Request = Open | Sign
Reply = Opened | Signed | Failed
encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
