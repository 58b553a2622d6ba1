"""When a member sends a heartbeat, what stands in it, and when it must believe that it has a rival."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from fedsm.beacon import ANSWER_MS, HEARTBEAT_MS, Beacon
from states.messages import Heartbeat
from states.quorum import Quorum
from states.round import Round
from tests.members import TIP, Federation

ALICE, BOB, CAROL = Federation().members
NOW = 5_000


def beacon(quorum: Quorum | None = None, **core: Any) -> Beacon:
    settings = SimpleNamespace(quorum=quorum or Quorum(3, 2, 2), member=0)
    fields = {"height": 10, "round": 2, "tip": TIP, "state": "Propose", "fresh": True, "settings": settings}
    return Beacon(cast(Round, SimpleNamespace(**(fields | core))), ALICE.certificate(), "0.1.0", lambda: (1, 7, 0))


def heard(holding: int, members: int = 3) -> Heartbeat:
    """A peer's heartbeat that holds this serial of member 0."""
    return BOB.heartbeat(members, serials=(holding,) + (0,) * (members - 1))


def test_a_heartbeat_tells_where_the_member_stands_and_carries_its_certificate() -> None:
    assert beacon().heartbeat(NOW, 1_700_000_000_000) == Heartbeat(
        height=10,
        round=2,
        version="0.1.0",
        tip=TIP,
        state="Propose",
        time_ms=1_700_000_000_000,
        fresh=True,
        serials=(1, 7, 0),
        certificate=ALICE.certificate(),
    )


def test_the_first_heartbeat_is_due_at_once_and_each_next_one_a_second_later() -> None:
    member = beacon()
    assert member.due_in(NOW) == 0
    member.heartbeat(NOW, 0)
    assert member.due_in(NOW) == HEARTBEAT_MS
    assert member.due_in(NOW + HEARTBEAT_MS + 5) == 0


def test_a_peer_without_our_certificate_is_answered_soon_but_not_more_than_ten_times_a_second() -> None:
    member = beacon()
    member.heartbeat(NOW, 0)
    member.heard(1, heard(0), NOW + 10)
    assert member.due_in(NOW + 10) == ANSWER_MS - 10
    member.heard(2, heard(0), NOW + 500)
    assert member.due_in(NOW + 500) == 0
    member.heartbeat(NOW + 500, 0)
    member.heard(1, heard(1), NOW + 510)
    assert member.due_in(NOW + 510) == HEARTBEAT_MS - 10


def test_a_peer_that_holds_our_certificate_changes_nothing() -> None:
    member = beacon()
    member.heartbeat(NOW, 0)
    member.heard(1, heard(1), NOW + 10)
    assert member.due_in(NOW + 10) == HEARTBEAT_MS - 10
    assert not member.disowned


def test_a_rival_is_believed_from_n_minus_q_plus_one_members_on() -> None:
    member = beacon(Quorum(5, 3, 4))
    member.heard(1, heard(2, 5), NOW)
    member.heard(1, heard(3, 5), NOW)
    assert not member.disowned, "one member, however often"
    member.heard(4, heard(2, 5), NOW)
    assert member.disowned


def test_with_a_low_quorum_more_members_are_needed_to_believe_in_a_rival() -> None:
    member = beacon(Quorum(5, 3, 3))
    for peer in (1, 2):
        member.heard(peer, heard(2, 5), NOW)
    assert not member.disowned
    member.heard(3, heard(2, 5), NOW)
    assert member.disowned
