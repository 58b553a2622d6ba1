"""Early messages wait for their height, within bounds that a flood cannot move."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from states.events import Received
from states.mailbox import MAX_EARLY_BLOCKS_PER_MEMBER, MAX_EARLY_PER_MEMBER, MAX_HEIGHTS_AHEAD, Mailbox
from states.messages import Message, Prevote, Proposal


def early(sender: int, message: Message, copy: int = 0) -> Received:
    return Received(sender, message, repr((sender, message, copy)).encode(), 0)


def vote(sender: int, height: int, round_: int = 0) -> Received:
    return early(sender, Prevote(height, round_, None))


def block(sender: int, height: int, round_: int = 0) -> Received:
    return early(sender, Proposal(height, round_, "aa" * 32, b"block"))


def test_messages_are_given_out_once_and_when_their_height_opens() -> None:
    mailbox = Mailbox()
    assert mailbox.keep(vote(2, 11), 10)
    assert mailbox.keep(vote(1, 11), 10)
    assert mailbox.keep(vote(1, 12), 10)
    assert mailbox.take(11) == [vote(1, 11), vote(2, 11)]
    assert mailbox.take(11) == []
    assert mailbox.take(12) == [vote(1, 12)]


def test_messages_of_one_sender_keep_their_order() -> None:
    mailbox = Mailbox()
    sent = [block(3, 11), vote(3, 11), vote(3, 11, 1)]
    for event in sent:
        mailbox.keep(event, 10)
    assert mailbox.take(11) == sent


def test_heights_that_are_too_far_ahead_or_not_ahead_are_not_believed() -> None:
    mailbox = Mailbox()
    assert mailbox.keep(vote(1, 10 + MAX_HEIGHTS_AHEAD), 10)
    assert not mailbox.keep(vote(1, 11 + MAX_HEIGHTS_AHEAD), 10)
    assert not mailbox.keep(vote(1, 10), 10)
    assert not mailbox.keep(vote(1, 9), 10)


def test_heights_that_were_skipped_are_dropped() -> None:
    mailbox = Mailbox()
    mailbox.keep(vote(1, 11), 10)
    mailbox.keep(vote(1, 12), 10)
    assert mailbox.take(12) == [vote(1, 12)]
    assert mailbox.take(11) == []


def test_what_is_sent_again_does_not_push_out_what_came_before() -> None:
    mailbox = Mailbox()
    mailbox.keep(block(1, 11), 10)
    for _ in range(100):
        assert mailbox.keep(vote(1, 11), 10)
    assert mailbox.take(11) == [block(1, 11), vote(1, 11)]


def test_a_member_that_floods_pushes_out_only_its_own_oldest_messages() -> None:
    mailbox = Mailbox()
    mailbox.keep(vote(2, 11), 10)
    for round_ in range(100):
        mailbox.keep(vote(1, 11, round_), 10)
    rounds = [event.message.round for event in mailbox.take(11) if event.sender == 1]
    assert rounds == list(range(100 - MAX_EARLY_PER_MEMBER, 100))


def test_no_member_has_more_than_a_few_blocks_kept() -> None:
    mailbox = Mailbox()
    mailbox.keep(vote(1, 11), 10)
    for round_ in range(100):
        mailbox.keep(block(1, 11, round_), 10)
    kept = mailbox.take(11)
    assert kept[0] == vote(1, 11)
    assert [event.message.round for event in kept[1:]] == list(range(100 - MAX_EARLY_BLOCKS_PER_MEMBER, 100))


events = st.builds(
    lambda sender, height, round_, is_block, copy: early(
        sender, Proposal(height, round_, "aa" * 32, b"b") if is_block else Prevote(height, round_, None), copy
    ),
    st.integers(0, 3),
    st.integers(0, 20),
    st.integers(0, 5),
    st.booleans(),
    st.integers(0, 50),
)


@given(st.lists(st.tuples(events, st.integers(0, 20)), max_size=200))
def test_whatever_comes_in_no_share_is_exceeded(arrivals: list[tuple[Received, int]]) -> None:
    mailbox = Mailbox()
    for event, height in arrivals:
        mailbox.keep(event, height)
        for kept in mailbox._early.values():
            assert len(kept) <= MAX_EARLY_PER_MEMBER
            assert len([e for e in kept if isinstance(e.message, Proposal)]) <= MAX_EARLY_BLOCKS_PER_MEMBER
