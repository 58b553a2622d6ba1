"""Echoes: of what travels several ways, each copy that was sent is heard once."""

from __future__ import annotations

import itertools

import pytest

from transports import echoes as module
from transports.echoes import ECHO_S, MAX_LEAD, Echoes

FAST, SLOW = 0, 1


def test_the_first_to_come_is_heard_and_the_other_way_brings_an_echo_however_late() -> None:
    echoes = Echoes(2)
    assert not echoes.is_echo(FAST, b"vote", 100)
    assert echoes.is_echo(SLOW, b"vote", 100 + ECHO_S)
    assert not echoes.is_echo(SLOW, b"another", 100)
    assert echoes.is_echo(FAST, b"another", 100.5)


def test_what_is_sent_again_is_heard_again_whichever_way_is_first() -> None:
    echoes = Echoes(2)
    assert [echoes.is_echo(FAST, b"vote", second) for second in range(3)] == [False] * 3
    assert [echoes.is_echo(SLOW, b"vote", 3) for _ in range(4)] == [True] * 3 + [False]
    assert echoes.is_echo(FAST, b"vote", 3)


@pytest.mark.parametrize("lost", [(1, 0), (0, 1), (2, 0), (0, 2)], ids=str)
def test_a_way_that_loses_copies_takes_nothing_away_from_the_other(lost: tuple[int, int]) -> None:
    echoes = Echoes(2)
    arrivals = [way for way in (FAST, SLOW) for _ in range(3 - lost[way])]
    for order in itertools.permutations(arrivals):
        echoes = Echoes(2)
        heard = sum(not echoes.is_echo(way, b"vote", 0) for way in order)
        assert heard == max(3 - lost[FAST], 3 - lost[SLOW])


def test_one_way_alone_has_no_echoes() -> None:
    echoes = Echoes(1)
    assert not any(echoes.is_echo(0, b"vote", 0) for _ in range(100))


def test_three_ways_bring_one_message() -> None:
    echoes = Echoes(3)
    assert [echoes.is_echo(way, b"vote", 0) for way in (2, 0, 1)] == [False, True, True]


def test_what_comes_after_the_window_counts_as_sent_again() -> None:
    echoes = Echoes(2)
    assert not echoes.is_echo(FAST, b"vote", 0)
    assert not echoes.is_echo(SLOW, b"vote", ECHO_S + 1)
    assert echoes.is_echo(FAST, b"vote", ECHO_S + 2)


def test_a_flood_of_copies_on_one_way_silences_the_other_only_for_a_few() -> None:
    echoes = Echoes(2)
    assert not any(echoes.is_echo(FAST, b"vote", 0) for _ in range(1000))
    assert [echoes.is_echo(SLOW, b"vote", 1) for _ in range(MAX_LEAD + 1)] == [True] * MAX_LEAD + [False]


def test_the_memory_is_bounded_and_keeps_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MESSAGES", 100)
    echoes = Echoes(2)
    for number in range(1000):
        assert not echoes.is_echo(FAST, b"%d" % number, 0)
    assert len(echoes._seen._entries) == 100
    assert echoes.is_echo(SLOW, b"999", 0)
    assert not echoes.is_echo(SLOW, b"0", 0)
