"""Feeds events to a member's machines and carries out the effects they return.

One thread, the caller of ``run``, owns the machines and the guard's records. Everything that may take long runs
in worker threads and comes back through one queue; timers follow the steady clock, slots the wall clock.
"""

from __future__ import annotations

import queue
from collections import deque
from dataclasses import dataclass

from fedsm.beacon import Beacon
from fedsm.chains.base import ChainError, FederationScript, Tip
from fedsm.clock import Clock
from fedsm.errors import FedsmError
from fedsm.evidence import EvidenceLog
from fedsm.intake import Intake
from fedsm.journal import Journal
from fedsm.log import Logger
from fedsm.peers import Peers
from fedsm.reissue.desk import ReissueDesk
from fedsm.reissue.service import ReissueService
from fedsm.services import BlockPolicy, NodeService, SigningService
from fedsm.tips import TipNews
from fedsm.trace import UNTRACED, Trace
from fedsm.workers import Workers
from signers.guard import Guard, GuardError
from states.effects import (
    Broadcast,
    CombineBlock,
    Effect,
    Persist,
    ReissueOrder,
    Relay,
    Report,
    RequestBlock,
    SetTimer,
    SignDigest,
    SubmitBlock,
    ValidateBlock,
)
from states.events import DigestSigned, Event, PersistFailed, Received, TimerFired, TipChanged
from states.memory import Memory
from states.messages import Heartbeat, Message
from states.round import Round
from transports.base import Transport
from transports.envelope import Sealer
from transports.opener import Opened
from transports.refusals import EnvelopeError

NODE_THREADS = 3
# The height that closed last stays open in the guard: a straggler may still ask about it.
OPEN_HEIGHTS = 1


@dataclass(frozen=True)
class Parts:
    """The services an engine works with. ``halt_on_deferral``: a reissuance that is deferred ends the daemon."""

    core: Round
    node: NodeService
    signing: SigningService
    guard: Guard
    transport: Transport
    sealer: Sealer
    intake: Intake
    beacon: Beacon
    peers: Peers
    evidence: EvidenceLog
    clock: Clock
    log: Logger
    trace: Trace = UNTRACED
    reissue: ReissueService | None = None
    halt_on_deferral: bool = False


class Engine:
    """One member at work. ``member`` is its number, ``federation`` the script it was started with.

    ``turned_ms`` is when the loop last turned, by the steady clock: at least once a second unless it hangs.
    """

    def __init__(self, parts: Parts, member: int, federation: FederationScript) -> None:
        self._parts = parts
        self._member = member
        self._federation = federation
        self.turned_ms = parts.clock.steady_ms()
        self._tip: Tip | None = None
        self._inbox: queue.SimpleQueue[Event | TipNews | ChainError | Opened | None] = queue.SimpleQueue()
        self._timers: dict[str, tuple[int, SetTimer]] = {}
        self._signing_now: str | None = None
        self._node_workers = Workers("node", NODE_THREADS, self._inbox.put)
        self._signer_worker = Workers("signer", 1, self._inbox.put)
        self._reissue_desk = None if parts.reissue is None else ReissueDesk(parts.reissue, self._inbox.put)
        self._journal = Journal(parts.core, parts.log)

    # --- entries from other threads

    def deliver_tip(self, news: TipNews | ChainError) -> None:
        """The node has a new best block, or a chain that cannot be worked (from the tip follower's thread)."""
        self._inbox.put(news)

    def deliver_data(self, data: bytes, via: str) -> None:
        """Bytes came in by a transport (in its thread): authenticated here, so that garbage costs no round."""
        opened = self._parts.intake.admit(data, via)
        if opened is not None:
            self._inbox.put(opened)

    def change_policy(self, policy: BlockPolicy) -> None:
        """From now on propose and judge by this policy."""
        self._parts.node.policy = policy

    def stop(self) -> None:
        """Make ``run`` return after the event at hand. Safe in a signal handler."""
        self._inbox.put(None)

    # --- the loop

    def run(self) -> None:
        """Work until ``stop``. FedsmError when this daemon must not go on."""
        self._parts.trace.start()
        self._node_workers.start()
        self._signer_worker.start()
        if self._reissue_desk is not None:
            self._reissue_desk.start()
        try:
            while self._turn():
                pass
        finally:
            self._node_workers.close()
            self._signer_worker.close()
            if self._reissue_desk is not None:
                self._reissue_desk.close()
            self._parts.trace.close()

    def _turn(self) -> bool:
        """Take what has come or fallen due; False once stopped."""
        self.turned_ms = self._parts.clock.steady_ms()
        try:
            item = self._inbox.get(timeout=self._wait_ms() / 1000)
        except queue.Empty:
            pass
        else:
            if item is None:
                return False
            self._take(item)
        self._fire_timers()
        now_ms = self._parts.clock.steady_ms()
        if self._tip is not None and self._parts.beacon.due_in(now_ms) == 0:
            self._send(self._parts.beacon.heartbeat(now_ms, self._parts.clock.wall_ms()))
            self._parts.peers.check(now_ms)
        return True

    def _wait_ms(self) -> int:
        now_ms = self._parts.clock.steady_ms()
        waits = [due_ms - now_ms for due_ms, _ in self._timers.values()]
        waits.append(self._parts.beacon.due_in(now_ms) if self._tip is not None else 1000)
        return max(0, min(waits))

    def _take(self, item: Event | TipNews | ChainError | Opened) -> None:
        if isinstance(item, ChainError):
            raise FedsmError(str(item))
        if isinstance(item, Opened):
            self._take_message(item)
        elif isinstance(item, TipNews):
            self._take_tip(item)
        else:
            if isinstance(item, DigestSigned):
                self._signing_now = None
            self._step(item)

    def _take_message(self, opened: Opened) -> None:
        self._parts.intake.release(opened)
        if isinstance(opened.message, Heartbeat):
            self._take_heartbeat(opened.sender, opened.message)
        self._step(Received(opened.sender, opened.message, opened.data, self._parts.clock.wall_ms()))

    def _take_heartbeat(self, sender: int, heartbeat: Heartbeat) -> None:
        """Note where a peer stands; stop when the others know a newer identity for our key.

        Somebody else runs a daemon with it then.
        """
        clock = self._parts.clock
        self._parts.peers.heard(sender, heartbeat, self._parts.core.height, clock.steady_ms(), clock.wall_ms())
        self._parts.beacon.heard(sender, heartbeat, clock.steady_ms())
        if self._parts.beacon.disowned:
            raise FedsmError(
                f"another daemon runs as member {self._member} with this block-signing key: the others hold a "
                "newer identity certificate of it; stop one of the two, or correct this clock if there is none"
            )

    def _take_tip(self, news: TipNews) -> None:
        self._check_federation(news)
        self._tip, self._federation = news.tip, news.federation
        height = news.tip.height
        memory = self._remember(height)
        self._parts.intake.set_floor(height)
        now_ms = self._parts.clock.wall_ms()
        event = TipChanged(height, news.tip.block_hash, news.first_block_time, now_ms, memory)
        self._journal.tip(event)
        self._step(event)
        if self._reissue_desk is not None:
            self._reissue_desk.follow()

    def _remember(self, height: int) -> Memory:
        """What the guard holds of the height above this one; lower ones are closed in it.

        While the guard cannot be read or written nothing is known for sure: the machines treat that like an
        empty guard, and Persist refuses every vote anyway.
        """
        memory = Memory(height=height + 1, fresh=True)
        try:
            # An empty guard takes note of the first height it is asked about: ask before closing any.
            memory = self._parts.guard.restore(height + 1)
            self._parts.guard.close_height(max(0, height - OPEN_HEIGHTS))
        except GuardError as error:
            if error.code != "write-failed":
                raise
            self._parts.log.error("guard_not_written", height=height, detail=error.message)
        return memory

    def _check_federation(self, news: TipNews) -> None:
        """A rotation to other keys needs another configuration: this daemon must not sign under the new one."""
        if news.federation.multisig != self._federation.multisig:
            raise FedsmError(
                f"the federation changed at height {news.tip.height + 1}: the chain now names the script "
                f"{news.federation.multisig.script.hex()}; start fedsm again with the new members"
            )

    def _fire_timers(self) -> None:
        now_ms = self._parts.clock.steady_ms()
        for name in list(self._timers):
            due_ms, timer = self._timers[name]
            if due_ms <= now_ms:  # and not set anew by one that fired before it
                del self._timers[name]
                self._step(TimerFired(timer.timer, timer.height, timer.round, self._parts.clock.wall_ms()))

    # --- events in, effects out

    def _step(self, event: Event) -> None:
        """Take an event and all that our own broadcasts make of it; those come back to us as Received."""
        pending: deque[Event] = deque([event])
        while pending:
            effects = self._parts.trace.step(self._parts.core, pending.popleft())
            self._journal.states()
            pending.extend(self._carry_out(effects))

    def _carry_out(self, effects: list[Effect]) -> list[Event]:
        """Run effects in order. A failed Persist drops the rest of its list."""
        events: list[Event] = []
        for effect in effects:
            if isinstance(effect, Persist):
                failure = self._persist(effect)
                if failure is not None:
                    return [*events, failure]
            elif isinstance(effect, Broadcast):
                events.extend(self._broadcast(effect.message))
            elif isinstance(effect, ReissueOrder):
                if self._reissue_desk is not None:
                    self._reissue_desk.submit(effect)
            else:
                self._start(effect)
        return events

    def _persist(self, effect: Persist) -> PersistFailed | None:
        try:
            self._parts.guard.record(effect.records)
        except GuardError as error:
            core = self._parts.core
            return PersistFailed(core.height, core.round, error.code, str(error))
        return None

    def _broadcast(self, message: Message) -> list[Event]:
        """Send a message; what comes back to us is our own copy, or nothing if no peer would accept it."""
        envelope = self._send(message)
        if envelope is None:
            return []
        return [Received(self._member, message, envelope, self._parts.clock.wall_ms())]

    def _send(self, message: Message) -> bytes | None:
        try:
            envelope = self._parts.sealer.seal(message)
        except EnvelopeError as error:
            self._parts.log.warning("message_not_sent", detail=str(error))
            return None
        self._parts.transport.send(envelope)
        return envelope

    def _start(self, effect: Effect) -> None:
        node, tip, federation = self._parts.node, self._tip, self._federation
        match effect:
            case Relay():
                for envelope in effect.envelopes:
                    self._parts.transport.send(envelope)
            case SetTimer():
                self._timers[effect.timer] = (self._parts.clock.steady_ms() + effect.delay_ms, effect)
            case Report():
                self._report(effect)
            case RequestBlock():
                self._node_workers.submit(lambda: node.build(effect))
            case ValidateBlock() if tip is not None:
                self._node_workers.submit(lambda: node.judge(effect, tip, federation))
            case CombineBlock():
                self._node_workers.submit(lambda: node.combine(effect, federation))
            case SubmitBlock():
                self._node_workers.submit(lambda: node.submit(effect))
            case SignDigest():
                self._sign(effect)

    def _sign(self, effect: SignDigest) -> None:
        """A slow signer is asked once, however often the machines remind us."""
        if self._signing_now != effect.block_hash:
            self._signing_now = effect.block_hash
            signing = self._parts.signing
            self._signer_worker.submit(lambda: signing.sign(effect))

    def _report(self, report: Report) -> None:
        self._journal.report(report)
        if report.evidence and not self._parts.evidence.add(report):
            self._parts.log.error("evidence_not_kept", code=report.code, peer=report.member)
        if report.code == "reissuance-deferred" and self._parts.halt_on_deferral:
            raise FedsmError(f"--on-reissue-failure halt: due at height {report.height}, deferred, {report.detail}")
