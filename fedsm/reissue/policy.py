"""What this operator lets its key sign, whatever the schedule says: the limits of [reissuance] in its own file."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

PolicyCode = Literal["policy-asset", "policy-rate", "policy-amount", "policy-destination"]

MEANINGS: Final[dict[PolicyCode, str]] = {
    "policy-asset": "the asset is not among `assets`",
    "policy-rate": "the rate of the schedule is above `max-rate`",
    "policy-amount": "the amount of the period is above `max-amount`",
    "policy-destination": "the schedule pays to another address than `destination`",
}


@dataclass(frozen=True)
class Policy:
    """The limits; ``None`` is no limit. ``assets`` are ids as displayed, ``max_amount`` is in satoshi.

    ``destination`` is an output script.
    """

    assets: frozenset[str] | None = None
    max_rate: Fraction | None = None
    max_amount: int | None = None
    destination: bytes | None = None

    def objection(self, asset: str, amount: int, rate: Fraction, destination: bytes) -> str:
        """Why a reissuance is beyond the limits, beginning with a code; empty when it is not."""
        if self.assets is not None and asset not in self.assets:
            return f"policy-asset: {asset} is not among the assets allowed"
        if self.max_rate is not None and rate > self.max_rate:
            return f"policy-rate: {float(rate):g} a year is above {float(self.max_rate):g}"
        if self.max_amount is not None and amount > self.max_amount:
            return f"policy-amount: {amount} satoshi are above {self.max_amount}"
        if self.destination is not None and destination != self.destination:
            return f"policy-destination: {destination.hex()} is not {self.destination.hex()}"
        return ""
