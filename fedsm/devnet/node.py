"""One node of the embedded chain: a chain, a mempool, a clock, and the lock around them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

from fedsm.devnet.chainstate import ChainState
from fedsm.devnet.clock import NodeClock
from fedsm.devnet.mempool import Mempool
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.block import ParsedBlock
    from fedsm.devnet.chainstate import Change
    from fedsm.devnet.connect import ScriptCache
    from fedsm.devnet.index import BlockEntry
    from fedsm.devnet.mempool import MempoolEntry
    from fedsm.devnet.params import ChainParams
    from fedsm.devnet.store import BlockStore
    from fedsm.devnet.template import Template

OLDEST_TIP = 24 * 60 * 60  # seconds: with an older tip a node says that it still downloads the chain


class Relay(Protocol):
    """Where a node tells its news."""

    def announce_block(self, node: Node) -> None:
        """The node has a new tip."""
        ...

    def announce_transaction(self, node: Node, transaction: Transaction) -> None:
        """The node has a new waiting transaction."""
        ...


class Node:
    """A node without its network side. Every method may be called from any thread.

    ``number`` is the node's place in its network. What reads ``chain`` or ``mempool`` from outside holds
    ``lock``; ``tip_changed`` is notified when the tip changes or the node stops.
    """

    def __init__(
        self,
        number: int,
        params: ChainParams,
        cache: ScriptCache,
        *,
        store: BlockStore | None = None,
        require_standard: bool = True,
    ) -> None:
        self.number = number
        self.params = params
        self.lock = threading.RLock()
        self.tip_changed = threading.Condition(self.lock)
        self.clock = NodeClock()
        self.chain = ChainState(params, cache)
        self.mempool = self._new_mempool(cache, require_standard=require_standard)
        self.relay: Relay | None = None
        self.stopping = False
        self.last_template: Template | None = None
        self.started = time.time()
        self._store = store
        self._downloading = True
        if store is not None:
            self.load(store.load(), store.load_transactions())

    def load(self, blocks: Iterable[ParsedBlock], transactions: Iterable[Transaction]) -> None:
        """Take in what the node knew before, without telling anybody."""
        for block in blocks:
            self.chain.accept(block, float("inf"))
        for transaction in transactions:
            self.mempool.offer(transaction, self.clock.now())

    def _new_mempool(self, cache: ScriptCache, *, require_standard: bool) -> Mempool:
        return Mempool(self.chain, cache, require_standard=require_standard)

    @property
    def downloading(self) -> bool:
        """Whether the tip has been too old ever since the start (initialblockdownload)."""
        with self.lock:
            self._downloading = self._downloading and self.chain.tip.header.time < self.clock.now() - OLDEST_TIP
            return self._downloading

    def submit(self, block: ParsedBlock) -> str | None:
        """Take in a block from the operator; the result is what submitblock answers (``None``: accepted)."""
        try:
            change = self._accept(block)
        except Rejection as rejection:
            return rejection.reason
        if change.entry is None:
            return "duplicate"
        if change.rejection is not None:
            return change.rejection.reason
        return None if change.entry in change.connected else "inconclusive"

    def receive(self, block: ParsedBlock) -> bool:
        """Take in a block from another node; tell whether it is in the tree of blocks now."""
        try:
            self._accept(block)
        except Rejection:
            return False
        with self.lock:
            return block.hash in self.chain.entries

    def propose(self, block: ParsedBlock) -> None:
        """Judge an unsigned block as testproposedblock does. Raises Rejection."""
        with self.lock:
            self.chain.check_proposal(block, self.clock.now())

    def add_transaction(self, transaction: Transaction, *, own: bool = False) -> MempoolEntry:
        """Take a transaction into the mempool and pass it on; ``own``: it came from the operator.

        Raises Rejection.
        """
        with self.lock:
            entry = self.mempool.accept(transaction, self.clock.now())
            entry.unbroadcast = own
        if self.relay is not None:
            self.relay.announce_transaction(self, transaction)
        return entry

    def wait(self, reached: Callable[[BlockEntry], bool], timeout_ms: int) -> BlockEntry:
        """Wait until the tip satisfies ``reached``, the time is over (0: never) or the node stops."""
        with self.tip_changed:
            self.tip_changed.wait_for(
                lambda: self.stopping or reached(self.chain.tip),
                timeout_ms / 1000 if timeout_ms else None,
            )
            return self.chain.tip

    def stop(self) -> None:
        """Wake everyone who waits and keep waiting transactions for the next start."""
        with self.tip_changed:
            self.stopping = True
            self.tip_changed.notify_all()
            if self._store is not None:
                self._store.save_transactions(entry.transaction for entry in self.mempool.in_order())

    def _accept(self, block: ParsedBlock) -> Change:
        with self.tip_changed:
            before = self.chain.tip
            change = self.chain.accept(block, self.clock.now())
            if change.entry is not None and self._store is not None:
                self._store.append(block)
            self._update_mempool(change)
            moved = self.chain.tip is not before
            if moved:
                self.tip_changed.notify_all()
        if moved and self.relay is not None:
            self.relay.announce_block(self)
        return change

    def _update_mempool(self, change: Change) -> None:
        for entry in change.connected:
            self.mempool.block_connected(entry.block.transactions)
        if change.disconnected:
            undone = [
                transaction
                for entry in reversed(change.disconnected)
                for transaction in entry.block.transactions
                if not transaction.is_coinbase
            ]
            self.mempool.blocks_disconnected(undone, self.clock.now())
