"""What a reissuance is to do, and the coins it is made of."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import wallycore as wally

from fedsm.reissue.custody import Unblinded


@dataclass(frozen=True)
class AssetTags:
    """An asset that can be reissued. All are 32 bytes in internal order; they follow from the entropy."""

    entropy: bytes

    @property
    def asset(self) -> bytes:
        """The asset itself."""
        return bytes(wally.tx_elements_issuance_calculate_asset(self.entropy))

    @property
    def token(self) -> bytes:
        """Its reissuance token, of an issuance with explicit amounts."""
        return bytes(wally.tx_elements_issuance_calculate_reissuance_token(self.entropy, 0))


@dataclass(frozen=True)
class Order:
    """One asset's reissuance in one period: ``amount`` satoshi to the output script ``destination``.

    ``due_height`` names the period: the height at which the reissuance fell due.
    """

    tags: AssetTags
    due_height: int
    amount: int
    destination: bytes

    def digest(self) -> bytes:
        """What tells this order from every other one."""
        numbers = struct.pack("<qq", self.due_height, self.amount)
        return bytes(wally.sha256(self.tags.entropy + numbers + self.destination))


@dataclass(frozen=True)
class TokenCoin:
    """The token output that a reissuance spends and makes anew. ``outpoint`` is txid and index, 36 bytes.

    ``asset_commitment`` and ``value_commitment`` are the output's own, 33 bytes each.
    """

    outpoint: bytes
    asset_commitment: bytes
    value_commitment: bytes
    holds: Unblinded


@dataclass(frozen=True)
class FeeCoin:
    """An output of explicit policy asset on the script that holds the tokens: it pays the fee."""

    outpoint: bytes
    satoshi: int
