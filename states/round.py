"""The round machine of one member: Idle > Propose > CollectSigs > Combine > Submit > Reissue, height by height.

Contract with the host: feed every event to ``step`` and carry out the effects it returns in order, as
states/effects.py says. ``step`` never blocks and never raises for anything a peer, node or signer did.
"""

from __future__ import annotations

from collections import deque

import msgspec

from states.abstention import Abstention
from states.agreement import Agreement, Timeouts
from states.closing import ClosedHeight, LastStep, Signatures
from states.effects import (
    Broadcast,
    CombineBlock,
    Effect,
    Persist,
    Relay,
    Report,
    SetTimer,
    SignDigest,
    SubmitBlock,
)
from states.events import (
    BlockBuilt,
    BlockCombined,
    BlockJudged,
    BlockSubmitted,
    DigestSigned,
    Event,
    PersistFailed,
    Received,
    ReissueEvent,
    TimerFired,
    TimerName,
    TipChanged,
)
from states.machine import TableMachine
from states.mailbox import Mailbox
from states.memory import Memory
from states.messages import BlockRequest, BlockSignature, Heartbeat, Prevote, Proposal
from states.quorum import Quorum
from states.reissuance import ReissueTerms
from states.reissuances import Reissuances
from states.schedule import Schedule
from states.table import ROUND
from states.triggers import trigger_of


class Settings(msgspec.Struct, frozen=True):
    """What a member's machines need to know about the federation and its pace.

    ``reissue`` is None when no reissuance schedule is configured.
    """

    member: int
    quorum: Quorum
    schedule: Schedule
    timeouts: Timeouts
    reissue: ReissueTerms | None = None


_AGREEMENT_TRIGGERS: dict[type, str] = {BlockBuilt: "built", BlockJudged: "judged", Proposal: "proposal"}


class Round(TableMachine):
    """One member's machines. Nothing happens before the first TipChanged."""

    table = ROUND

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.agreement = Agreement(settings.member, settings.quorum, settings.timeouts)
        self.reissuances = None if settings.reissue is None else Reissuances(settings.reissue)
        self.height = 0
        self.round = 0
        self.tip = ""
        self.slot_ms = 0
        self._behind = False
        self._memory = Memory(height=0)
        self._mailbox = Mailbox()
        self._signatures = Signatures()
        self._closed: ClosedHeight | None = None
        self._last_step = LastStep()
        self._abstention = Abstention(settings.member, settings.quorum)
        self._answered: set[tuple[int, str]] = set()
        self._effects: list[Effect] = []
        self._inbox: deque[Event] = deque()
        self._event: Event | None = None

    @property
    def fresh(self) -> bool:
        """Whether our guard was empty when it saw the first height, and this is still it."""
        return self._abstention.ours_is_fresh

    # --- the one entry

    def step(self, event: Event) -> list[Effect]:
        """Take one event; returns what is to be done about it, in order."""
        self._inbox.append(event)
        while self._inbox:
            self._event = self._inbox.popleft()
            trigger = trigger_of(self._event, self.height, self.round)
            if trigger is not None:
                self.fire(trigger)
                self._follow_up()
        effects, self._effects = self._effects, []
        return effects if self.reissuances is None else effects + self.reissuances.take_effects()

    def _follow_up(self) -> None:
        """Take the internal triggers that the last step made possible, until nothing moves."""
        moved = True
        while moved:
            self._effects += self.agreement.take_effects()
            moved = self._next_internal_trigger()

    def _next_internal_trigger(self) -> bool:
        if self.state == "Reissue" and self.reissuances is not None and self.reissuances.is_at_rest:
            return self.fire("reissue_finished")
        if self.agreement.state == "Decided":
            return self.fire("decide") or self.fire("combine")
        if self.agreement.state == "RoundOver":
            return self.fire("fail") or self.fire("begin")
        if self.agreement.state == "Waiting" and self._may_begin():
            return self.fire("begin")
        return False

    def _may_begin(self) -> bool:
        """Whether a round may begin without its slot: others are in it, its proposal is here, or it follows."""
        if self.height == 0:
            return False
        busy = self.agreement.busy_round()
        if busy is not None:
            self.round = busy
            return True
        return bool(self._memory.votes) or self._has_early_proposal()

    def _has_early_proposal(self) -> bool:
        event = self._event
        return (
            self.round in self.agreement.ballots.proposals
            and isinstance(event, Received)
            and event.now_ms >= self.slot_ms - self.settings.schedule.early_ms
        )

    # --- guards

    def tip_is_new(self) -> bool:
        return isinstance(self._event, TipChanged) and self._event.block_hash != self.tip

    def reissue_is_due(self) -> bool:
        terms, tip = self.settings.reissue, self._event
        if terms is None or not isinstance(tip, TipChanged):
            return False
        return tip.height > 0 and tip.height % terms.period == 0

    def slot_is_open(self) -> bool:
        timer = self._event
        return isinstance(timer, TimerFired) and timer.now_ms >= self.slot_ms - self.settings.schedule.early_ms

    def signatures_suffice(self) -> bool:
        return self._signatures.count(self._decided_hash()) >= self.settings.quorum.threshold

    def may_try_again(self) -> bool:
        """What was refused is not tried again at once, but after a resend interval."""
        return not self._last_step.is_refused

    def combination_succeeded(self) -> bool:
        return isinstance(self._event, BlockCombined) and self._event.block is not None

    def submission_was_refused(self) -> bool:
        return isinstance(self._event, BlockSubmitted) and self._event.outcome == "rejected"

    # --- actions: heights and rounds

    def open_height(self) -> None:
        tip = self._event
        if not isinstance(tip, TipChanged):
            return
        self._close_height(tip)
        if self.reissuances is not None:
            self.reissuances.note_tip(tip.height, tip.block_hash, self._author_of(tip))
        self.tip, self.height, self._memory = tip.block_hash, tip.height + 1, tip.memory
        self.round = max((vote.round for vote in tip.memory.votes), default=0)
        self._signatures = Signatures()
        self._last_step = LastStep()
        self._answered.clear()
        self._abstention.open_height(tip.memory)
        self.agreement.abstaining = self._abstention.is_needed
        if self.agreement.abstaining:
            self._report("abstaining", detail="the guard is empty and the chain has history")
        self.agreement.open(self.height, self.tip, tip.memory)
        self._behind = self.settings.schedule.is_behind(tip.height, tip.first_block_time, tip.now_ms)
        # A slot whose round began a little early is used up; it must not open twice.
        used = self.slot_ms if tip.now_ms >= self.slot_ms - self.settings.schedule.early_ms else 0
        self._arm_slot(max(tip.now_ms, used), tip.now_ms)
        self._set_timer("resend", self.settings.timeouts.resend_ms)
        self._inbox.extend(self._mailbox.take(self.height))

    def open_height_and_reissue(self) -> None:
        self.open_height()
        terms = self.settings.reissue
        self._set_timer("reissue", terms.turn_ms * terms.members if terms is not None else 0)

    def _author_of(self, tip: TipChanged) -> int:
        """The member whose block it was: known to those who saw it decided, round 0 is likely otherwise."""
        decision = self.agreement.decision
        seen = decision is not None and (decision.height, decision.block_hash) == (tip.height, tip.block_hash)
        return self.settings.quorum.proposer(tip.height, decision.certificate.round if seen and decision else 0)

    def _close_height(self, tip: TipChanged) -> None:
        """Keep what a straggler may need of the height that just closed; name a fork if there was one."""
        decision = self.agreement.decision
        if decision is None or decision.height != tip.height or self.height != tip.height:
            self._closed = None
            return
        if decision.block_hash != tip.block_hash:
            self._report("fork", detail=f"decided {decision.block_hash}, the tip is {tip.block_hash}")
        proposal = self.agreement.ballots.proposal_envelope_of(decision.block_hash)
        signatures = self._signatures.envelopes(decision.block_hash)
        self._closed = ClosedHeight(tip.height, proposal, signatures)

    def keep_height(self) -> None:
        """The node told us again what we know."""

    def wait_for_slot(self) -> None:
        """The wall clock says that the slot is still ahead (it was set back, or the timer was early)."""
        timer = self._event
        if isinstance(timer, TimerFired):
            self._arm_slot(timer.now_ms, timer.now_ms)

    def _arm_slot(self, after_ms: int, now_ms: int) -> None:
        self.slot_ms = self.settings.schedule.next_slot(after_ms, behind=self._behind)
        self._set_timer("slot", self.slot_ms - now_ms)

    def begin_round(self) -> None:
        self.agreement.begin(self.round)

    def close_round(self) -> None:
        missing = [m for m in range(self.settings.quorum.members) if not self._was_heard(m)]
        self._report("round-failed", detail=f"not heard: {missing}" if missing else "")
        self.round = self.agreement.next_round

    def _was_heard(self, member: int) -> bool:
        return self.agreement.ballots.envelope("precommit", self.round, member) is not None

    # --- actions: agreement

    def feed_agreement(self) -> None:
        event = self._event
        if isinstance(event, TimerFired):
            self.agreement.feed(f"{event.timer}_timer")
        elif isinstance(event, Received):
            kind = "prevote" if isinstance(event.message, Prevote) else "precommit"
            self.agreement.feed(_AGREEMENT_TRIGGERS.get(type(event.message), kind), event)
        elif isinstance(event, BlockBuilt | BlockJudged):
            self.agreement.feed(_AGREEMENT_TRIGGERS[type(event)], event)

    # --- actions: signatures

    def sign_decided(self) -> None:
        decision = self.agreement.decision
        if decision is None:
            return
        self._effects.append(Persist((decision,)))
        self._report("decided", detail=decision.block_hash)
        self._effects.append(SignDigest(self.height, decision.block_hash, decision.block))

    def note_signature(self) -> None:
        event = self._event
        if not isinstance(event, Received) or not isinstance(event.message, BlockSignature):
            return
        message, certificate = event.message, event.message.certificate
        valid = (
            certificate.vote == "precommit"
            and certificate.height == self.height
            and certificate.block_hash == message.block_hash
            and len(set(certificate.voters)) >= self.settings.quorum.votes
        )
        if not valid:
            self.agreement.accuse("bad-certificate", event.sender, message.round, (event.envelope,))
            return
        evidence = self._signatures.add(event.sender, message, event.envelope)
        if evidence:
            self.agreement.accuse("double-signature", event.sender, message.round, evidence)
        self.agreement.import_certificate(certificate)
        self.agreement.feed("certificate")

    def publish_signature(self) -> None:
        event, decision = self._event, self.agreement.decision
        if not isinstance(event, DigestSigned) or decision is None or event.block_hash != decision.block_hash:
            return
        if event.signature is None:
            self._report("signing-failed", self.settings.member, detail=event.reason)
            return
        certificate = decision.certificate
        self._effects.append(
            Broadcast(
                BlockSignature(self.height, certificate.round, decision.block_hash, event.signature, certificate)
            )
        )

    def request_combination(self) -> None:
        decision = self.agreement.decision
        if decision is None:
            return
        chosen = self._signatures.first(decision.block_hash, self.settings.quorum.threshold)
        order = CombineBlock(self.height, decision.block_hash, decision.block, chosen)
        self._effects.append(self._last_step.give(order))

    def submit_block(self) -> None:
        event = self._event
        if isinstance(event, BlockCombined) and event.block is not None:
            order = SubmitBlock(self.height, event.block_hash, event.block)
            self._effects.append(self._last_step.give(order))

    def drop_combination(self) -> None:
        """Our signatures were verified one by one, so this is a fault of the chain's rules or of the node."""
        event = self._event
        self._last_step.answered(refused=True)
        if isinstance(event, BlockCombined | BlockSubmitted):
            code = "combination-failed" if isinstance(event, BlockCombined) else "submission-refused"
            self._report(code, detail=event.reason)

    def note_submission(self) -> None:
        event = self._event
        self._last_step.answered()
        if isinstance(event, BlockSubmitted):
            code = "submission-delayed" if event.outcome == "unavailable" else f"submitted-{event.outcome}"
            self._report(code, detail=event.reason)

    def _decided_hash(self) -> str:
        decision = self.agreement.decision
        return "" if decision is None else decision.block_hash

    # --- actions: sending again

    def resend_votes(self) -> None:
        self._begin_resending()
        self.agreement.feed("resend")

    def resend_signature(self) -> None:
        """Repeat our signature; without one, pass on the certificate and ask the signer again."""
        self._begin_resending()
        self._last_step.after_resend()
        self._repeat_signature()

    def retry_last_step(self) -> None:
        self._begin_resending()
        order = self._last_step.after_resend()
        if order is not None:
            self._effects.append(order)
        self._repeat_signature()

    def _begin_resending(self) -> None:
        """Ready for the next interval; first of all the timer, for what follows a Persist may be dropped."""
        self._rearm_resend()
        self._answered.clear()
        if self._closed is not None:
            self._closed.grow_older()

    def _rearm_resend(self) -> None:
        self._set_timer("resend", self.settings.timeouts.resend_ms)

    def _repeat_signature(self) -> None:
        decision = self.agreement.decision
        if decision is None:
            return
        own = self._signatures.envelope(decision.block_hash, self.settings.member)
        if own is not None:
            self._effects.append(Relay((own,)))
        else:
            self._effects.append(Relay(decision.certificate.envelopes))
            self._effects.append(Persist((decision,)))
            self._effects.append(SignDigest(self.height, decision.block_hash, decision.block))

    # --- actions: others

    def answer_request(self) -> None:
        """Blocks are large: the same member is given the same one once in a resend interval."""
        event = self._event
        if not isinstance(event, Received) or not isinstance(event.message, BlockRequest):
            return
        request, holder = (event.sender, event.message.block_hash), event.message.holder
        if holder != self.settings.member or request in self._answered:
            return
        if self.agreement.hand_over(event.message.block_hash):
            self._answered.add(request)

    def answer_late(self) -> None:
        """Somebody works on the height that just closed: give them all it takes to close it, once a while."""
        event, closed = self._event, self._closed
        if not isinstance(event, Received) or closed is None or event.message.height != closed.height:
            return
        envelopes = closed.answer(event.sender)
        if envelopes:
            self._effects.append(Relay(envelopes))

    def keep_for_later(self) -> None:
        event = self._event
        if isinstance(event, Received) and not self._mailbox.keep(event, self.height):
            self.agreement.accuse("too-early", event.sender, 0)

    def note_heartbeat(self) -> None:
        event = self._event
        if not isinstance(event, Received) or not isinstance(event.message, Heartbeat):
            return
        self._abstention.note(event.sender, fresh=event.message.fresh)
        if event.message.height == self.height and event.sender != self.settings.member:
            # Who sits the height out is up, but nobody to wait for.
            round_ = None if self._abstention.sits_out(event.sender) else event.message.round
            self.agreement.note_presence(event.sender, round_)
        self.answer_late()
        if self.agreement.abstaining and not self._abstention.is_needed:
            self._report("abstention-ended", detail="too few members remember; the height needs our vote")
            self.agreement.stop_abstaining()

    def recover_dropped_effects(self) -> None:
        """Our vote or signature did not leave, and is tried again; so must be what was dropped with it."""
        event = self._event
        if isinstance(event, PersistFailed):
            self._report("persist-failed", self.settings.member, detail=f"{event.code}: {event.reason}")
            self._rearm_resend()
            self._last_step.answered()
            self.agreement.feed("interrupted")

    # --- actions: reissuance

    def feed_reissuances(self) -> None:
        event = self._event
        if self.reissuances is not None and isinstance(event, ReissueEvent | Received | TimerFired):
            self.reissuances.feed(event)

    def end_reissue(self) -> None:
        """Idle again; the slot timer has been running all the while."""

    # --- small parts

    def _set_timer(self, name: TimerName, delay_ms: int) -> None:
        self._effects.append(SetTimer(name, self.height, self.round, max(0, delay_ms)))

    def _report(
        self, code: str, member: int | None = None, detail: str = "", evidence: tuple[bytes, ...] = ()
    ) -> None:
        self._effects.append(Report(code, self.height, self.round, member, detail, evidence))
