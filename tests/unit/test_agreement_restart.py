"""After a restart the machines go on where the guard's records leave them, whatever was lost in between."""

from __future__ import annotations

import pytest

from fedsm.simulator.wire import seal
from states.effects import Broadcast, Persist, Relay, RequestBlock, SignDigest, SubmitBlock, ValidateBlock
from states.events import BlockBuilt, BlockJudged, Received, TipChanged
from states.memory import BlockDecided, LockTaken, Memory, VoteCast
from states.messages import BlockSignature, Precommit, Prevote, Proposal
from states.round import Round
from tests.core_bench import (
    HEIGHT,
    NOW_MS,
    PROPOSER,
    TIP,
    Bench,
    X,
    Y,
    body,
    cast,
    decision,
    lock,
    precommit,
    prevote,
    proof,
    proposal,
    settings,
    signature,
)


def memory(*votes: VoteCast, locked: LockTaken | None = None, decided: BlockDecided | None = None) -> Memory:
    return Memory(HEIGHT, votes, locked, decided)


def test_a_prevote_on_record_is_said_again_and_no_other_one_is_cast() -> None:
    bench = Bench(memory(cast("prevote", 0, X)))
    assert (bench.state, bench.agreement) == ("Propose", "Prevoted")
    assert bench.said(Prevote) == [prevote(0, X)]
    bench.hear(PROPOSER, proposal(0, Y))
    bench.judge(Y)
    bench.timer("propose")
    bench.resend()
    assert not bench.said(Prevote)


def test_a_nil_prevote_on_record_stays_nil() -> None:
    bench = Bench(memory(cast("prevote", 0, None)))
    bench.hear(PROPOSER, proposal(0, X))
    bench.judge(X)
    assert bench.said(Prevote) == [prevote(0, None)]


def test_a_precommit_on_record_is_said_again_with_its_lock() -> None:
    bench = Bench(memory(cast("prevote", 0, X), cast("precommit", 0, X), locked=lock(0, X)))
    assert bench.agreement == "Precommitted"
    (persisted,) = [e.records for e in bench.effects if isinstance(e, Persist)]
    assert persisted == (lock(0, X), cast("precommit", 0, X))
    again = [e for e in bench.effects if isinstance(e, Broadcast | Relay)]
    # the prevote's envelope is in the lock's proof
    assert again == [Broadcast(precommit(0, X)), Relay((seal(0, prevote(0, X)),))]


def test_a_lock_on_record_binds_in_later_rounds() -> None:
    bench = Bench(memory(cast("precommit", 0, X), locked=lock(0, X)))
    bench.hear_all((1, 2, 3), precommit(0, None))
    bench.hear(2, proposal(1, Y))
    bench.judge(Y)
    assert bench.said(Prevote)[-1] == prevote(1, None)


def test_a_locked_block_is_proposed_again_with_its_proof_and_judged_again() -> None:
    bench = Bench(memory(cast("precommit", 3, X), locked=lock(3, X)))
    bench.hear_all((1, 2, 3), precommit(3, None))
    (again,) = bench.said(Proposal)
    assert (again.round, again.block_hash, again.block, again.valid_round) == (4, X, body(X), 3)
    assert not bench.said(Prevote)
    bench.judge(X, timely=False)
    assert bench.said(Prevote) == [prevote(4, X)]


def test_the_round_of_the_latest_record_is_taken_up() -> None:
    bench = Bench(memory(cast("prevote", 1, X), cast("precommit", 1, None), cast("prevote", 3, None)))
    assert (bench.round.round, bench.agreement) == (3, "Prevoted")


def test_a_block_that_was_proposed_before_the_restart_is_not_proposed_in_another_form() -> None:
    bench = Bench(memory(cast("proposal", 0, X)), machine=settings(member=PROPOSER))
    assert bench.agreement == "AwaitProposal"
    bench.step(BlockBuilt(HEIGHT, 0, Y, body(Y)))
    assert not bench.said(Proposal)
    assert not bench.take(RequestBlock)


def test_others_that_went_on_draw_a_restarted_member_along() -> None:
    bench = Bench(memory(cast("prevote", 1, X)))
    bench.hear_all((1, 2, 3), prevote(6, None))
    assert bench.round.round == 6


def test_a_decision_on_record_is_signed_again_and_no_other_block() -> None:
    bench = Bench(memory(cast("prevote", 0, Y), decided=decision(2, X)))
    assert (bench.state, bench.agreement) == ("CollectSigs", "Decided")
    assert bench.take(SignDigest) == [SignDigest(HEIGHT, X, body(X))]
    bench.signed(Y)
    assert not bench.said(BlockSignature)
    bench.signed(X)
    (given,) = bench.said(BlockSignature)
    assert (given.block_hash, given.round, given.certificate) == (X, 2, proof("precommit", 2, X))


def test_a_decision_on_record_is_never_voted_on_again() -> None:
    bench = Bench(memory(cast("prevote", 0, X), decided=decision(0, X)))
    bench.hear_all((1, 2, 3, 4), prevote(0, X), precommit(0, None), precommit(1, None))
    bench.slot()
    bench.timer("propose")
    bench.resend(3)
    assert not bench.said(Prevote)
    assert not bench.said(Precommit)


def test_a_height_without_records_waits_for_its_slot() -> None:
    assert Bench(memory()).state == "Idle"


class Drive:
    """A member through a whole height, as scripted; it may crash between any two effects that matter."""

    def __init__(self) -> None:
        self.votes: dict[tuple[str, int], VoteCast] = {}
        self.locked: LockTaken | None = None
        self.decided: BlockDecided | None = None
        self.said: dict[tuple[type, int], str | None] = {}
        self.signed: set[str] = set()
        self.effects_left = 10**6
        self.start()

    def start(self) -> None:
        self.questions: list[BlockJudged] = []
        self.machine = Round(settings())
        remembered = Memory(HEIGHT, tuple(self.votes.values()), self.locked, self.decided)
        self.step(TipChanged(HEIGHT - 1, TIP, 1_700_000_000, NOW_MS, remembered))

    def step(self, event: object) -> None:
        for effect in self.machine.step(event):  # type: ignore[arg-type]
            if self.effects_left == 0:
                raise InterruptedError
            if isinstance(effect, Persist | Broadcast | SignDigest | SubmitBlock):
                self.effects_left -= 1
                self.carry_out(effect)
            elif isinstance(effect, ValidateBlock):
                self.questions.append(BlockJudged(HEIGHT, effect.block_hash, effect.timely, "valid"))
        while self.questions:
            self.step(self.questions.pop())

    def carry_out(self, effect: Persist | Broadcast | SignDigest | SubmitBlock) -> None:
        if isinstance(effect, Persist):
            for record in effect.records:
                if isinstance(record, VoteCast):
                    assert self.votes.setdefault((record.kind, record.round), record) == record
                elif isinstance(record, LockTaken):
                    self.locked = record
                else:
                    assert self.decided in (None, record)
                    self.decided = record
        elif isinstance(effect, Broadcast):
            message = effect.message
            if isinstance(message, Prevote | Precommit):
                key = (type(message), message.round)
                assert self.said.setdefault(key, message.block_hash) == message.block_hash
            self.step(Received(0, message, seal(0, message), NOW_MS))
        elif isinstance(effect, SignDigest):
            assert self.decided is not None
            self.signed.add(effect.block_hash)

    def hear(self, sender: int, message: object) -> None:
        self.step(Received(sender, message, seal(sender, message), NOW_MS))  # type: ignore[arg-type]

    def run(self) -> None:
        """Round 0 with X fails although we lock; a liar's Y in round 1; X again in round 2, decided."""
        self.hear(PROPOSER, proposal(0, X))
        for voter in (1, 2, 3):
            self.hear(voter, prevote(0, X))
        for voter in (1, 2, 3):
            self.hear(voter, precommit(0, None))
        self.hear(2, proposal(1, Y))
        for voter in (1, 2, 3):
            self.hear(voter, precommit(1, None))
        self.hear(3, proposal(2, X, proof("prevote", 0, X)))
        for voter in (1, 2, 3):
            self.hear(voter, prevote(2, X))
        for voter in (1, 2, 3):
            self.hear(voter, precommit(2, X))
        self.hear(1, signature(1, 2, X))


@pytest.mark.parametrize("crash_after", range(12))
def test_a_crash_at_any_persistence_point_changes_no_vote_and_no_signature(crash_after: int) -> None:
    drive = Drive()
    drive.effects_left = crash_after
    with pytest.raises(InterruptedError):
        drive.run()
    for _ in range(2):  # and what comes after a second restart agrees as well
        drive.effects_left = 10**6
        drive.start()
        drive.run()
    assert drive.signed == {X}
    assert drive.said[Prevote, 0] in (X, None)
    if drive.said.get((Precommit, 0)) == X:
        assert drive.said.get((Prevote, 1)) is None


def test_the_drive_takes_as_many_persistence_points_as_are_tried() -> None:
    drive = Drive()
    drive.run()
    assert 10**6 - drive.effects_left == 12
    assert drive.signed == {X}
