"""A cluster on which a script says what happens to which message, node and member; it writes down the play.

A line of the transcript: milliseconds since the start, members, and what each of them did in that millisecond.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from fedsm.simulator.cluster import Cluster
from fedsm.simulator.member import Member
from fedsm.simulator.watch import Watch
from fedsm.simulator.wire import unseal
from signers.guard_codes import GuardError
from states.effects import Broadcast, Effect, Persist, Relay, Report
from states.events import BlockBuilt, BlockCombined, BlockJudged, DigestSigned, Event
from states.memory import LockTaken
from states.messages import Heartbeat, Message
from states.reissuance import ReissueTerms
from states.round import Round, Settings
from states.schedule import Schedule
from tests.scenarios.wording import KIND_OF, Names, members, state

REISSUE_LIMIT_MS = 300
EFFECTS = {
    "persist": "Persist",
    "build": "RequestBlock",
    "judge": "ValidateBlock",
    "sign": "SignDigest",
    "combine": "CombineBlock",
    "submit": "SubmitBlock",
}
SLOW = {"build": BlockBuilt, "judge": BlockJudged, "sign": DigestSigned, "combine": BlockCombined}


@dataclass(frozen=True)
class Rule:
    """What is done with messages of these kinds from these senders to these receivers: the latest rule counts."""

    verb: str  # drop, hold, delay, double or pass
    kinds: frozenset[str]
    senders: frozenset[int]
    receivers: frozenset[int]
    round: int | None = None
    delay_ms: int = 1

    def fits(self, sender: int, receiver: int, message: Message) -> bool:
        return (
            KIND_OF[type(message).__name__] in self.kinds
            and sender in self.senders
            and receiver in self.receivers
            and self.round in (None, message.round)
        )


@dataclass
class Habits:
    """What is unusual about a member for now."""

    crash_before: str | None = None
    crash_after: str | None = None
    slow_ms: dict[str, int] = field(default_factory=dict)


class Listener(Watch):
    """The watch, with ears for the transcript."""

    stage: Stage

    def stepped(self, member: int, machine: Round) -> None:
        super().stepped(member, machine)
        self.stage.moved(member, machine)


class Stage(Cluster):
    """The cluster of a scenario."""

    def __init__(self, n: int, m: int, votes: int | None, *, reissue_period: int = 0, **options: int) -> None:
        self.reissue_period = reissue_period
        self.habits = [Habits() for _ in range(n)]
        self.rules: list[Rule] = []
        self.held: list[tuple[int, int, bytes]] = []
        self.show_repeats = False
        self._repeating = False
        self._envelope = b""
        self._lost: dict[str, set[int]] = defaultdict(set)
        self._notes: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._seen: dict[int, tuple[str, str]] = {}
        super().__init__(n, m, votes, **options)  # type: ignore[arg-type]
        self.began_ms = self.now_ms
        self.names = Names(self.genesis)
        self.watch = Listener(self.quorum, frozenset())
        self.watch.stage = self
        self.deliver = self.fate

    def settings(self, index: int) -> Settings:
        n, m, period = self.quorum.members, self.quorum.threshold, self.reissue_period
        terms = ReissueTerms(index, n, m, period, REISSUE_LIMIT_MS // n) if period else None
        return Settings(index, self.quorum, Schedule(self.interval_ms), self.timeouts, terms)

    # --- the transcript

    def note(self, member: int, text: str) -> None:
        said = self._notes[self.now_ms][member]
        if text not in said:
            said.append(text)

    def transcript(self) -> list[str]:
        """The lines since the last call."""
        notes, self._notes = self._notes, defaultdict(lambda: defaultdict(list))
        return [line for now_ms in sorted(notes) for line in self._lines(now_ms, notes[now_ms])]

    def _lines(self, now_ms: int, notes: dict[int, list[str]]) -> list[str]:
        alike: dict[str, list[int]] = {}
        for member, said in notes.items():
            alike.setdefault("; ".join(said), []).append(member)
        parts = sorted((sorted(who), text) for text, who in alike.items())
        return [f"{now_ms - self.began_ms:>6}  {members(who):<8} {text}" for who, text in parts]

    def moved(self, member: int, machine: Round) -> None:
        before = self._seen.get(member)
        now = self._seen[member] = (machine.tip, state(machine))
        if before is None or before[0] != now[0]:
            self.note(member, f"tip {machine.height - 1} is {self.names.of(machine.tip)}")
        if before is None or before[1] != now[1]:
            self.note(member, f"-> {now[1]}")

    # --- members

    def start_member(self, index: int) -> None:
        self.members[index].tell_tip()

    def crash(self, index: int) -> None:
        self.members[index].crash()
        self.note(index, "crashes")
        self._seen.pop(index, None)

    def restart(self, index: int) -> None:
        self._seen.pop(index, None)
        self.note(index, "starts again")
        super().restart(index)

    # --- what members do

    def run(self, member: Member, effect: Effect) -> None:
        if not member.alive:
            return
        name = effect_name(effect)
        habits = self.habits[member.index]
        if habits.crash_before == name:
            habits.crash_before = None
            self.crash(member.index)
            return
        self._note_effect(member, effect)
        self._repeating = isinstance(effect, Relay)
        try:
            super().run(member, effect)
        except GuardError:
            self.note(member.index, "cannot write")
            raise
        finally:
            self._note_losses(member.index)
        if habits.crash_after == name:
            habits.crash_after = None
            self.crash(member.index)

    def _note_effect(self, member: Member, effect: Effect) -> None:
        match effect:
            case Persist(records) if not member.disk_full:
                for record in records:
                    if isinstance(record, LockTaken):
                        self.note(member.index, f"locks {self.names.of(record.block_hash)}")
            case Broadcast(message):
                self.note(member.index, self.names.message(message))
            case Relay(envelopes) if self.show_repeats:
                for envelope in envelopes:
                    wire = unseal(envelope)
                    self.note(member.index, f"again: {wire.sender}'s {self.names.message(wire.message)}")
            case Report():
                self.note(member.index, self.names.report(effect))

    def answer(self, member: Member, event: Event, delay_ms: int = 1) -> None:
        slow = self.habits[member.index].slow_ms
        late_ms = next((ms for name, ms in slow.items() if isinstance(event, SLOW[name])), 0)
        life = member.life

        def arrive() -> None:
            if member.life == life and member.alive:
                text = self.names.answer(event)
                if text is not None:
                    self.note(member.index, text)
                member.step(event)

        self.at(delay_ms + late_ms, arrive)

    # --- messages

    def deliver_to(self, receiver: Member, envelope: bytes, sender: int | None = None) -> None:
        self._envelope = envelope
        super().deliver_to(receiver, envelope, sender)

    def fate(self, sender: int, receiver: int, message: Message) -> tuple[int, ...]:
        rule = next((rule for rule in reversed(self.rules) if rule.fits(sender, receiver, message)), None)
        if rule is None or rule.verb == "pass":
            return (1,)
        if rule.verb == "hold":
            self.held.append((sender, receiver, self._envelope))
        if rule.verb in ("drop", "hold"):
            if not isinstance(message, Heartbeat) and (self.show_repeats or not self._repeating):
                self._lost["lost" if rule.verb == "drop" else "held"].add(receiver)
            return ()
        return (rule.delay_ms,) if rule.verb == "delay" else (1, 1)

    def _note_losses(self, sender: int) -> None:
        for verb, receivers in self._lost.items():
            self.note(sender, f"({verb} to {members(receivers)})")
        self._lost.clear()

    def release(self) -> None:
        """The held messages arrive now, in the order in which they were sent."""
        held, self.held = self.held, []
        self.rules = [rule for rule in self.rules if rule.verb != "hold"]
        for sender, receiver, envelope in held:
            self.deliver_to(self.members[receiver], envelope, sender)
        self._lost.clear()


def effect_name(effect: Effect) -> str:
    """As scripts call it: a broadcast by the kind of its message."""
    if isinstance(effect, Broadcast):
        return KIND_OF[type(effect.message).__name__]
    return {kind: name for name, kind in EFFECTS.items()}.get(type(effect).__name__, "")
