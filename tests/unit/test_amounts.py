"""The rule for amounts: golden vectors, the old daemon's recorded schedule, and exact arithmetic."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from states.amounts import (
    MAX_AMOUNT,
    MAX_SUPPLY,
    YEAR_MS,
    AmountError,
    Inflation,
    Unfrozen,
    amount_due,
    parse_rate,
)

VECTORS = Path(__file__).parents[1] / "vectors"
GOLDEN = json.loads((VECTORS / "reissuance" / "amounts.json").read_text())
RECORDED = [json.loads(line) for line in (VECTORS / "ocean" / "reissuance_schedule.jsonl").read_text().splitlines()]
DAY_MS = 86_400_000


def satoshi(text: str) -> int:
    return int(Decimal(text) * 10**8)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["note"])
def test_golden_vectors(case):
    inflation = Inflation(case["rate"], case["period"], case["interval_ms"])
    unfrozen = [Unfrozen(*output) for output in case["unfrozen"]]
    assert amount_due(inflation, case["height"], case["supply"], unfrozen) == case["amount"]
    # The vectors are consistent in themselves: "exact" is the real number that was rounded.
    assert case["amount"] == math.floor(Fraction(case["exact"]) + Fraction(1, 2))


def test_the_old_schedule_is_met_and_the_one_difference_is_the_old_float_rounding():
    """The old code subtracts two floats near the supply: its result is a multiple of the float spacing there."""
    differences = []
    for case in RECORDED:
        inflation = Inflation(str(case["rate"]), case["period"], case["interval"] * 1000)
        freed = [f for f in case["freeze"] if f["asset"] == "A" and f["end"] != 0]
        unfrozen = [Unfrozen(satoshi(f["value"]), f["start"], f["end"]) for f in freed]
        ours = amount_due(inflation, case["height"], satoshi(case["amountspendable"]), unfrozen)
        [arguments] = case["createrawreissuance_args"]
        if ours != satoshi(arguments[1]):
            differences.append((case, ours, satoshi(arguments[1]), unfrozen))
    assert len(RECORDED) == 120
    [(case, ours, theirs, unfrozen)] = differences
    assert (ours, theirs, unfrozen) == (107, 106, [])
    # 106.508 satoshi exactly; floats at this supply lie 0.0116 satoshi apart.
    supply = float(case["amountspendable"])
    old = supply * (1 + case["rate"]) ** (case["interval"] * case["period"] / 31536000) - supply
    assert 0.008 < 106.508 - old * 1e8 < 2 * math.ulp(supply) * 1e8


@given(
    st.integers(1, 10**15),
    st.fractions(Fraction(1, 10**6), 2, max_denominator=10**6).filter(lambda r: 10**8 % r.denominator == 0),
    st.integers(1, 60),
)
@settings(max_examples=60)
def test_a_day_by_day_amount_is_the_nearest_to_the_exact_root(supply, rate, days):
    """Without back-pay, A is right when (S + A - 1/2)^q <= S^q * (1 + rate)^p < (S + A + 1/2)^q, t = p/q."""
    rate_text = format(Decimal(rate.numerator) / Decimal(rate.denominator), "f")
    inflation = Inflation(rate_text, days, DAY_MS)
    amount = amount_due(inflation, days, supply)
    assert is_nearest(supply, amount, 1 + Fraction(rate_text), inflation.years)


def is_nearest(supply: int, amount: int, base: Fraction, years: Fraction) -> bool:
    p, q = years.numerator, years.denominator
    grown = supply**q * base.numerator**p * 2**q
    scale = base.denominator**p
    return (2 * (supply + amount) - 1) ** q * scale <= grown < (2 * (supply + amount) + 1) ** q * scale


def test_a_hundred_years_of_periods_follow_exact_arithmetic():
    """Each reissuance is added to the supply of the next, as on a chain: 1,217 periods of 30 days at 5 %."""
    inflation = Inflation("0.05", 30, DAY_MS)
    supply, base = 100_000_000_000, Fraction(105, 100)
    for step in range(1, 1218):
        amount = amount_due(inflation, 30 * step, supply)
        assert is_nearest(supply, amount, base, inflation.years)
        supply += amount
    curve = 10**11 * 1.05 ** (1217 * 30 / 365)
    # Half a satoshi a step, grown at most 131-fold, and the error of the float.
    assert abs(supply - curve) < 1217 * 100


@given(st.integers(0, MAX_SUPPLY // 2), st.integers(0, MAX_SUPPLY // 2), st.integers(1, 100_000))
def test_amounts_rise_with_the_supply_and_differ_from_their_sum_by_rounding_only(one, other, period):
    inflation = Inflation("0.0000001", period, 60_000)
    parts = amount_due(inflation, period, one) + amount_due(inflation, period, other)
    assert abs(amount_due(inflation, period, one + other) - parts) <= 1


@given(st.integers(1, 50), st.integers(1, 9), st.integers(1, 10**13))
def test_back_pay_is_what_an_unfrozen_output_would_have_earned(periods, seconds, value):
    """Frozen before ``periods`` steps and freed after the last of them: paid as one growth over so many periods."""
    inflation = Inflation("0.05", 10, seconds * 1000)
    height = 10 * (periods + 1)
    paid = amount_due(inflation, height, 0, [Unfrozen(value, 9, height - 9)])
    whole = Inflation("0.05", 10 * periods, seconds * 1000)
    assert paid == amount_due(whole, 10 * periods, value)


def test_what_missed_nothing_or_was_paid_before_gets_nothing():
    inflation = Inflation("0.05", 10, 60_000)
    assert amount_due(inflation, 30, 0, [Unfrozen(10**12, 21, 29)]) == 0
    assert amount_due(inflation, 30, 0, [Unfrozen(10**12, 1, 20)]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a decimal number"),
        ("five", "not a decimal number"),
        ("1/20", "not a decimal number"),
        ("-0.05", "not a decimal number"),
        ("nan", "not a decimal number"),
        ("1e-400", "not a decimal number"),
        ("\u0660.\u0665", "not a decimal number"),
        ("0", "above 0 and at most 100"),
        ("100.01", "above 0 and at most 100"),
        ("1e-25", "more than 24 decimal places"),
    ],
)
def test_rates_that_are_none_are_refused(text, message):
    with pytest.raises(AmountError, match=message):
        parse_rate(text)


def test_periods_heights_and_amounts_out_of_range_are_refused_by_name():
    with pytest.raises(AmountError, match="period is 0 blocks"):
        Inflation("0.05", 0, 60_000)
    with pytest.raises(AmountError, match="block interval is 0 ms"):
        Inflation("0.05", 10, 0)
    yearly = Inflation("1.1", 1, YEAR_MS)
    with pytest.raises(AmountError, match=f"a transaction can hold {MAX_AMOUNT}"):
        amount_due(yearly, 1, MAX_AMOUNT)
    with pytest.raises(AmountError, match="spendable supply is -1"):
        amount_due(yearly, 1, -1)
    with pytest.raises(AmountError, match="growth over 2990 years cannot be computed"):
        amount_due(yearly, 2990, 0, [Unfrozen(1, 0, 2990)])
    with pytest.raises(AmountError, match="unfrozen at 31: impossible at 30"):
        amount_due(Inflation("0.05", 10, 60_000), 30, 0, [Unfrozen(1, 5, 31)])
