"""One member at a time: the simulator's own member, disk, node and signer, without time and without the others.

A member is loaded, takes one input and all that follows from it at once, and is stored again. What its machines
order of node and signer is answered at once; what it says is collected.
"""

from __future__ import annotations

import itertools
import pickle
import zlib
from collections import deque
from typing import NamedTuple

from fedsm.simulator.cluster import Cluster
from fedsm.simulator.member import Member
from fedsm.simulator.model.bounds import Case
from fedsm.simulator.model.copies import Image, ModelDisk
from fedsm.simulator.model.forgetting import Ears, ears_of, forget
from fedsm.simulator.model.likeness import digest, likeness
from fedsm.simulator.model.witness import Fact, Observation, Witness
from fedsm.simulator.violation import Violation
from fedsm.simulator.wire import unseal
from fedsm.trace import Standing
from states.effects import Broadcast, Effect, Persist, SetTimer, SignDigest, SubmitBlock
from states.events import Received, TimerFired, TimerName
from states.triggers import trigger_of

INTERVAL_MS = 10_000
_NO_IMAGE = Image(b"", ())
_NOTICED = (Persist, Broadcast, SignDigest, SubmitBlock)
_FAR_FUTURE_S = 10**10  # of the first block: the chain is never behind its schedule

Timer = tuple[TimerName, int, int]  # with the height and round it was set for


class Start(NamedTuple):
    """The process starts on what is on its disk, and the node tells it the tip."""


class Fire(NamedTuple):
    """A timer runs out."""

    timer: Timer


class Deliver(NamedTuple):
    """A message arrives."""

    envelope: bytes


class Follow(NamedTuple):
    """The node hears of the next block from another node."""

    block_hash: str


Input = Start | Fire | Deliver | Follow


class Local(NamedTuple):
    """Where one member stands: its machines (None: it is down), timers, disk, node, and what its node found valid.

    ``digest`` is the same for members that stand alike, ``durable`` for those with the same on disk and node.
    """

    member: int
    core: bytes | None
    timers: tuple[Timer, ...]
    disk: Image
    chain: tuple[str, ...]
    judged: frozenset[str]
    digest: bytes
    durable: bytes
    ears: Ears | None = None
    is_finished: bool = False  # its node has the last block


class Step(NamedTuple):
    """What a member did: where it stands now, the envelopes it sent, and what a watch would have seen.

    ``facts`` is what of that a watch would remember, beside what was sent.
    """

    local: Local
    sent: tuple[bytes, ...]
    seen: tuple[Observation, ...]
    facts: tuple[Fact, ...] = ()


class ModelMember(Member):
    """A member whose timers wait to be fired, and whose clock says that the time has come."""

    store: ModelDisk

    def start(self) -> None:
        """See Member.start."""
        super().start()
        self.pending: dict[TimerName, tuple[int, int]] = {}

    def now_ms(self) -> int:
        """Half an interval after the tip's slot when the tip is news, else the slot of the open height."""
        halves = 1 if self.round.height != len(self.chain) else 2
        return (self.height + 100) * INTERVAL_MS + halves * INTERVAL_MS // 2

    def _carry_out_next(self, effects: deque[Effect]) -> bool:
        """A crash before an effect that nobody notices is one before the next that somebody does."""
        left = self.crash_after
        if left is not None and not isinstance(effects[0], _NOTICED):
            self.crash_after = None
            went_on = super()._carry_out_next(effects)
            self.crash_after = left if self.alive else None
            return went_on
        return super()._carry_out_next(effects)

    def check_waits(self) -> None:
        """Violation ``deadlock`` when the member would do nothing more if no message ever came."""
        machine, agreement = self.round, self.round.agreement
        waits: set[TimerName] = {"resend"}
        if machine.state == "Idle":
            waits.add("slot")
        if machine.state == "Propose":
            quorum, tally = self.cluster.quorum.votes, agreement.ballots.tally
            if agreement.state in ("Building", "AwaitProposal", "Judging"):
                waits.add("propose")
            elif agreement.state == "Prevoted" and len(tally("prevote", machine.round)) >= quorum:
                waits.add("prevote")
            if len(tally("precommit", machine.round)) >= quorum:
                waits.add("precommit")
        for name in waits:
            place = (machine.height, machine.round)
            if name not in self.pending or (name not in ("slot", "resend") and self.pending[name] != place):
                where = f"{machine.state}/{agreement.state} of height {place[0]} round {place[1]}"
                raise Violation("deadlock", f"member {self.index} waits in {where} without a {name} timer")

    def live_timers(self) -> tuple[Timer, ...]:
        """The timers that could do something if they fired now; the others never will.

        Sending again is none of them: what was sent stays under way.
        """
        machine = self.round
        live = []
        for name, (height, round_) in self.pending.items():
            trigger = trigger_of(TimerFired(name, height, round_, 0), machine.height, machine.round)
            is_ignored = trigger is None or (machine.state, trigger) in machine._ignored  # noqa: SLF001
            if trigger == "agreement_timer" and not is_ignored:
                agreement = machine.agreement
                is_ignored = (agreement.state, f"{name}_timer") in agreement._ignored  # noqa: SLF001
            if not is_ignored and name != "resend":
                live.append((name, height, round_))
        return tuple(sorted(live))


class Host(Cluster):
    """Runs the members of a case one by one."""

    def __init__(self, case: Case) -> None:
        quorum = case.quorum
        self._case = case
        super().__init__(
            quorum.members,
            quorum.threshold,
            quorum.votes,
            interval_ms=INTERVAL_MS,
            stores=ModelDisk,
            member_class=ModelMember,
            heartbeats=False,
        )
        self.first_block_time = _FAR_FUTURE_S
        self._copies = itertools.count(0, 0)  # the same message is the same envelope, whenever it is sealed
        self.watch = self._witness = Witness(case)
        self._sent: list[bytes] = []
        self._known: dict[bytes, Local] = {}
        self._blank = [self._member(index).store.image(1) for index in range(quorum.members)]

    def new(self, index: int) -> Local:
        """A member that has never run: its process is not started yet."""
        member = self._member(index)
        member.crash()
        member.chain = list(self.genesis)
        member.store.load(self._blank[index])
        return self._stored(member, frozenset())

    def step(self, local: Local, given: Input, crash_after: int | None = None) -> Step:
        """Load a member, give it this, and carry out all that follows.

        With ``crash_after`` it goes down once so many effects that others or the disk may notice are carried out.

        Violation as the simulator's members and their machines raise it.
        """
        member, witness = self._member(local.member), self._witness
        self._load(member, local)
        self._sent = []
        witness.forget()
        member.crash_after = crash_after
        self._give(member, given)
        while self._agenda:
            self.run_for(1)
        stored = self._stored(member, local.judged | witness.judged_valid)
        return Step(stored, tuple(dict.fromkeys(self._sent)), tuple(witness.seen), tuple(witness.facts))

    def down(self, local: Local) -> Local:
        """A member goes down where it stands."""
        member = self._member(local.member)
        self._load(member, local)
        member.crash()
        return self._stored(member, local.judged)

    def standing(self, local: Local) -> Standing:
        """The states of a member's machines."""
        member = self._member(local.member)
        self._load(member, local)
        return Standing.of(member.round)

    def _give(self, member: ModelMember, given: Input) -> None:
        match given:
            case Start():
                member.start()
                member.tell_tip()
            case Fire(timer):
                name, height, round_ = timer
                del member.pending[name]
                member.step(TimerFired(name, height, round_, member.now_ms()))
            case Deliver(envelope):
                wire = unseal(envelope)
                member.step(Received(wire.sender, wire.message, envelope, member.now_ms()))
            case Follow(block_hash):
                member.chain.append(block_hash)
                member.tell_tip()

    # --- loading and storing

    def _member(self, index: int) -> ModelMember:
        member = self.members[index]
        assert isinstance(member, ModelMember)  # noqa: S101 - for the type checker
        return member

    def _load(self, member: ModelMember, local: Local) -> None:
        self._agenda.clear()
        member.start()
        member.chain = list(local.chain)
        member.store.load(local.disk)
        if local.core is None:
            member.crash()
            return
        member.round = pickle.loads(zlib.decompress(local.core))  # noqa: S301 - our own
        member.pending = {name: (height, round_) for name, height, round_ in local.timers}
        machine = member.round
        if machine.height > 0:
            member.pending["resend"] = (machine.height, 0)  # it never fires here, and so never ends
        self._witness.rounds[local.member] = (machine, machine.height, machine.tip, machine.round)

    def _stored(self, member: ModelMember, judged: frozenset[str]) -> Local:
        chain = tuple(member.chain)
        if len(chain) > self._case.heights:
            end = digest(member.index, chain)
            return Local(member.index, None, (), _NO_IMAGE, chain, frozenset(), end, end, is_finished=True)
        disk, standing = member.store.image(len(chain)), None
        timers: tuple[Timer, ...] = ()
        durable = digest(disk.rows, chain)
        if member.alive:
            member.check_waits()
            forget(member.round)
            timers, standing = member.live_timers(), likeness(member.round)
        whole = digest(member.index, standing, timers, durable, sorted(judged))
        known = self._known.get(whole)
        if known is None:
            core = zlib.compress(pickle.dumps(member.round, pickle.HIGHEST_PROTOCOL), 1) if member.alive else None
            ears = ears_of(member.round) if member.alive else None
            known = Local(member.index, core, timers, disk, chain, judged, whole, durable, ears)
            self._known[whole] = known
        return known

    # --- in place of clock and network

    def new_hash(self, height: int, member: int) -> str:
        """A block is named by who proposes it in which round: which of those that it may build does not matter."""
        return block_name(height, self.members[member].round.round, member)

    def run(self, member: Member, effect: Effect) -> None:
        """See Cluster.run."""
        if isinstance(effect, SetTimer):
            self._member(member.index).pending[effect.timer] = (effect.height, effect.round)
        else:
            super().run(member, effect)

    def send(self, sender: int, envelope: bytes) -> None:  # noqa: ARG002 - as in Cluster
        """What is sent is under way from now on."""
        self._sent.append(envelope)


def block_name(height: int, round_: int, member: int, kind: int = 0) -> str:
    """The hash of a block; ``kind`` tells apart those that a liar proposes in one round."""
    return f"{height:08x}{round_:08x}{member:08x}{kind:08x}".ljust(64, "0")
