"""The Prometheus metrics of a member (docs/metrics.md explains each): counted by the engine's thread."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.process_collector import ProcessCollector

from fedsm.journal import LEVELS
from fedsm.observe.path import Move
from fedsm.observe.status import Block
from fedsm.trace import Standing, Transition
from states.effects import Effect, Report, SignDigest
from states.events import DigestSigned, PersistFailed, Received
from states.messages import Proposal
from states.quorum import Quorum
from states.table import ROUND_STATES

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
CALL_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROUND_ENDS = {"decide": "decided", "fail": "failed", "tip": "overtaken", "reissue": "overtaken"}
# Proofs of a member's fault: two signed messages that contradict each other.
_CONTRADICTIONS = ("equivocation", "double-signature")


class Meter:
    """Counts and times what the machines do. Only the engine's thread calls ``take``; all may read ``registry``."""

    def __init__(self, member: int, quorum: Quorum) -> None:
        self._quorum = quorum
        self._state = ROUND_STATES[0]
        self._last_ms: int | None = None
        self._round_ms: int | None = None
        self._proposed: tuple[int, int, int] | None = None  # height, round, when its proposal came
        self._signing: tuple[str, int] | None = None  # block hash, when the signer was asked
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._make_timers(registry)
        self._make_counters(registry)
        # A series that begins with its first event hides that event from rate() and increase().
        for state in ROUND_STATES:
            self._state_time.labels(state)
        for code in LEVELS:
            self._reports.labels(code.replace("-", "_"))
        for peer in range(quorum.members):
            if peer != member:
                self._missed_signatures.labels(peer)
                self._missed_heights.labels(peer)
                self._contradictions.labels(peer)

    def _make_timers(self, registry: CollectorRegistry) -> None:
        self._rounds = Histogram(
            "fedsm_round_duration_seconds",
            "Rounds from their beginning to a decision or failure, by outcome.",
            ["outcome"],
            registry=registry,
            buckets=SECONDS,
        )
        self._quorum_delay = Histogram(
            "fedsm_quorum_delay_seconds",
            "From a proposal's arrival to the decision for it, by proposer.",
            ["proposer"],
            registry=registry,
            buckets=SECONDS,
        )
        self._latency = Histogram(
            "fedsm_block_latency_seconds",
            "From the opening of a height's slot to its block's acceptance by our node.",
            registry=registry,
            buckets=SECONDS,
        )
        self._signer = Histogram(
            "fedsm_signer_seconds",
            "From the order to sign to the signer's answer, by outcome.",
            ["outcome"],
            registry=registry,
            buckets=CALL_SECONDS,
        )
        self._calls = Histogram(
            "fedsm_rpc_seconds",
            "Calls of our node, by method and outcome (long polls left out).",
            ["method", "outcome"],
            registry=registry,
            buckets=CALL_SECONDS,
        )

    def _make_counters(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self._state_time = counter("fedsm_state_seconds", "Time spent in each state of the round machine.", "state")
        self._blocks = counter("fedsm_blocks", "Blocks accepted by our node at heights that we worked on.")
        self._missed_signatures = counter(
            "fedsm_missed_signatures", "Closed heights for which no block signature of a member was heard.", "peer"
        )
        self._missed_heights = counter(
            "fedsm_missed_heights", "Closed heights in which a member neither voted nor signed.", "peer"
        )
        self._reports = counter("fedsm_reports", "Reports of the machines, by code.", "code")
        self._contradictions = counter(
            "fedsm_equivocations", "Contradicting votes or block signatures that a member signed.", "peer"
        )
        self._signing_failures = counter(
            "fedsm_signing_failures", "Block signatures that our signer or guard did not give.", "reason"
        )
        self._persist_failures = counter(
            "fedsm_persist_failures", "Records that the guard refused or could not write.", "code"
        )
        self._messages = counter("fedsm_messages_received", "Verified messages of members, by kind.", "kind")

    # --- any thread

    def call_made(self, method: str, outcome: str, seconds: float) -> None:
        """A call of the node has ended."""
        self._calls.labels(method, outcome).observe(seconds)

    # --- the engine's thread

    def take(self, step: Transition, moves: list[Move], steady_ms: int, closed: list[Block]) -> None:
        """Take a step, its edges, and the heights that it closed for good."""
        self._hear(step, steady_ms)
        for move in moves:
            self._move(move, step, steady_ms)
        self._spend(step.after.state, steady_ms)
        for effect in step.effects:
            self._note(effect, steady_ms)
        for block in closed:
            self._close(block)

    def _spend(self, state: str, steady_ms: int) -> None:
        if self._last_ms is not None:
            self._state_time.labels(self._state).inc(max(0, steady_ms - self._last_ms) / 1000)
        self._last_ms, self._state = steady_ms, state

    def _move(self, move: Move, step: Transition, steady_ms: int) -> None:
        if move.dest == "Propose":
            self._round_ms = steady_ms
            return
        if move.source != "Propose" or self._round_ms is None:
            return
        outcome = _ROUND_ENDS.get(move.cause, "overtaken")
        self._rounds.labels(outcome).observe((steady_ms - self._round_ms) / 1000)
        height, round_, proposed_ms = self._proposed or (0, 0, 0)
        if outcome == "decided" and (height, round_) == (step.after.height, step.after.round):
            proposer = self._quorum.proposer(height, round_)
            self._quorum_delay.labels(proposer).observe((steady_ms - proposed_ms) / 1000)

    def _hear(self, step: Transition, steady_ms: int) -> None:
        match step.event:
            case Received() as event:
                self._messages.labels(str(type(event.message).__struct_config__.tag)).inc()
                if isinstance(event.message, Proposal):
                    self._hear_proposal(event.sender, event.message, step.after, steady_ms)
            case DigestSigned() as event:
                self._signed(event, steady_ms)
            case PersistFailed() as event:
                self._persist_failures.labels(event.code).inc()

    def _hear_proposal(self, sender: int, proposal: Proposal, standing: Standing, steady_ms: int) -> None:
        """Note when the proposal of the present round came, for the first time."""
        place = (proposal.height, proposal.round)
        known = self._proposed is not None and self._proposed[:2] == place
        if not known and place == (standing.height, standing.round) and sender == self._quorum.proposer(*place):
            self._proposed = (*place, steady_ms)

    def _signed(self, event: DigestSigned, steady_ms: int) -> None:
        reason = event.reason.split(":", 1)[0]
        if event.signature is None:
            self._signing_failures.labels(reason).inc()
        if self._signing is not None and self._signing[0] == event.block_hash:
            outcome = "signed" if event.signature is not None else "failed"
            self._signer.labels(outcome).observe((steady_ms - self._signing[1]) / 1000)
            self._signing = None

    def _note(self, effect: Effect, steady_ms: int) -> None:
        match effect:
            case SignDigest() if self._signing is None or self._signing[0] != effect.block_hash:
                self._signing = (effect.block_hash, steady_ms)
            case Report():
                self._reports.labels(effect.code.replace("-", "_")).inc()
                if effect.code in _CONTRADICTIONS and effect.member is not None:
                    self._contradictions.labels(effect.member).inc()

    def _close(self, block: Block) -> None:
        self._blocks.inc()
        if block.latency_ms is not None:
            self._latency.observe(block.latency_ms / 1000)
        for peer in range(self._quorum.members):
            if peer not in block.signers:
                self._missed_signatures.labels(peer).inc()
                if peer not in block.voters:
                    self._missed_heights.labels(peer).inc()
