"""A block-signing key in the node's own wallet, used through the RPCs ``signblock`` and ``signmessage``.

Elements answers ``signblock`` with a list of {pubkey, sig} (sig with a sighash byte in dynafed blocks), Ocean with
a scriptSig in hex: ``00`` and one push for each key it holds. Elements offers it for BDB ("legacy") wallets only.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, Final

from signers.base import (
    SignerError,
    SignerErrorKind,
    checked_block_signature,
    checked_text_signature,
    text_digest,
)
from signers.ecdsa import COMPACT_LENGTH, compact_to_der, der_to_compact, normalise_compact, verify_der

Call = Callable[[str, list[Any]], object]

_SIGHASH_ALL = 1
_MAX_PUSH = 75  # the longest direct push; every DER signature fits
_DYNAFED_BIT = 0x80  # of the last byte of the little-endian version field
_NO_KEY = "the wallet holds no usable key for this block: import the member's key or unlock the wallet"
_TEXTS: Final[dict[int, tuple[SignerErrorKind, str]]] = {
    -4: ("misconfigured", "the wallet cannot sign"),
    -5: ("misconfigured", "the wallet does not hold the key of the configured address"),
    -8: ("misconfigured", "the node does not accept the request"),
    -13: ("unavailable", "the wallet is locked: unlock it with walletpassphrase"),
    -18: ("misconfigured", "the node has no such wallet loaded: load it with loadwallet"),
    -19: ("misconfigured", "the node has several wallets: name one in the RPC address (.../wallet/NAME)"),
    -22: ("refused", "the node cannot decode the block"),
    -28: ("unavailable", "the node is still starting"),
    -32601: ("misconfigured", "the node's wallet is disabled: start it without -disablewallet, or use a key file"),
}
DESCRIPTOR_WALLET = (
    "a descriptor wallet cannot sign blocks: use --key-file or an HSM,"
    " or a BDB wallet (node option -deprecatedrpc=create_bdb)"
)


class WalletSigner:
    """Signs through a node wallet.

    ``call(method, params)`` performs an RPC on the node (with the wallet's URL) and raises an exception with
    ``code`` (int) and ``message`` (str) for an error of the node, any other for a failed connection. ``address``
    is the P2PKH address of the key on this chain, needed for ``sign_text`` only. ``witness_script`` is the
    script behind the chain's current P2WSH signblockscript, needed for dynafed blocks only: after a change of
    federation make a new WalletSigner.
    """

    def __init__(
        self,
        call: Call,
        public_key: bytes,
        *,
        address: str | None = None,
        witness_script: bytes | None = None,
    ) -> None:
        self._call: Call | None = call
        self._public_key = public_key
        self._address = address
        self._witness_script = witness_script

    def __repr__(self) -> str:
        return f"WalletSigner(public_key={self._public_key.hex()})"

    @property
    def public_key(self) -> bytes:
        """The 33-byte compressed public key that the wallet is expected to hold."""
        return self._public_key

    def sign_block(self, digest: bytes, block: bytes) -> bytes:
        """Have the wallet sign the block and check its answer against ``digest``. Raises SignerError.

        The node makes the same checks as ``testproposedblock`` first, so it refuses a block that is not on its tip.
        """
        params: list[Any] = [block.hex()]
        if block[3:4] and block[3] & _DYNAFED_BIT:
            if self._witness_script is None:
                raise SignerError("misconfigured", "a dynafed block needs the federation's witness script")
            params.append(self._witness_script.hex())
        candidates = list(_signatures(self._rpc("signblock", params), self._public_key))
        if not candidates:
            raise SignerError("misconfigured", _NO_KEY)
        # A wallet with several of the federation's keys signs with all of them; only one is ours.
        ours = (der for der in candidates if verify_der(self._public_key, digest, der))
        return checked_block_signature(self._public_key, digest, next(ours, candidates[0]))

    def sign_text(self, text: str) -> bytes:
        """Have the wallet sign the text with ``signmessage``: compact, low-S, verified. Raises SignerError."""
        if self._address is None:
            raise SignerError("misconfigured", "signing a text needs the P2PKH address of the key")
        text_digest(text)
        answer = self._rpc("signmessage", [self._address, text])
        try:
            recoverable = base64.b64decode(answer, validate=True) if isinstance(answer, str) else b""
        except ValueError:
            recoverable = b""
        if len(recoverable) != 1 + COMPACT_LENGTH:
            raise _unexpected("signmessage")
        try:
            compact = normalise_compact(recoverable[1:])
        except ValueError:
            raise _unexpected("signmessage") from None
        return checked_text_signature(self._public_key, text, compact)

    def close(self) -> None:
        """Drop the connection to the node."""
        self._call = None

    def _rpc(self, method: str, params: list[Any]) -> object:
        if self._call is None:
            raise SignerError("unavailable", "the signer is closed")
        try:
            return self._call(method, params)
        except Exception as error:
            raise _explain(method, error) from error


def _explain(method: str, error: Exception) -> SignerError:
    """What a failed RPC means for the operator. An exception without a node's error code is a lost connection."""
    code = getattr(error, "code", None)
    text = " ".join(str(getattr(error, "message", error)).split())
    if not isinstance(code, int):
        return SignerError("unavailable", f"{method}: the node did not answer: {text or type(error).__name__}")
    said = f"{method}: node error {code}: {text}"
    if code == -25:
        return _explain_verdict(said)
    kind, advice = _TEXTS.get(code, ("unavailable", ""))
    if code == -4 and "type of wallet" in said:
        advice = DESCRIPTOR_WALLET
    return SignerError(kind, f"{advice} ({said})" if advice else said)


def _explain_verdict(said: str) -> SignerError:
    """Code -25 of ``signblock``: the node judged the block, or its wallet had no key to grow a signature from."""
    if "Could not sign" in said:
        return SignerError("misconfigured", f"{_NO_KEY} ({said})")
    if "not based on our best chain" in said:
        return SignerError("unavailable", f"the block does not build on the node's tip ({said})")
    return SignerError("refused", f"the node refuses the block ({said})")


def _signatures(answer: object, public_key: bytes) -> Iterator[bytes]:
    """The low-S DER signatures in an answer of ``signblock`` that may be ours, without sighash byte."""
    if isinstance(answer, str):
        for push in _pushes(_unhex(answer)):
            yield _low_s(push)
    elif isinstance(answer, list):
        for entry in answer:
            if not isinstance(entry, dict):
                raise _unexpected("signblock")
            if entry.get("pubkey") == public_key.hex():
                yield _low_s(_unhex(entry.get("sig")))
    else:
        raise _unexpected("signblock")


def _pushes(script_sig: bytes) -> Iterator[bytes]:
    """The direct pushes after the leading 00 of a scriptSig."""
    if script_sig[:1] != b"\x00":
        raise _unexpected("signblock")
    position = 1
    while position < len(script_sig):
        length = script_sig[position]
        push = script_sig[position + 1 : position + 1 + length]
        if not 0 < length <= _MAX_PUSH or len(push) != length:
            raise _unexpected("signblock")
        yield push
        position += 1 + length


def _low_s(signature: bytes) -> bytes:
    # DER states its own length, so a sighash byte is the one byte too many.
    if len(signature) > 2 and len(signature) == signature[1] + 3 and signature[-1] == _SIGHASH_ALL:
        signature = signature[:-1]
    try:
        return compact_to_der(der_to_compact(signature))
    except ValueError:
        raise _unexpected("signblock") from None


def _unhex(text: object) -> bytes:
    try:
        return bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        raise _unexpected("signblock") from None


def _unexpected(method: str) -> SignerError:
    return SignerError("refused", f"the node answered {method} with something that is not a signature")
