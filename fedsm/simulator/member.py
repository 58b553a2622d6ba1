"""One simulated member: its machines, and the host that carries out what they order (states/effects.py)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from fedsm.simulator.disk import PowerCut, Store
from fedsm.simulator.services import Order, answer_of
from fedsm.simulator.violation import Violation
from fedsm.simulator.wire import Wire
from fedsm.trace import UNTRACED, Trace
from signers.guard_codes import GuardError
from states.effects import Effect, Persist, Report, SignDigest
from states.events import Event, Outcome, PersistFailed, Received, TipChanged
from states.memory import Memory
from states.round import Round

if TYPE_CHECKING:
    from fedsm.simulator.cluster import Cluster

# What a guard may say to honest machines: the disk is full, the height is closed (the node lost blocks, or found
# one while the signer was at work), the signer is at fault.
ALLOWED_REFUSALS = ("write-failed", "below-mark", "bad-signature")


class Member:
    """One member: its machines, disk and node.

    ``crash_after``: it crashes once that many more effects are carried out. ``disk_ms``: how long a write takes.
    ``node_down``: its node does not answer for now; ``node_stale``: it hears of no other node's blocks; ``node_ms``
    and ``signer_ms``: how long they take. ``offset_ms``: what its wall clock is ahead. ``heard``: when envelopes
    came, or are to come.
    """

    def __init__(self, cluster: Cluster, index: int, store: Store) -> None:
        self.cluster, self.index, self.store = cluster, index, store
        self.chain: list[str] = list(cluster.genesis)
        self.rejects: set[str] = set()
        self.rejects_all = self.refuses_submission = False
        self.node_down = self.node_stale = self.signer_down = False
        self.disk_ms = self.node_ms = self.signer_ms = 0
        self.crash_after: int | None = None
        self.offset_ms = 0
        self.reports: list[Report] = []
        self.submissions: list[tuple[int, Outcome]] = []
        self.trace: Trace = UNTRACED
        self.life = 0
        self.start()

    @property
    def height(self) -> int:
        """The height of the node's tip."""
        return len(self.chain) - 1

    @property
    def disk_full(self) -> bool:
        """Whether nothing can be written."""
        return self.store.is_full

    @disk_full.setter
    def disk_full(self, is_full: bool) -> None:
        self.store.is_full = is_full

    def start(self) -> None:
        """A new process: nothing is known but what is on disk."""
        self.round = Round(self.cluster.settings(self.index))
        self.timers: dict[str, int] = {}
        self.trace.start()
        self.alive = True
        self.life += 1
        self.heard: dict[bytes, int] = {}
        self._is_writing = False
        self._waiting: deque[Callable[[], None]] = deque()

    def crash(self) -> None:
        """The process ends between two of its steps."""
        self.alive, self.crash_after = False, None

    def now_ms(self) -> int:
        """The member's wall clock."""
        return self.cluster.now_ms + self.offset_ms

    def is_down(self) -> bool:
        """Whether the process has ended."""
        return not self.alive

    # --- events in

    def tell_tip(self) -> None:
        """The node's best block reaches the machines, if the member is up."""
        if self._is_writing:
            self._waiting.append(self.tell_tip)
        elif self.alive:
            try:
                memory = self._remember()
            except PowerCut:
                self.crash()
                return
            first = self.cluster.first_block_time if self.height >= 1 else None
            self.step(TipChanged(self.height, self.chain[-1], first, self.now_ms(), memory))

    def _remember(self) -> Memory:
        """What the guard holds of the height above the tip, as the daemon's engine asks for it."""
        memory = Memory(height=self.height + 1, fresh=True)
        try:
            memory = self.store.restore(self.height + 1)
            self.store.close_height(max(0, self.height - 1))
        except GuardError as error:
            self.check_refusal(error)
        return memory

    def hear(self, wire: Wire, envelope: bytes) -> None:
        """A message arrives."""
        if self.alive:
            self.step(Received(wire.sender, wire.message, envelope, self.now_ms()))

    def step(self, event: Event) -> None:
        """Take an event and carry out what follows. While the disk writes, events wait."""
        if not self.alive:
            return
        if self._is_writing:
            self._waiting.append(lambda: self.step(event))
            return
        try:
            effects = self.trace.step(self.round, event)
        except Exception as error:
            raise Violation("machine-fault", f"member {self.index}: {type(error).__name__}: {error}") from error
        self.cluster.watch.stepped(self.index, self.round)
        self._go_on(deque(effects))

    # --- effects out

    def _go_on(self, effects: deque[Effect]) -> None:
        """Carry out effects in order; a Persist may take its time, and what follows it waits."""
        while effects:
            if self.disk_ms > 0 and isinstance(effects[0], Persist) and not self.disk_full:
                self._write_slowly(effects)
                return
            if not self._carry_out_next(effects):
                return

    def _write_slowly(self, effects: deque[Effect]) -> None:
        self._is_writing, life = True, self.life

        def written() -> None:
            if self.life != life or not self.alive:
                return
            self._is_writing = False
            waiting, self._waiting = self._waiting, deque()
            if self._carry_out_next(effects):
                self._go_on(effects)
            for action in waiting:
                action()

        self.cluster.at(self.disk_ms, written)

    def _carry_out_next(self, effects: deque[Effect]) -> bool:
        """Carry out one effect. False when the rest is dropped: the member is down, or could not write."""
        if self.crash_after is not None:
            if self.crash_after == 0:
                self.crash()
                return False
            self.crash_after -= 1
        try:
            self.carry_out(effects.popleft())
        except PowerCut:
            self.crash()
        except GuardError as error:
            self.check_refusal(error)
            self.step(PersistFailed(self.round.height, self.round.round, error.code, str(error)))
            return False
        return not self.is_down()

    def check_refusal(self, error: GuardError) -> None:
        """Violation ``guard-refuses`` if a guard never says this to honest machines."""
        if error.code not in ALLOWED_REFUSALS:
            raise Violation("guard-refuses", f"member {self.index}: {error.code}: {error}")

    def serve(self, order: Order) -> None:
        """Have node or signer carry out an order; the answer comes as an event, unless the member goes down."""
        late_ms = self.signer_ms if isinstance(order, SignDigest) else self.node_ms
        if not late_ms:
            self.cluster.answer(self, answer_of(self.cluster, self, order))
            return
        life = self.life

        def serve_late() -> None:
            if self.life == life and self.alive:
                try:
                    self.cluster.answer(self, answer_of(self.cluster, self, order))
                except PowerCut:
                    self.crash()

        self.cluster.at(late_ms, serve_late)

    def carry_out(self, effect: Effect) -> None:
        """Carry out one effect."""
        self.cluster.run(self, effect)
