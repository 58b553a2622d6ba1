"""Signs and merges transactions as signrawtransaction does: legacy inputs of keys, multisigs and P2SH multisigs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.devnet import connect, encoding
from fedsm.devnet.checkers import InputChecker
from fedsm.devnet.coins import MEMPOOL_HEIGHT, Coin
from fedsm.devnet.encoding import STANDARD
from fedsm.devnet.ocean.proof import SIGN
from fedsm.devnet.ocean.writing import write_transaction
from fedsm.devnet.script_types import multisig_parts, script_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.chains.transaction import Transaction, TxOutput
    from fedsm.devnet.ocean.wallet import Keys

SIGHASHES = {
    "ALL": 1,
    "NONE": 2,
    "SINGLE": 3,
    "ALL|ANYONECANPAY": 0x81,
    "NONE|ANYONECANPAY": 0x82,
    "SINGLE|ANYONECANPAY": 0x83,
}


@dataclass(frozen=True)
class InputSigner:
    """Signs input ``index`` of ``transaction``, which spends ``spent``, with the keys it has."""

    transaction: Transaction
    index: int
    spent: TxOutput
    keys: Keys
    sighash: int

    def items(self) -> list[bytes]:
        """What the scriptSig pushes: as much as the keys can give."""
        script = self.spent.script
        if not encoding.is_p2sh(script):
            return self._items_for(script)
        redeem = self.keys.redeem_scripts.get(script[2:22])
        return [] if redeem is None else [*self._items_for(redeem), redeem]

    def merge(self, mine: list[bytes], other: list[bytes]) -> list[bytes]:
        """Two sets of pushes for the input as one, each signature of a multisig with its key."""
        script = self.spent.script
        if not encoding.is_p2sh(script):
            return self._merge_for(script, mine, other)
        if not mine or not mine[-1]:
            return other
        if not other or not other[-1]:
            return mine
        return [*self._merge_for(mine[-1], mine[:-1], other[:-1]), mine[-1]]

    def _items_for(self, script: bytes) -> list[bytes]:
        kind = script_type(script)
        if kind == "pubkeyhash":
            pair = self.keys.by_hash(script[3:23])
            return [] if pair is None else [self._sign(script, pair.secret), pair.public]
        held = self.keys.by_public_key()
        if kind == "pubkey":
            return [self._sign(script, held[script[1:-1]])] if script[1:-1] in held else []
        parts = multisig_parts(script)
        if parts is None:
            return []
        usable = [held[key] for key in parts[1] if key in held][: parts[0]]
        return [b"", *(self._sign(script, secret) for secret in usable)]

    def _merge_for(self, script: bytes, mine: list[bytes], other: list[bytes]) -> list[bytes]:
        parts = multisig_parts(script)
        if parts is None:
            usable = mine and mine[0]
            return mine if usable or script_type(script) not in ("pubkey", "pubkeyhash") else other
        needed, keys = parts
        checker = InputChecker(self.transaction, self.index, self.spent, range_proofs=False)
        found: dict[bytes, bytes] = {}
        for signature in sorted({item for item in [*mine, *other] if item}):
            fits = (
                k for k in keys if k not in found and checker.check_signature(signature, k, script, segwit=False)
            )
            key = next(fits, None)
            if key is not None:
                found[key] = signature
        placed = [found[key] for key in keys if key in found][:needed]
        return [b"", *placed, *[b""] * (needed - len(placed))]

    def _sign(self, script: bytes, secret: bytes) -> bytes:
        digest = wally.tx_get_elements_signature_hash(
            self.transaction.handle, self.index, script, None, self.sighash, 0
        )
        der = wally.ec_sig_to_der(wally.ec_sig_from_bytes(secret, digest, SIGN))
        return bytes(der) + bytes([self.sighash])


def sign_input(variants: Sequence[Transaction], signer: InputSigner) -> bytes:
    """The scriptSig of an input with our signatures and those of all the variants of the transaction."""
    items = signer.items()
    for variant in variants:
        if signer.index < len(variant.inputs):
            items = signer.merge(items, _pushes(variant.inputs[signer.index].script_sig))
    return b"".join(_push(item) for item in items)


def with_script_sig(transaction: Transaction, index: int, script_sig: bytes) -> Transaction:
    """The transaction, which has no witness, with another scriptSig for one input."""
    inputs = list(transaction.inputs)
    inputs[index] = replace(inputs[index], script_sig=script_sig)
    return write_transaction(
        inputs, transaction.outputs, version=transaction.version, locktime=transaction.locktime
    )


def failure_of(transaction: Transaction, index: int, spent: TxOutput) -> str | None:
    """The node's text for why the input is not satisfied; None when it is."""
    coins = [Coin(spent, MEMPOOL_HEIGHT, coinbase=False)] * len(transaction.inputs)
    return connect.script_failure(transaction, index, coins, STANDARD)


def _pushes(script: bytes) -> list[bytes]:
    try:
        return [data for _, data in encoding.opcodes(script)]
    except ValueError:
        return []


def _push(item: bytes) -> bytes:
    return encoding.push(item) if item else b"\x00"
