"""What is heard at one height: counted, proven, and bounded whatever one member sends."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from states.ballots import MAX_FUTURE_ROUNDS_PER_MEMBER, PAST_ROUNDS_KEPT, Ballots
from states.quorum import Quorum
from tests.core_bench import HEIGHT, TIP, X, Y, Z, body, proof, proposal

LIAR = 4


def ballots(votes: int = 3) -> Ballots:
    return Ballots(Quorum(5, 3, votes), HEIGHT)


def envelope(*parts: object) -> bytes:
    return repr(parts).encode()


def vote(box: Ballots, round_: int, voters: tuple[int, ...], block_hash: str | None, kind: str = "prevote") -> None:
    for voter in voters:
        assert box.add_vote(kind, round_, voter, block_hash, envelope(kind, round_, voter, block_hash)) is None  # type: ignore[arg-type]


def propose(box: Ballots, round_: int, sender: int, block_hash: str) -> bytes | None:
    return box.add_proposal(proposal(round_, block_hash), sender, envelope(round_, sender, block_hash))


# --- certificates


def test_q_precommits_in_one_round_are_a_certificate_at_once() -> None:
    box = ballots()
    vote(box, 2, (0, 3), X, "precommit")
    assert not box.has_quorum(X)
    vote(box, 2, (1,), X, "precommit")
    assert box.certificate is not None
    assert (box.certificate.round, box.certificate.block_hash) == (2, X)
    assert box.certificate.voters == (0, 1, 3)
    assert box.certificate.envelopes == tuple(envelope("precommit", 2, m, X) for m in (0, 1, 3))


def test_precommits_of_different_rounds_blocks_or_kinds_do_not_add_up() -> None:
    box = ballots()
    vote(box, 0, (0, 1), X, "precommit")
    vote(box, 0, (2,), Y, "precommit")
    vote(box, 0, (3,), None, "precommit")
    vote(box, 1, (2, 3), X, "precommit")
    vote(box, 0, (0, 1, 2, 3, 4), X, "prevote")
    assert box.certificate is None


def test_nil_precommits_are_no_certificate() -> None:
    box = ballots()
    vote(box, 0, (0, 1, 2, 3), None, "precommit")
    assert box.certificate is None


def test_a_certificate_outlives_the_votes_it_was_made_of() -> None:
    box = ballots()
    vote(box, 1, (0, 1, 2), X, "precommit")
    box.enter_round(100)
    assert not box.envelopes("precommit", 1)
    assert box.certificate is not None
    assert len(box.certificate.envelopes) == 3
    assert box.supporters(X) == [0, 1, 2]


def test_a_certificate_of_a_round_long_past_is_taken() -> None:
    box = ballots()
    box.enter_round(100)
    box.certify(proof("precommit", 1, X))
    assert box.certificate == proof("precommit", 1, X)


def test_the_first_certificate_counts() -> None:
    box = ballots()
    box.certify(proof("precommit", 1, X))
    box.certify(proof("precommit", 0, Y))
    vote(box, 2, (0, 1, 2), Z, "precommit")
    assert box.certificate == proof("precommit", 1, X)


# --- proposals and bodies


def test_the_first_proposal_of_a_round_counts_and_another_block_is_evidence() -> None:
    box = ballots()
    assert propose(box, 0, 1, X) is None
    assert propose(box, 0, 1, X) is None
    assert propose(box, 0, 1, Y) == envelope(0, 1, X)
    assert box.proposals[0].block_hash == X
    assert Y not in box.blocks


def test_a_later_copy_never_replaces_a_body_by_itself() -> None:
    box = ballots()
    propose(box, 0, 1, X)
    spoiled = proposal(1, X)
    box.add_proposal(spoiled.__class__(HEIGHT, 1, X, b"spoiled"), 2, b"later")
    assert box.blocks[X] == body(X)
    assert box.proposal_envelope_of(X) == envelope(0, 1, X)


def test_the_envelope_of_a_block_is_that_of_its_latest_proposal() -> None:
    box = ballots()
    propose(box, 0, 1, X)
    propose(box, 5, 1, X)
    assert box.proposal_envelope_of(X) == envelope(5, 1, X)
    assert box.proposal_envelope_of(Y) is None
    assert box.proposal_envelope(5, 1) == envelope(5, 1, X)
    assert box.proposal_envelope(5, 2) is None


def test_bodies_go_with_their_rounds_unless_locked_or_certified() -> None:
    box = ballots()
    for round_, block_hash in enumerate((X, Y, Z)):
        propose(box, round_, 1 + round_, block_hash)
    box.keep_block(X, body(X))
    box.certify(proof("precommit", 1, Y))
    box.enter_round(PAST_ROUNDS_KEPT + 3)
    assert set(box.blocks) == {X, Y}
    assert not box.proposals


def test_a_wanted_block_is_the_most_voted_one_without_a_body() -> None:
    box = ballots()
    propose(box, 0, 1, X)
    vote(box, 0, (0, 1), X)
    assert box.wanted(0) is None
    vote(box, 0, (2,), Y)
    vote(box, 0, (3, 4), Z)
    assert box.wanted(0) == (0, Z)
    assert box.wanted(1) is None


def test_supporters_are_all_who_voted_for_a_block_in_any_round() -> None:
    box = ballots()
    vote(box, 0, (3,), X)
    vote(box, 2, (1,), X, "precommit")
    vote(box, 2, (0,), Y)
    assert box.supporters(X) == [1, 3]


def test_a_block_has_a_quorum_when_q_members_voted_for_it_in_one_round() -> None:
    box = ballots()
    vote(box, 0, (0, 1), X)
    vote(box, 1, (2, 3), X)
    assert not box.has_quorum(X)
    vote(box, 1, (4,), X)
    assert box.has_quorum(X)
    assert not box.has_quorum(Y)


# --- who is where


def test_a_round_counts_as_reached_by_so_many_others_and_not_by_ourselves() -> None:
    box = ballots()
    vote(box, 7, (1,), None)
    vote(box, 5, (2,), None)
    vote(box, 9, (0,), None)
    propose(box, 3, 3, X)
    reached = [box.round_reached_by(count, excluding=0) for count in range(5)]
    assert reached == [None, 7, 5, 3, None]


def test_nobody_goes_back_to_a_lower_round() -> None:
    box = ballots()
    vote(box, 7, (1,), None)
    vote(box, 2, (1,), None)
    assert box.round_reached_by(1, excluding=0) == 7


# --- bounds

kinds = st.sampled_from(["prevote", "precommit"])
rounds = st.one_of(st.integers(0, 40), st.integers(0, 10**7))
hashes = st.one_of(st.none(), st.sampled_from([X, Y, Z]), st.integers(0, 10**6).map(lambda i: f"{i:064x}"))


@settings(max_examples=200)
@given(st.lists(st.tuples(kinds, rounds, hashes), max_size=150), st.integers(0, 30))
def test_a_liars_votes_stay_within_bounds(flood: list[tuple[str, int, str | None]], ours: int) -> None:
    box = ballots()
    box.enter_round(ours)
    for kind, round_, block_hash in flood:
        box.add_vote(kind, round_, LIAR, block_hash, envelope(kind, round_, block_hash))  # type: ignore[arg-type]
        kept = [key for key, tally in box._tallies.items() if LIAR in tally.votes]
        past = [key for key in kept if key[1] <= ours + 1]
        assert len(kept) - len(past) <= 2 * MAX_FUTURE_ROUNDS_PER_MEMBER
        assert all(key[1] >= ours - PAST_ROUNDS_KEPT for key in past)
        assert len(box._tallies) == len(kept)
        assert sum(len(tally._counts) for tally in box._tallies.values()) == len(kept)


@settings(max_examples=100)
@given(st.lists(st.tuples(rounds, st.integers(0, 50)), max_size=150), st.integers(0, 30))
def test_a_liars_proposals_stay_within_bounds(flood: list[tuple[int, int]], ours: int) -> None:
    box = ballots()
    box.enter_round(ours)
    for round_, number in flood:
        propose(box, round_, LIAR, f"{number:064x}")
        future = [r for r in box.proposals if r > ours + 1]
        assert len(future) <= MAX_FUTURE_ROUNDS_PER_MEMBER
        assert all(r >= ours - PAST_ROUNDS_KEPT for r in box.proposals)
        assert set(box.blocks) == {p.block_hash for p in box.proposals.values()}
        assert set(box._proposal_envelopes) == set(box.proposals)


@given(st.lists(rounds, min_size=1, max_size=50))
def test_of_a_members_future_rounds_the_latest_are_kept(flood: list[int]) -> None:
    box = ballots()
    for round_ in flood:
        box.add_vote("prevote", round_, LIAR, None, envelope(round_))
    kept = {key[1] for key in box._tallies}
    assert set(sorted(set(flood))[-MAX_FUTURE_ROUNDS_PER_MEMBER:]) <= kept


def test_what_is_older_than_the_bound_is_not_counted_and_no_evidence() -> None:
    box = ballots()
    box.enter_round(PAST_ROUNDS_KEPT + 5)
    assert box.add_vote("prevote", 4, 1, X, b"one") is None
    assert box.add_vote("prevote", 4, 1, Y, b"two") is None
    assert propose(box, 4, 0, TIP) is None
    assert not box.proposals
    assert not len(box.tally("prevote", 4))
