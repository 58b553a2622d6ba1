"""Replacement of waiting transactions by ones that pay more (BIP 125), as nodes' policy has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.chains.header import display_hash
from fedsm.devnet.policy import fee_for
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedsm.devnet.mempool import MempoolEntry

COIN = 100_000_000


def check_replacement(
    entry: MempoolEntry, conflicts: list[MempoolEntry], waiting: Mapping[bytes, MempoolEntry]
) -> set[MempoolEntry]:
    """The entries that ``entry`` evicts because it spends coins of ``conflicts``. Raises Rejection.

    A replacement must have a higher fee rate than each conflict, add no unconfirmed parents, pay more than
    everything it evicts together, and for its own relay on top.
    """
    name = display_hash(entry.txid)
    _check_ancestry(entry, conflicts, name)
    rate = _rate(entry)
    for old in conflicts:
        if rate <= _rate(old):
            rates = f"new feerate {_text(rate)} BTC/kvB <= old feerate {_text(_rate(old))} BTC/kvB"
            raise Rejection("insufficient fee", f"rejecting replacement {name}; {rates}")
    evicted = {descendant for conflict in conflicts for descendant in conflict.descendants()}
    _check_parents(entry, evicted, waiting, name)
    old_fees = sum(old.fee for old in evicted)
    if evicted and entry.fee < old_fees:
        amounts = f"{_money(entry.fee)} < {_money(old_fees)}"
        detail = f"rejecting replacement {name}, less fees than conflicting txs; {amounts}"
        raise Rejection("insufficient fee", detail)
    extra, needed = entry.fee - old_fees, fee_for(entry.transaction.vsize)
    if evicted and extra < needed:
        amounts = f"{_money(extra)} < {_money(needed)}"
        detail = f"rejecting replacement {name}, not enough additional fees to relay; {amounts}"
        raise Rejection("insufficient fee", detail)
    return evicted


def _check_ancestry(entry: MempoolEntry, conflicts: list[MempoolEntry], name: str) -> None:
    for conflict in entry.ancestors() & set(conflicts):
        detail = f"{name} spends conflicting transaction {display_hash(conflict.txid)}"
        raise Rejection("bad-txns-spends-conflicting-tx", detail)


def _check_parents(
    entry: MempoolEntry, evicted: set[MempoolEntry], waiting: Mapping[bytes, MempoolEntry], name: str
) -> None:
    known = {spending.outpoint[:32] for old in evicted for spending in old.transaction.inputs}
    for place, spending in enumerate(entry.transaction.inputs):
        source = spending.outpoint[:32]
        if evicted and source not in known and source in waiting:
            detail = f"replacement {name} adds unconfirmed input, idx {place}"
            raise Rejection("replacement-adds-unconfirmed", detail)


def _rate(entry: MempoolEntry) -> int:
    """Satoshi per 1000 virtual bytes."""
    return entry.fee * 1000 // entry.transaction.vsize


def _text(satoshi: int) -> str:
    return f"{satoshi // COIN}.{satoshi % COIN:08d}"


def _money(satoshi: int) -> str:
    """An amount as nodes print it in reasons: at least two decimals."""
    whole, decimals = _text(satoshi).split(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
