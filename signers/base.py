"""What every signer is: one key that signs block digests and texts, and a closed set of ways to fail."""

from __future__ import annotations

from typing import Literal, Protocol

from signers.ecdsa import bitcoin_message_digest, verify_compact, verify_der

SignerErrorKind = Literal["unavailable", "refused", "misconfigured"]


class SignerError(Exception):
    """A signer gave no signature.

    ``kind`` tells what may help: ``unavailable``: it may come back by itself or when it is unlocked, try again;
    ``refused``: not for this request, ever; ``misconfigured``: not before somebody changes the configuration.
    ``message`` is one line for the operator and never holds a secret.
    """

    def __init__(self, kind: SignerErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class PinError(SignerError):
    """A token refused the PIN, or would be locked by one more wrong one: it must not be tried again.

    Not by a restart either, for tokens lock after a few.
    """

    def __init__(self, message: str) -> None:
        super().__init__("misconfigured", message)


class BlockSigner(Protocol):
    """What signs blocks with one key."""

    @property
    def public_key(self) -> bytes:
        """The 33-byte compressed public key."""

    def sign_block(self, digest: bytes, block: bytes) -> bytes:
        """Sign a block: strict-DER low-S signature without sighash byte, verified against the public key.

        ``digest`` is the block hash in internal byte order (32 bytes), ``block`` the serialised block it
        belongs to, for signers that insist on seeing it. Raises SignerError.
        """


class Signer(BlockSigner, Protocol):
    """One block-signing key, wherever it lives. Calls may block for long; none is made from the main thread."""

    def sign_text(self, text: str) -> bytes:
        """Sign the "Bitcoin Signed Message" digest of a text: 64 bytes compact, low-S, verified.

        Raises SignerError.
        """

    def close(self) -> None:
        """Let go of the key; later calls raise SignerError. May be called again."""


def checked_block_signature(public_key: bytes, digest: bytes, der: bytes) -> bytes:
    """The signature, if it may leave a signer: strict DER, low-S, valid. SignerError ``refused`` otherwise."""
    if not verify_der(public_key, digest, der):
        raise SignerError("refused", f"the signature does not verify for key {public_key.hex()} and this block")
    return der


def checked_text_signature(public_key: bytes, text: str, compact: bytes) -> bytes:
    """The compact signature over a text, if it is low-S and valid. SignerError ``refused`` otherwise."""
    if not verify_compact(public_key, text_digest(text), compact):
        raise SignerError("refused", f"the signature does not verify for key {public_key.hex()} and this text")
    return compact


def text_digest(text: str) -> bytes:
    """``bitcoin_message_digest`` with the signers' error: SignerError ``refused`` for an empty or huge text."""
    try:
        return bitcoin_message_digest(text)
    except ValueError as error:
        raise SignerError("refused", str(error)) from None
