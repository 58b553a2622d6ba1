"""What a node with -recordinflation remembers of issuances and freezes: in memory alone, and for ever.

A reorganisation takes nothing back, and after a restart nothing is left until the chain is scanned again (-rescan,
or an import with rescan).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fedsm.chains.transaction import issued_assets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fedsm.chains.transaction import Transaction

FREEZE_SCRIPT = b"\x76\xa9\x14" + bytes(20) + b"\x88\xac"  # an output to this "address" freezes its transaction
OP_RETURN = 0x6A


@dataclass(frozen=True)
class FrozenOutput:
    """A P2PKH output of a freezing transaction: asset (32 bytes, internal order), satoshi, and the heights at which
    it was frozen and spent (0: it is still frozen)."""

    outpoint: bytes
    asset: bytes
    value: int
    start: int
    end: int = 0


class Records:
    """Entropy and token by asset, and the history of freezes."""

    def __init__(self) -> None:
        self.issuances: dict[bytes, tuple[bytes, bytes]] = {}
        self.freezes: dict[bytes, FrozenOutput] = {}

    def scan(self, transactions: Iterable[Transaction], height: int) -> None:
        """Take in the transactions of a block."""
        for transaction in transactions:
            self._note_issuance(transaction)
            self._note_freeze(transaction, height)
            if not _burns(transaction):
                self._note_spends(transaction, height)

    def _note_issuance(self, transaction: Transaction) -> None:
        first = transaction.inputs[0]
        if first.issuance is not None and not first.issuance.is_reissuance:
            entropy, asset, token = issued_assets(first, first.issuance)
            self.issuances.setdefault(asset, (entropy, token))

    def _note_freeze(self, transaction: Transaction, height: int) -> None:
        if not any(output.script == FREEZE_SCRIPT for output in transaction.outputs):
            return
        for index, output in enumerate(transaction.outputs):
            outpoint = transaction.outpoint(index)
            if _is_p2pkh(output.script) and output.script != FREEZE_SCRIPT and outpoint not in self.freezes:
                self.freezes[outpoint] = FrozenOutput(outpoint, output.asset[1:], output.satoshi or 0, height)

    def _note_spends(self, transaction: Transaction, height: int) -> None:
        for spending in transaction.inputs:
            frozen = self.freezes.get(spending.outpoint)
            if frozen is not None:
                self.freezes[spending.outpoint] = replace(frozen, end=height)


def _is_p2pkh(script: bytes) -> bool:
    return len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac"


def _burns(transaction: Transaction) -> bool:
    return any(output.script[:1] == bytes([OP_RETURN]) and (output.satoshi or 0) for output in transaction.outputs)
