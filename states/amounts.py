"""How much an asset is reissued by: the written rule of docs/reissuance.md, in integers only.

Amounts are satoshi (10^-8 of an asset unit). The growth of a period is (1 + rate)^years, irrational as a rule; it
is bounded from below by an integer over 2^256. No float and no rounding of a library has a part in it: every member
gets the same amount from the same facts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from math import isqrt
from typing import Final

import msgspec

MAX_AMOUNT: Final = 2_100_000_000_000_000  # satoshi: nodes allow no output and no issuance to be larger
MAX_SUPPLY: Final = 2**63 - 1  # satoshi: of many outputs together
YEAR_MS: Final = 365 * 86_400 * 1000
MAX_RATE: Final = 100
MAX_RATE_PLACES: Final = 24
MAX_PERIOD: Final = 10_000_000  # blocks
MAX_YEARS: Final = 1000

_PLACES: Final = 256  # binary places of a growth factor
_GUARDED: Final = 384  # and of what it is computed from, so that all errors together stay below its last place
_ONE: Final = 1 << _PLACES
_TOLERANCE: Final = 1 << (_PLACES - 128)  # 2^-128 satoshi: what an amount may be short of by these errors
_RATE: Final = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,2})?", re.ASCII)


class AmountError(ValueError):
    """Facts or settings from which no amount can be computed; the message names the one that is wrong."""


class Inflation(msgspec.Struct, frozen=True):
    """What all members have agreed on: a rate a year, and a period of so many blocks of ``interval_ms`` each.

    ``rate`` is a decimal fraction as text ("0.05" is 5 %): a binary float would not be what was agreed on. Raises
    AmountError for values out of range.
    """

    rate: str
    period: int
    interval_ms: int

    def __post_init__(self) -> None:
        parse_rate(self.rate)
        if not 1 <= self.period <= MAX_PERIOD:
            raise AmountError(f"the period is {self.period} blocks; it must lie between 1 and {MAX_PERIOD}")
        if self.interval_ms < 1:
            raise AmountError(f"the block interval is {self.interval_ms} ms; it must be at least 1")

    @property
    def years(self) -> Fraction:
        """One period as a share of a year of 365 days."""
        return Fraction(self.interval_ms * self.period, YEAR_MS)


class Unfrozen(msgspec.Struct, frozen=True):
    """An output of ``value`` satoshi that was frozen at height ``start`` and unfrozen at height ``end``."""

    value: int
    start: int
    end: int


def parse_rate(text: str) -> Fraction:
    """The rate as an exact fraction. AmountError unless it is a decimal number above 0 and at most 100."""
    if not _RATE.fullmatch(text):
        raise AmountError(f"the rate {text!r} is not a decimal number such as 0.05")
    rate = Fraction(text)
    if not 0 < rate <= MAX_RATE:
        raise AmountError(f"the rate is {text}; it must be above 0 and at most {MAX_RATE}")
    if (rate * 10**MAX_RATE_PLACES).denominator != 1:
        raise AmountError(f"the rate {text} has more than {MAX_RATE_PLACES} decimal places")
    return rate


def amount_due(inflation: Inflation, height: int, supply: int, unfrozen: Iterable[Unfrozen] = ()) -> int:
    """What is to be reissued at ``height``, in satoshi; 0 when it rounds to nothing.

    ``supply`` is what is spendable of the asset after the block at ``height``. Of ``unfrozen``, the asset's outputs
    whose freeze has ended, those freed in the period that ends at ``height`` get the growth that they missed.
    AmountError for facts that cannot be, and for an amount that no chain can hold.
    """
    if not 0 <= supply <= MAX_SUPPLY:
        raise AmountError(f"the spendable supply is {supply} satoshi; it must lie between 0 and {MAX_SUPPLY}")
    total = supply * (growth(inflation.rate, inflation.years) - _ONE)
    for output in unfrozen:
        _check_unfrozen(output, height)
        if output.end > height - inflation.period:
            missed = (height - output.start) // inflation.period
            total += output.value * (growth(inflation.rate, missed * inflation.years) - _ONE)
    amount = (total + (_ONE >> 1) + _TOLERANCE) >> _PLACES
    if amount > MAX_AMOUNT:
        raise AmountError(f"the amount is {amount} satoshi; a transaction can hold {MAX_AMOUNT}")
    return amount


@lru_cache(maxsize=256)
def growth(rate: str, years: Fraction) -> int:
    """(1 + rate)^years times 2^256, rounded down or one less. AmountError beyond 1000 years.

    The power for whole years is exact. For the rest, each binary place of the exponent stands for a square root
    of the factor that the place before it stands for.
    """
    if years > MAX_YEARS:
        raise AmountError(f"a growth over {int(years)} years cannot be computed; the limit is {MAX_YEARS}")
    base = 1 + parse_rate(rate)
    whole = int(years)
    exponent = int((years - whole) * 2**_GUARDED)
    factor = 1 << _GUARDED
    root = (base.numerator << _GUARDED) // base.denominator
    for place in reversed(range(_GUARDED)):
        root = isqrt(root << _GUARDED)
        if exponent >> place & 1:
            factor = factor * root >> _GUARDED
    power = base**whole
    return factor * power.numerator // power.denominator >> (_GUARDED - _PLACES)


def _check_unfrozen(output: Unfrozen, height: int) -> None:
    if not 0 <= output.value <= MAX_AMOUNT:
        raise AmountError(f"a frozen value is {output.value} satoshi; it must lie between 0 and {MAX_AMOUNT}")
    if not 0 <= output.start <= output.end <= height:
        raise AmountError(f"frozen at height {output.start}, unfrozen at {output.end}: impossible at {height}")
