"""The arithmetic of N, M and Q, and the counting of votes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from states.quorum import Quorum, Tally, default_vote_quorum


@st.composite
def quorums(draw: st.DrawFn) -> Quorum:
    n = draw(st.integers(1, 20))
    m = draw(st.integers(1, n))
    return Quorum(n, m, draw(st.integers(default_vote_quorum(n, m), n)))


@given(quorums(), st.data())
def test_two_quorums_share_at_least_2q_minus_n_members_and_at_least_one(
    quorum: Quorum, data: st.DataObject
) -> None:
    members = st.sampled_from(range(quorum.members))
    sets = st.sets(members, min_size=quorum.votes, max_size=quorum.votes)
    shared = data.draw(sets) & data.draw(sets)
    assert len(shared) >= quorum.equivocators_for_two_decisions >= 1


@given(quorums())
def test_the_two_smallest_overlapping_quorums_share_exactly_2q_minus_n(quorum: Quorum) -> None:
    first = set(range(quorum.votes))
    last = set(range(quorum.members - quorum.votes, quorum.members))
    assert len(first & last) == quorum.equivocators_for_two_decisions


@given(quorums())
def test_with_as_many_down_as_tolerated_the_rest_can_vote_and_sign_and_with_one_more_it_cannot(
    quorum: Quorum,
) -> None:
    up = quorum.members - quorum.crash_tolerance
    assert up >= max(quorum.votes, quorum.threshold)
    assert up - 1 < max(quorum.votes, quorum.threshold)


@given(quorums())
def test_blocking_is_the_least_number_that_every_quorum_needs_one_of(quorum: Quorum) -> None:
    assert quorum.members - quorum.blocking < quorum.votes <= quorum.members - (quorum.blocking - 1)


@given(quorums(), st.integers(0, 10**9), st.integers(0, 1000))
def test_in_n_rounds_every_member_proposes_once(quorum: Quorum, height: int, round_: int) -> None:
    turns = [quorum.proposer(height, round_ + r) for r in range(quorum.members)]
    assert sorted(turns) == list(range(quorum.members))
    assert quorum.proposer(height, round_) == (height + round_) % quorum.members


@pytest.mark.parametrize(
    ("n", "m", "q"), [(1, 1, 1), (2, 1, 2), (3, 2, 2), (4, 2, 3), (5, 3, 3), (5, 2, 3), (15, 11, 11), (5, 5, 5)]
)
def test_the_default_quorum_is_m_or_a_majority_whichever_is_more(n: int, m: int, q: int) -> None:
    assert default_vote_quorum(n, m) == q
    assert Quorum(n, m, q).votes == q


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((3, 0, 2), "threshold M is 0; it must lie between 1 and N = 3"),
        ((3, 4, 4), "threshold M is 4; it must lie between 1 and N = 3"),
        ((0, 0, 0), "threshold M is 0; it must lie between 1 and N = 0"),
        ((5, 3, 2), "vote quorum Q is 2; it must lie between 3 and 5"),
        ((5, 3, 6), "vote quorum Q is 6; it must lie between 3 and 5"),
        ((4, 2, 2), "vote quorum Q is 2; it must lie between 3 and 4"),
        ((5, 4, 3), "vote quorum Q is 3; it must lie between 4 and 5"),
    ],
)
def test_unsafe_numbers_are_refused_with_the_bounds(numbers: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match="must lie between") as caught:
        Quorum(*numbers)
    assert str(caught.value) == message


votes = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([None, "a", "b"]), st.binary(min_size=1, max_size=2)), max_size=30
)


@given(votes)
def test_each_members_first_vote_counts_and_a_different_second_one_is_evidence(
    cast: list[tuple[int, str | None, bytes]],
) -> None:
    tally, first = Tally(), dict[int, tuple[str | None, bytes]]()
    for member, block_hash, envelope in cast:
        evidence = tally.add(member, block_hash, envelope)
        earlier = first.setdefault(member, (block_hash, envelope))
        assert evidence == (earlier[1] if earlier[0] != block_hash else None)
    assert tally.votes == first
    assert len(tally) == len(first)
    for block_hash in (None, "a", "b"):
        voters = sorted(m for m, vote in first.items() if vote[0] == block_hash)
        assert tally.count(block_hash) == len(voters)
        assert list(tally.voters(block_hash)) == voters


@given(votes, st.integers(1, 7))
def test_the_leader_is_the_block_with_enough_votes_and_its_proof_holds_just_these(
    cast: list[tuple[int, str | None, bytes]], enough: int
) -> None:
    tally = Tally()
    for vote in cast:
        tally.add(*vote)
    leader = tally.leader(enough)
    assert (leader is not None) == any(tally.count(block_hash) >= enough for block_hash in ("a", "b"))
    if leader is not None:
        proof = tally.proof("prevote", 9, 2, leader, enough)
        assert (proof.vote, proof.height, proof.round, proof.block_hash) == ("prevote", 9, 2, leader)
        assert proof.voters == tally.voters(leader)[:enough]
        assert proof.envelopes == tuple(tally.votes[member][1] for member in proof.voters)
        assert len(proof.voters) == enough


@given(votes, st.integers(0, 6))
def test_a_discarded_vote_leaves_no_trace(cast: list[tuple[int, str | None, bytes]], member: int) -> None:
    with_it, without = Tally(), Tally()
    for vote in cast:
        with_it.add(*vote)
        if vote[0] != member:
            without.add(*vote)
    with_it.discard(member)
    assert vars(with_it) == vars(without)
