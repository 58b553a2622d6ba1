"""How nodes hear of each other's blocks and transactions, over links that can be cut and healed.

One thread per node takes in what others announce; nobody's lock is held while another node works.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.block import ParsedBlock
    from fedsm.devnet.node import Node


@dataclass(order=True)
class _Letter:
    due: float
    number: int
    work: Callable[[], None] = field(compare=False)


class Mailbox:
    """Work for one thread, each piece due at its own time; equal times keep their order."""

    def __init__(self, name: str) -> None:
        self._letters: list[_Letter] = []
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, work: Callable[[], None], delay_s: float = 0.0) -> None:
        """Have ``work`` done after ``delay_s`` seconds."""
        with self._changed:
            heapq.heappush(self._letters, _Letter(time.monotonic() + delay_s, next(self._numbers), work))
            self._changed.notify()

    def close(self) -> None:
        """Drop what is left and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (letter := self._next()) is not None:
            letter.work()

    def _next(self) -> _Letter | None:
        with self._changed:
            while not self._closed:
                wait = self._letters[0].due - time.monotonic() if self._letters else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._letters)
                self._changed.wait(wait)
        return None


class Network:
    """The links between nodes, all up at first. ``transaction_delay_s`` slows transactions down, per hop."""

    def __init__(self, *, transaction_delay_s: float = 0.0) -> None:
        self.transaction_delay_s = transaction_delay_s
        self.added: dict[int, set[str]] = {}  # addresses that addnode put on a node's list
        self._nodes: dict[int, Node] = {}
        self._mailboxes: dict[int, Mailbox] = {}
        self._cut: set[frozenset[int]] = set()
        self._inactive: set[int] = set()
        self._lock = threading.Lock()

    def join(self, node: Node) -> None:
        """Connect a node that starts; it and its peers tell each other what they have."""
        with self._lock:
            self._nodes[node.number] = node
            self._mailboxes[node.number] = Mailbox(f"node-{node.number}-gossip")
        node.relay = self
        for peer in self.peers(node.number):
            self._introduce(node.number, peer)

    def leave(self, number: int) -> None:
        """Disconnect a node that stops."""
        with self._lock:
            self._nodes.pop(number, None)
            mailbox = self._mailboxes.pop(number, None)
        if mailbox is not None:
            mailbox.close()

    def peers(self, number: int) -> list[int]:
        """The nodes that a node is linked with now."""
        with self._lock:
            return [other for other in sorted(self._nodes) if self._is_linked(number, other)]

    def cut(self, one: int, other: int) -> None:
        """Cut the link between two nodes."""
        with self._lock:
            self._cut.add(frozenset((one, other)))

    def heal(self, one: int, other: int) -> None:
        """Mend the link between two nodes; they tell each other what they have."""
        with self._lock:
            self._cut.discard(frozenset((one, other)))
            linked = self._is_linked(one, other)
        if linked:
            self._introduce(one, other)

    def set_active(self, number: int, active: bool) -> None:
        """Cut a node off from all others, or let it back in (setnetworkactive)."""
        with self._lock:
            (self._inactive.discard if active else self._inactive.add)(number)
        if active:
            for peer in self.peers(number):
                self._introduce(number, peer)

    def is_active(self, number: int) -> bool:
        """Whether a node takes part in the network at all."""
        with self._lock:
            return number not in self._inactive

    def announce_block(self, node: Node) -> None:
        """Tell a node's peers of its new tip."""
        for peer in self.peers(node.number):
            self._post(peer, partial(self._fetch_chain, node.number, peer))

    def announce_transaction(self, node: Node, transaction: Transaction) -> None:
        """Tell a node's peers of a new waiting transaction."""
        for peer in self.peers(node.number):
            self._pass_on([transaction], node.number, peer)

    def _introduce(self, one: int, other: int) -> None:
        for source, target in ((one, other), (other, one)):
            self._post(target, partial(self._fetch_chain, source, target))
            node = self._node(source)
            if node is not None:
                with node.lock:
                    waiting = [entry.transaction for entry in node.mempool.in_order()]
                self._pass_on(waiting, source, target)

    def _pass_on(self, transactions: Iterable[Transaction], source: int, target: int) -> None:
        for transaction in transactions:
            work = partial(self._deliver, transaction, source, target)
            self._post(target, work, self.transaction_delay_s)

    def _deliver(self, transaction: Transaction, source: int, target: int) -> None:
        node = self._linked_node(source, target)
        if node is None:
            return
        with node.lock:
            known = transaction.txid in node.mempool.entries or node.chain.find_transaction(transaction.txid)
        if not known:
            try:
                node.add_transaction(transaction)
            except Rejection:
                return

    def _fetch_chain(self, source: int, target: int) -> None:
        """Have ``target`` take in the blocks of ``source``'s active chain that it has not got."""
        node, sender = self._linked_node(source, target), self._node(source)
        if node is None or sender is None:
            return
        for block in reversed(_missing_blocks(sender, node)):
            if not node.receive(block):
                return

    def _post(self, target: int, work: Callable[[], None], delay_s: float = 0.0) -> None:
        with self._lock:
            mailbox = self._mailboxes.get(target)
        if mailbox is not None:
            mailbox.put(work, delay_s)

    def _node(self, number: int) -> Node | None:
        with self._lock:
            return self._nodes.get(number)

    def _linked_node(self, source: int, target: int) -> Node | None:
        with self._lock:
            return self._nodes.get(target) if self._is_linked(source, target) else None

    def _is_linked(self, one: int, other: int) -> bool:
        apart = one == other or frozenset((one, other)) in self._cut
        return not apart and one not in self._inactive and other not in self._inactive


def _missing_blocks(sender: Node, receiver: Node) -> list[ParsedBlock]:
    """Blocks from the sender's tip down to the first that the receiver knows; none when it is not longer.

    Of two branches of equal length both nodes store the other's, but keep their own.
    """
    with sender.lock:
        tip = sender.chain.tip
    with receiver.lock:
        if tip.height < receiver.chain.tip.height:
            return []
        known = receiver.chain.entries
        return [
            entry.block for entry in itertools.takewhile(lambda entry: entry.hash not in known, tip.ancestors())
        ]
