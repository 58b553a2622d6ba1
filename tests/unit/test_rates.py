"""Allowances: what a sender may cost, and how long it waits when it has cost more."""

from __future__ import annotations

import pytest

from transports.limits import MAX_MESSAGE_BYTES
from transports.rates import (
    BYTE_BURST,
    BYTES_PER_S,
    CPU_BURST_S,
    CPU_SHARE,
    MESSAGE_BURST,
    MESSAGES_PER_S,
    Allowance,
    SenderRates,
)


def test_a_burst_is_free_and_what_is_beyond_is_waited_for() -> None:
    allowance = Allowance(per_second=10, burst=5, now_s=100)
    allowance.spend(5, 100)
    assert allowance.debt_s(100) == 0
    allowance.spend(3, 100)
    assert allowance.debt_s(100) == pytest.approx(0.3)
    assert allowance.debt_s(100.2) == pytest.approx(0.1)
    assert allowance.debt_s(100.3) == pytest.approx(0)


def test_who_was_silent_saves_a_burst_and_no_more() -> None:
    allowance = Allowance(per_second=10, burst=5, now_s=0)
    allowance.spend(5, 1_000_000)
    assert allowance.debt_s(1_000_000) == 0
    allowance.spend(1, 1_000_000)
    assert allowance.debt_s(1_000_000) == pytest.approx(0.1)


def test_one_is_taken_at_a_time_until_nothing_is_left() -> None:
    allowance = Allowance(per_second=1, burst=3, now_s=0)
    # What is left may be overdrawn once: nothing owed is enough.
    assert [allowance.take(0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert [allowance.take(1) for _ in range(2)] == [True, False]


def test_a_sender_may_send_a_burst_of_messages_and_then_so_many_a_second() -> None:
    rates = SenderRates(senders=4, now_s=0)
    rates.spend(MESSAGE_BURST, 0, 0, 0)
    assert rates.wait_s(0) == 0
    rates.spend(MESSAGES_PER_S, 0, 0, 0)
    assert rates.wait_s(0) == pytest.approx(1)


def test_a_sender_may_send_a_burst_of_bytes_and_then_so_many_a_second() -> None:
    rates = SenderRates(senders=4, now_s=0)
    rates.spend(8, BYTE_BURST, 0, 0)
    assert rates.wait_s(0) == 0
    rates.spend(1, BYTES_PER_S, 0, 0)
    assert rates.wait_s(0) == pytest.approx(1)


@pytest.mark.parametrize("senders", [1, 4, 19])
def test_senders_share_the_processor_time(senders: int) -> None:
    rates = SenderRates(senders, now_s=0)
    rates.spend(1, 0, CPU_BURST_S, 0)
    assert rates.wait_s(0) == 0
    rates.spend(1, 0, 0.1, 0)
    assert rates.wait_s(0) == pytest.approx(0.1 * senders / CPU_SHARE)


def test_the_largest_messages_of_an_honest_member_are_never_waited_for() -> None:
    rates = SenderRates(senders=19, now_s=0)
    for second in range(10):
        rates.spend(60, MAX_MESSAGE_BYTES // 2, 0.02, second)
        assert rates.wait_s(second) == 0
