"""The transactions that wait for a block. Not thread-safe: the owning node holds its lock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedsm.chains.header import display_hash
from fedsm.devnet import connect, policy, rules
from fedsm.devnet.coins import MEMPOOL_HEIGHT, Coin
from fedsm.devnet.rejection import Rejection
from fedsm.devnet.replacement import check_replacement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.chainstate import ChainState
    from fedsm.devnet.connect import ScriptCache

REPLACEABLE = 0xFFFF_FFFD  # the highest sequence number that signals replaceability (BIP 125)
MOST_RELATIVES = 25  # unconfirmed ancestors or descendants, the transaction itself included


@dataclass(eq=False)
class MempoolEntry:
    """One waiting transaction: its fee in satoshi of the policy asset, when it came (seconds) and kin."""

    transaction: Transaction
    fee: int
    time: int
    height: int
    parents: set[MempoolEntry] = field(default_factory=set)
    children: set[MempoolEntry] = field(default_factory=set)
    unbroadcast: bool = False

    @property
    def txid(self) -> bytes:
        """Internal order."""
        return self.transaction.txid

    def ancestors(self) -> set[MempoolEntry]:
        """Itself and every waiting transaction it builds on."""
        return _closure(self, "parents")

    def descendants(self) -> set[MempoolEntry]:
        """Itself and every waiting transaction that builds on it."""
        return _closure(self, "children")

    @property
    def replaceable(self) -> bool:
        """Whether the transaction or one it builds on signals replaceability (BIP 125)."""
        return any(_signals(entry.transaction) for entry in self.ancestors())


class Mempool:
    """Waiting transactions by txid, with the coins they spend."""

    def __init__(self, chain: ChainState, cache: ScriptCache, *, require_standard: bool = True) -> None:
        self.chain = chain
        self.require_standard = require_standard
        self.entries: dict[bytes, MempoolEntry] = {}
        self.sequence = 1  # counts additions and removals, for getrawmempool's mempool_sequence
        self._cache = cache
        self._spenders: dict[bytes, MempoolEntry] = {}

    def get(self, outpoint: bytes) -> Coin | None:
        """A coin of the chain or of a waiting transaction; one that a waiting transaction spends included."""
        parent = self.entries.get(outpoint[:32])
        if parent is None:
            return self.chain.coins.get(outpoint)
        index = int.from_bytes(outpoint[32:], "little")
        outputs = parent.transaction.outputs
        if index >= len(outputs) or outputs[index].is_unspendable:
            return None
        return Coin(outputs[index], MEMPOOL_HEIGHT, coinbase=False)

    def is_spent(self, outpoint: bytes) -> bool:
        """Whether a waiting transaction spends the coin."""
        return outpoint in self._spenders

    def accept(self, transaction: Transaction, now: float, *, only_test: bool = False) -> MempoolEntry:
        """Check a transaction and take it in. Raises Rejection with the node's reason."""
        conflicts = self._check_form(transaction)
        spent = self._check_coins(transaction)
        entry = self._new_entry(transaction, now)
        if self.require_standard:
            policy.check_standard_inputs(transaction, spent)
            if entry.fee and policy.dust_outputs(transaction, self.chain.params.policy_asset):
                raise Rejection("dust", "tx with dust output must be 0-fee")
        self._check_fee(entry)
        self._check_relatives(entry)
        replaced = check_replacement(entry, conflicts, self.entries)
        connect.check_standard_scripts(transaction, spent, self.chain.script_rules)
        connect.check_scripts(transaction, spent, self.chain.script_rules, self._cache)
        if not only_test:
            self._remove(replaced)
            self._add(entry)
        return entry

    def block_connected(self, transactions: Iterable[Transaction]) -> None:
        """Drop what a block confirmed, and what conflicts with it."""
        for transaction in transactions:
            entry = self.entries.get(transaction.txid)
            if entry is not None:
                self._remove([entry])
            for spending in transaction.inputs:
                conflict = self._spenders.get(spending.outpoint)
                if conflict is not None:
                    self._remove(conflict.descendants())

    def blocks_disconnected(self, transactions: Iterable[Transaction], now: float) -> None:
        """Take back the transactions of blocks that left the chain, as far as they still are valid."""
        waiting = [entry.transaction for entry in self.in_order()]
        self.entries.clear()
        self._spenders.clear()
        for transaction in [*transactions, *waiting]:
            self.offer(transaction, now)

    def offer(self, transaction: Transaction, now: float) -> bool:
        """Take a transaction in if it is valid; tell whether it was."""
        try:
            self.accept(transaction, now)
        except Rejection:
            return False
        return True

    def in_order(self) -> list[MempoolEntry]:
        """All entries, every one behind those it builds on."""
        return list(self.entries.values())

    def _check_form(self, transaction: Transaction) -> list[MempoolEntry]:
        """Everything before coins are looked up; returns entries that spend the same coins."""
        rules.check_transaction(transaction)
        if transaction.is_coinbase:
            raise Rejection("coinbase")
        if self.require_standard:
            policy.check_standard(transaction, self.chain.params.policy_asset)
        if transaction.base_size < policy.LEAST_BASE_SIZE:
            raise Rejection("tx-size-small")
        tip = self.chain.tip
        if not rules.is_final(transaction, tip.height + 1, tip.median_time):
            raise Rejection("non-final")
        known = self.entries.get(transaction.txid)
        if known is not None:
            same = known.transaction.wtxid == transaction.wtxid
            raise Rejection("txn-already-in-mempool" if same else "txn-same-nonwitness-data-in-mempool")
        spenders = (self._spenders.get(spending.outpoint) for spending in transaction.inputs)
        conflicts = list(dict.fromkeys(entry for entry in spenders if entry is not None))
        if not all(_signals(entry.transaction) for entry in conflicts):
            raise Rejection("txn-mempool-conflict")
        return conflicts

    def _check_coins(self, transaction: Transaction) -> list[Coin]:
        if transaction.has_pegin_witness:
            raise Rejection("extra-pegin-witness")
        if any(spending.is_pegin for spending in transaction.inputs):
            raise Rejection("pegin-no-witness", "this chain has no parent to peg in from")
        if any(self.get(spending.outpoint) is None for spending in transaction.inputs):
            outputs = range(len(transaction.outputs))
            if any(self.chain.coins.get(transaction.outpoint(index)) for index in outputs):
                raise Rejection("txn-already-known")
            raise Rejection("bad-txns-inputs-missingorspent")
        height = self.chain.tip.height + 1
        coins = connect.check_inputs(transaction, self, height, self.chain.rules)
        if not connect.check_relative_locks(transaction, coins, self.chain.tip):
            raise Rejection("non-BIP68-final")
        return coins

    def _new_entry(self, transaction: Transaction, now: float) -> MempoolEntry:
        fee = transaction.fees.get(self.chain.params.policy_asset, 0)
        entry = MempoolEntry(transaction, fee, int(now), self.chain.tip.height)
        sources = (self.entries.get(spending.outpoint[:32]) for spending in transaction.inputs)
        entry.parents = {source for source in sources if source is not None}
        return entry

    def _check_fee(self, entry: MempoolEntry) -> None:
        needed = policy.fee_for(entry.transaction.vsize)
        if entry.fee < needed:
            raise Rejection("min relay fee not met", f"{entry.fee} < {needed}")

    def _check_relatives(self, entry: MempoolEntry) -> None:
        ancestors = entry.ancestors()
        if len(ancestors) > MOST_RELATIVES:
            detail = f"too many unconfirmed ancestors [limit: {MOST_RELATIVES}]"
            raise Rejection("too-long-mempool-chain", detail)
        for ancestor in ancestors - {entry}:
            if len(ancestor.descendants()) >= MOST_RELATIVES:
                name = display_hash(ancestor.txid)
                detail = f"too many descendants for tx {name} [limit: {MOST_RELATIVES}]"
                raise Rejection("too-long-mempool-chain", detail)

    def _add(self, entry: MempoolEntry) -> None:
        self.entries[entry.txid] = entry
        self.sequence += 1
        for parent in entry.parents:
            parent.children.add(entry)
        for spending in entry.transaction.inputs:
            self._spenders[spending.outpoint] = entry

    def _remove(self, entries: Iterable[MempoolEntry]) -> None:
        for entry in entries:
            del self.entries[entry.txid]
            self.sequence += 1
            for parent in entry.parents:
                parent.children.discard(entry)
            for child in entry.children:
                child.parents.discard(entry)
            for spending in entry.transaction.inputs:
                del self._spenders[spending.outpoint]


def _closure(start: MempoolEntry, name: str) -> set[MempoolEntry]:
    found, todo = {start}, [start]
    while todo:
        kin: set[MempoolEntry] = getattr(todo.pop(), name)
        new = kin - found
        found |= new
        todo.extend(new)
    return found


def _signals(transaction: Transaction) -> bool:
    return any(spending.sequence <= REPLACEABLE for spending in transaction.inputs)
