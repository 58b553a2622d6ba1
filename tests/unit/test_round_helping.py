"""Stragglers at the height that closed are given all it takes; empty guards sit out the first height they see."""

from __future__ import annotations

from states.closing import GRACE_RESENDS
from states.effects import Persist, Relay
from states.memory import Memory
from states.messages import BlockSignature, Precommit, Prevote, Proposal
from tests.core_bench import (
    HEIGHT,
    PROPOSER,
    Bench,
    X,
    Y,
    cast,
    decision,
    heartbeat,
    precommit,
    prevote,
    proposal,
    settings,
    signature,
)

# --- stragglers


def closed() -> Bench:
    """At the next height; the one before was decided here, with three signatures heard."""
    bench = Bench().decided(X)
    bench.signed(X)
    for member in (1, 2, 3):
        bench.hear(member, signature(member, 0, X))
    bench.tip(HEIGHT, X)
    bench.effects.clear()
    return bench


def test_a_late_member_is_given_the_proposal_and_every_signature() -> None:
    bench = closed()
    bench.resend(GRACE_RESENDS)
    bench.effects.clear()
    bench.hear(4, prevote(0, None))
    wires = bench.relayed()
    assert [type(wire.message) for wire in wires] == [Proposal] + [BlockSignature] * 4
    assert [wire.sender for wire in wires] == [PROPOSER, 0, 1, 2, 3]


def test_a_heartbeat_tells_that_a_member_is_late() -> None:
    bench = closed()
    bench.resend(GRACE_RESENDS)
    bench.effects.clear()
    bench.hear(4, heartbeat(4, height=HEIGHT))
    assert len(bench.take(Relay)) == 1
    bench.hear(3, heartbeat(3, height=HEIGHT + 1))
    bench.hear(2, heartbeat(2, height=HEIGHT - 1))
    assert not bench.take(Relay)


def test_votes_that_were_on_their_way_when_the_height_closed_need_no_answer() -> None:
    bench = closed()
    bench.hear_all((1, 2, 3, 4), precommit(0, X))
    assert not bench.take(Relay)


def test_a_late_member_is_answered_less_and_less_often() -> None:
    bench = closed()
    answered = []
    for resend in range(1, 70):
        bench.resend()
        bench.effects.clear()
        bench.hear(4, prevote(0, None))
        bench.hear(4, prevote(0, None), copy=1)
        if bench.take(Relay):
            answered.append(resend)
    assert answered == [2, 4, 8, 16, 32, 64]


def test_each_late_member_is_answered() -> None:
    bench = closed()
    bench.resend(GRACE_RESENDS)
    for member in (3, 4):
        bench.effects.clear()
        bench.hear(member, prevote(0, None))
        assert len(bench.take(Relay)) == 1


def test_nobody_is_answered_about_a_height_that_we_did_not_decide_or_that_is_older() -> None:
    bench = Bench()
    bench.tip(HEIGHT, Y)
    bench.resend(10)
    bench.effects.clear()
    bench.hear(4, prevote(0, None))
    assert not bench.take(Relay)
    bench = closed()
    bench.tip(HEIGHT + 1, Y)
    bench.resend(10)
    bench.effects.clear()
    bench.hear(4, prevote(0, None))
    assert not bench.take(Relay)


# --- empty guards


def fresh(height: int = HEIGHT) -> Memory:
    return Memory(height, fresh=True)


def votes_of(bench: Bench) -> list[Prevote | Precommit]:
    """What the bench votes in a round in which all others agree."""
    bench.effects.clear()
    height = bench.round.height
    proposer = bench.settings.quorum.proposer(height, 0)
    bench.hear(proposer, Proposal(height, 0, X, b"block"))
    bench.slot()
    bench.judge(X)
    bench.hear_all((1, 2, 3), prevote(0, X, height))
    return [m for m in bench.said(object) if isinstance(m, Prevote | Precommit)]


def test_an_empty_guard_on_a_chain_with_history_sits_out_the_first_height_it_sees() -> None:
    bench = Bench(fresh())
    assert bench.reports("abstaining")
    assert bench.round.fresh
    assert votes_of(bench) == []


def test_it_votes_at_the_next_height() -> None:
    bench = Bench(fresh())
    bench.tip(HEIGHT, X, Memory(HEIGHT + 1))
    assert not bench.round.fresh
    assert votes_of(bench) == [prevote(0, X, HEIGHT + 1), precommit(0, X, HEIGHT + 1)]


def test_it_sits_out_that_height_and_lower_ones_after_a_reorganisation_too() -> None:
    for height in (HEIGHT, HEIGHT - 1):
        bench = Bench(fresh())
        bench.tip(height - 1, "77" * 32, fresh(height))
        assert votes_of(bench) == []


def test_a_guard_that_cannot_be_read_at_a_later_height_does_not_keep_us_from_voting() -> None:
    bench = Bench(fresh())
    bench.tip(HEIGHT, X, fresh(HEIGHT + 1))
    assert votes_of(bench) == [prevote(0, X, HEIGHT + 1), precommit(0, X, HEIGHT + 1)]


def test_on_a_chain_without_history_an_empty_guard_votes() -> None:
    bench = Bench(fresh(1), height=1)
    assert not bench.reports("abstaining")
    assert votes_of(bench) == [prevote(0, X, 1), precommit(0, X, 1)]


def test_a_guard_with_records_votes_at_the_first_height_it_sees() -> None:
    assert votes_of(Bench(Memory(HEIGHT))) == [prevote(0, X), precommit(0, X)]


def test_an_abstaining_member_does_not_propose() -> None:
    bench = Bench(fresh(), machine=settings(member=PROPOSER))
    bench.slot()
    assert bench.agreement == "AwaitProposal"


def test_an_abstaining_member_signs_what_the_others_certified() -> None:
    bench = Bench(fresh())
    votes_of(bench)
    bench.hear(1, signature(1, 0, X))
    assert bench.state == "CollectSigs"


def test_a_decision_on_record_is_signed_however_empty_the_guard_says_it_was() -> None:
    bench = Bench(Memory(HEIGHT, (), None, decision(0, X), fresh=True))
    assert bench.state == "CollectSigs"


def test_the_height_goes_on_when_so_many_are_empty_that_nobody_else_could_close_it() -> None:
    bench = Bench(fresh())
    assert votes_of(bench) == []
    bench.hear(3, heartbeat(3, fresh=True))
    assert votes_so_far(bench) == []
    bench.hear(4, heartbeat(4, fresh=True))
    persisted = [effect.records for effect in bench.effects if isinstance(effect, Persist)]
    assert persisted[0] == (cast("prevote", 0, X),)
    assert persisted[1][0].block_hash == X  # the lock goes on record with the precommit
    assert persisted[1][1] == cast("precommit", 0, X)
    assert votes_so_far(bench) == [prevote(0, X), precommit(0, X)]


def votes_so_far(bench: Bench) -> list[Prevote | Precommit]:
    return [m for m in bench.said(object) if isinstance(m, Prevote | Precommit)]


def test_empty_members_that_filled_up_meanwhile_do_not_count() -> None:
    bench = Bench(fresh())
    votes_of(bench)
    bench.hear(3, heartbeat(3, fresh=True))
    bench.hear(3, heartbeat(3, fresh=False))
    bench.hear(4, heartbeat(4, fresh=True))
    assert votes_so_far(bench) == []


def test_the_same_member_counts_once() -> None:
    bench = Bench(fresh())
    votes_of(bench)
    for _ in range(5):
        bench.hear(3, heartbeat(3, fresh=True))
    assert votes_so_far(bench) == []


def test_a_member_that_voted_since_its_guard_was_empty_goes_on_and_still_counts_as_one_that_knows_nothing() -> None:
    bench = Bench(Memory(HEIGHT, (cast("prevote", 0, None),), fresh=True))
    assert not bench.reports("abstaining")
    assert bench.round.fresh
    bench.hear_all((1, 2, 3), precommit(0, None))
    assert votes_so_far(bench) == []
    bench.timer("propose")
    assert votes_so_far(bench) == [prevote(1, None)]


def test_others_that_said_so_before_our_first_height_count() -> None:
    bench = Bench(fresh(), early_heartbeats=(heartbeat(3, fresh=True), heartbeat(4, fresh=True)))
    assert not bench.reports("abstaining")
    assert votes_of(bench) == [prevote(0, X), precommit(0, X)]


def test_votes_of_a_round_that_is_over_are_not_cast_when_abstention_ends() -> None:
    bench = Bench(fresh())
    votes_of(bench)
    bench.hear_all((1, 2, 3), precommit(0, None))
    bench.hear(3, heartbeat(3, fresh=True))
    bench.hear(4, heartbeat(4, fresh=True))
    assert bench.round.round == 1
    assert votes_so_far(bench) == []
    bench.timer("propose")
    assert votes_so_far(bench) == [prevote(1, None)]


def test_votes_held_back_are_not_cast_after_the_decision() -> None:
    bench = Bench(fresh())
    votes_of(bench)
    bench.hear(1, signature(1, 0, X))
    bench.effects.clear()
    bench.hear(3, heartbeat(3, fresh=True))
    bench.hear(4, heartbeat(4, fresh=True))
    assert votes_so_far(bench) == []


def test_with_one_member_an_empty_guard_is_all_there_is() -> None:
    bench = Bench(fresh(), machine=settings(1, 1))
    assert not bench.reports("abstaining")
    bench.slot()
    assert bench.agreement == "Building"


def test_the_proposal_of_the_first_height_may_come_while_we_abstain() -> None:
    bench = Bench(fresh())
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.judge(X, "invalid")
    bench.hear(3, heartbeat(3, fresh=True))
    bench.hear(4, heartbeat(4, fresh=True))
    assert votes_so_far(bench) == [prevote(0, None)]
