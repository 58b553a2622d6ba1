"""Slots on the wall clock, and catching up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from states.schedule import Schedule

intervals = st.integers(50, 24 * 3600 * 1000)
times = st.integers(0, 4_000_000_000_000)


@given(intervals, times, st.booleans())
def test_the_next_slot_lies_ahead_on_the_grid_and_none_lies_between(
    interval_ms: int, after_ms: int, behind: bool
) -> None:
    grid = interval_ms // 2 if behind else interval_ms
    slot = Schedule(interval_ms).next_slot(after_ms, behind=behind)
    assert after_ms < slot <= after_ms + grid
    assert slot % grid == 0


@given(intervals, times)
def test_members_with_clocks_that_differ_a_little_see_the_same_slots(interval_ms: int, now_ms: int) -> None:
    schedule = Schedule(interval_ms)
    slot = schedule.next_slot(now_ms, behind=False)
    assert schedule.next_slot(slot - 1, behind=False) == slot


@pytest.mark.parametrize(
    ("interval_ms", "early_ms"), [(50, 5), (1000, 100), (10_000, 1000), (60_000, 1000), (600_000, 1000)]
)
def test_a_proposal_may_come_early_by_a_tenth_of_the_interval_and_a_second_at_most(
    interval_ms: int, early_ms: int
) -> None:
    assert Schedule(interval_ms).early_ms == early_ms


def test_a_chain_with_one_block_an_interval_is_on_schedule_and_half_an_interval_late_is_not_yet_behind() -> None:
    schedule, first = Schedule(10_000), 1_700_000_000
    due_ms = (first + 1) * 1000 + 99 * 10_000
    assert not schedule.is_behind(100, first, due_ms)
    assert not schedule.is_behind(100, first, due_ms + 5_000)
    assert schedule.is_behind(100, first, due_ms + 5_001)
    assert not schedule.is_behind(101, first, due_ms + 5_001)


@given(intervals, st.integers(0, 10**6), times)
def test_a_chain_without_blocks_is_never_behind(interval_ms: int, height: int, now_ms: int) -> None:
    assert not Schedule(interval_ms).is_behind(height, None, now_ms)
    assert not Schedule(interval_ms).is_behind(0, 1, now_ms)


@given(intervals, st.integers(0, 10**6))
def test_a_chain_that_catches_up_at_half_slots_gets_back_on_schedule(interval_ms: int, missed: int) -> None:
    schedule, first = Schedule(interval_ms), 1_000_000
    now_ms = (first + 1) * 1000 + missed * interval_ms
    # after as many half slots again as intervals were missed, and two more for the rounding down
    later_ms = now_ms + (missed + 2) * interval_ms
    height = 1 + 2 * (missed + 2)
    assert not schedule.is_behind(height, first, later_ms)
