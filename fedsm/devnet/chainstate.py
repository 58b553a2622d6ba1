"""One node's chain: the tree of blocks, the active branch and its unspent outputs.

Not thread-safe: the node that owns it holds its lock around every call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fedsm.devnet.coins import CoinSet, CoinView, Undo
from fedsm.devnet.connect import ScriptCache, connect_block
from fedsm.devnet.flavours import rules_of
from fedsm.devnet.index import BlockEntry
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.block import ParsedBlock
    from fedsm.devnet.deployments import Deployments
    from fedsm.devnet.encoding import Flags
    from fedsm.devnet.params import ChainParams

RECORD_OVERHEAD = 8  # bytes that a block takes on a node's disk beside its own
TipStatus = Literal["active", "invalid", "valid-fork", "valid-headers"]


@dataclass
class Change:
    """What an accepted block did.

    ``entry`` is ``None`` for a block that was known already. ``disconnected`` and ``connected`` are the blocks
    that left and joined the active chain, in that order. ``rejection`` is set when the block's own contents
    broke a rule that only connecting it could show.
    """

    entry: BlockEntry | None = None
    disconnected: list[BlockEntry] = field(default_factory=list)
    connected: list[BlockEntry] = field(default_factory=list)
    rejection: Rejection | None = None


class ChainState:
    """Blocks and coins of one node, from the genesis block on."""

    def __init__(self, params: ChainParams, cache: ScriptCache) -> None:
        self.params = params
        self.rules = rules_of(params)
        self.coins = CoinSet()
        self.active: list[BlockEntry] = []
        self.disk_size = 0  # bytes that a node's block files would take
        self._cache = cache
        self._locations: dict[bytes, BlockEntry] = {}  # txid -> block of the active chain
        self._side: set[BlockEntry] = set()  # blocks outside the active chain
        self._headers: set[str] = set()  # good headers that came with contents of other blocks
        block = self.rules.genesis()
        genesis = BlockEntry(block.header, block, None, 0, 0)
        self.entries: dict[str, BlockEntry] = {}
        self._put(genesis)
        view, undo = CoinView(self.coins), Undo()
        for transaction in block.transactions:
            view.add(transaction, 0, undo)
        self._join(genesis, view, undo)

    @property
    def tip(self) -> BlockEntry:
        """The last block of the active chain."""
        return self.active[-1]

    @property
    def genesis(self) -> BlockEntry:
        """The first block."""
        return self.active[0]

    @property
    def script_rules(self) -> Flags:
        """The rules for scripts in the next block."""
        return self.rules.script_rules(self.tip)

    @property
    def deployments(self) -> Deployments:
        """The rule changes of the chain and their states."""
        return self.rules.deployments

    def contains(self, entry: BlockEntry) -> bool:
        """Whether a block is part of the active chain."""
        return entry.height < len(self.active) and self.active[entry.height] is entry

    def accept(self, block: ParsedBlock, now: float) -> Change:
        """Take a block in as submitblock does: check it, store it, and follow the longest valid chain.

        ``now`` is the node's clock in seconds. Raises Rejection when the block cannot be stored at all.
        """
        known = self.entries.get(block.hash)
        self.rules.check_arrival(block, known, now)
        if known is not None:
            return Change()
        parent = self._parent(block)
        self.rules.check_header(block.header, parent, now)
        entry = BlockEntry(block.header, block, parent, parent.height + 1, len(self.entries))
        self._store(entry, parent)
        change = Change(entry)
        self._follow_longest(change)
        return change

    def check_proposal(self, block: ParsedBlock, now: float) -> None:
        """Check an unsigned block on top of the tip as testproposedblock does. Raises Rejection."""
        self.rules.check_header(block.header, self.tip, now)
        self.rules.check_block(block)
        self.rules.check_contents(block, self.tip)
        connect_block(block, self.tip, self.coins, self.rules, self._cache)

    def knows(self, block_hash: str) -> bool:
        """Whether a block's header was accepted before, be the block good or not."""
        return block_hash in self.entries or block_hash in self._headers

    def fork_point(self, entry: BlockEntry) -> BlockEntry:
        """The last block that ``entry``'s branch shares with the active chain."""
        return next(ancestor for ancestor in entry.ancestors() if self.contains(ancestor))

    def tips(self) -> Iterator[tuple[BlockEntry, TipStatus]]:
        """The ends of all branches, highest first, the active one first of its height."""
        parents = {entry.parent for entry in self._side}
        ends = sorted(self._side - parents, key=lambda entry: entry.sequence)
        ordered = sorted([self.tip, *ends], key=lambda entry: -entry.height)
        return ((entry, self._status(entry)) for entry in ordered)

    def find_transaction(self, txid: bytes) -> tuple[Transaction, BlockEntry] | None:
        """A confirmed transaction and its block in the active chain."""
        entry = self._locations.get(txid)
        if entry is None:
            return None
        return next(tx for tx in entry.block.transactions if tx.txid == txid), entry

    def _status(self, entry: BlockEntry) -> TipStatus:
        if self.contains(entry):
            return "active"
        if entry.failed:
            return "invalid"
        return "valid-fork" if entry.connected else "valid-headers"

    def _parent(self, block: ParsedBlock) -> BlockEntry:
        parent = self.entries.get(block.header.previous)
        if parent is None:
            raise Rejection(self.rules.missing_parent)
        if parent.failed:
            raise Rejection("bad-prevblk")
        return parent

    def _store(self, entry: BlockEntry, parent: BlockEntry) -> None:
        """Put a block with a good header into the tree; with bad contents it stays there as failed."""
        try:
            self.rules.check_contents(entry.block, parent)
        except Rejection as rejection:
            if rejection.mutated:
                self._headers.add(entry.hash)  # the right contents may still come
            else:
                entry.failed = True
                self._put(entry)
            raise
        self._put(entry)

    def _put(self, entry: BlockEntry) -> None:
        self.entries[entry.hash] = entry
        self._side.add(entry)
        self.disk_size += entry.block.size + RECORD_OVERHEAD

    def _follow_longest(self, change: Change) -> None:
        """Make the longest valid branch the active one; of equals the first seen is best."""
        while True:
            candidates = [self.tip, *(entry for entry in self._side if not entry.failed)]
            best = max(candidates, key=lambda entry: (entry.height, -entry.sequence))
            if best is self.tip:
                return
            fork = self.fork_point(best)
            while self.tip is not fork:
                change.disconnected.append(self._leave())
            path = [entry for entry in best.ancestors() if entry.height > fork.height]
            self._connect(reversed(path), change)

    def _connect(self, path: Iterable[BlockEntry], change: Change) -> None:
        for entry in path:
            try:
                view, undo = connect_block(entry.block, self.tip, self.coins, self.rules, self._cache)
            except Rejection as rejection:
                self._fail(entry)
                if entry is change.entry:
                    change.rejection = rejection
                return
            self._join(entry, view, undo)
            change.connected.append(entry)

    def _join(self, entry: BlockEntry, view: CoinView, undo: Undo) -> None:
        self.coins.flush(view)
        entry.undo, entry.connected = undo, True
        self.active.append(entry)
        self._side.discard(entry)
        for transaction in entry.block.transactions:
            self._locations[transaction.txid] = entry

    def _leave(self) -> BlockEntry:
        entry = self.active.pop()
        if entry.undo is not None:
            self.coins.revert(entry.undo)
        entry.undo = None
        self._side.add(entry)
        for transaction in entry.block.transactions:
            self._locations.pop(transaction.txid, None)
        return entry

    def _fail(self, failed: BlockEntry) -> None:
        for entry in self._side:
            if entry.height >= failed.height and entry.ancestor(failed.height) is failed:
                entry.failed = True
