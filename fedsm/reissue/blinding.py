"""Adds outputs to a transaction under construction: explicit ones, and the one blinded token output.

A transaction here has one blinded output and at most one blinded input, so the blinding of the output's value
follows from the rest: all commitments must add up.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import wallycore as wally

from fedsm.chains.transaction import explicit_value
from fedsm.reissue.custody import Unblinded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.reissue.custody import Custody

# The range proof of a token output hides 4 bits at least: 331 bytes, where one for 52 bits takes 4174.
RANGE_PROOF_BITS = 4
LEAST_VALUE = 1  # what the range proof of a spendable output must prove
UNBLINDED = bytes(32)


@dataclass(frozen=True)
class Secrets:
    """Everything random about a token output: 32 bytes each."""

    asset_blinder: bytes
    ephemeral_key: bytes
    surjection_seed: bytes


@dataclass(frozen=True)
class Source:
    """An asset that goes into a transaction, by an input or by an issuance; unblinded without a blinder."""

    asset: bytes
    blinder: bytes = UNBLINDED

    @property
    def generator(self) -> bytes:
        """The commitment to the asset, 33 bytes."""
        return bytes(wally.asset_generator_from_bytes(self.asset, self.blinder))


def derive_secrets(custody: Custody, purpose: bytes, context: bytes) -> Secrets:
    """Secrets that every holder of the blinding key derives alike, and nobody else can."""

    def derive(part: bytes) -> bytes:
        text = b"fedsm/" + purpose + b"/" + part + b"\x00" + context
        return hmac.new(custody.blinding_key, text, hashlib.sha256).digest()

    return Secrets(derive(b"asset blinder"), derive(b"ephemeral key"), derive(b"surjection proof"))


def add_explicit(transaction: Any, asset: bytes, satoshi: int, script: bytes | None) -> None:
    """Add an output that everybody can read; without a script it is the fee."""
    wally.tx_add_elements_raw_output(
        transaction, script, b"\x01" + asset, explicit_value(satoshi), None, None, None, 0
    )


def add_token_output(
    transaction: Any,
    custody: Custody,
    token: bytes,
    value: int,
    spent: Unblinded | None,
    secrets: Secrets,
    sources: Sequence[Source],
) -> None:
    """Add the output of ``value`` tokens on the custody's script, blinded to the shared key.

    ``spent`` is what the one blinded input holds, if there is one. ``sources`` are the assets of all inputs, each
    followed by what it issues.
    """
    script, generator = custody.script_pubkey, Source(token, secrets.asset_blinder).generator
    value_blinder = _balancing_blinder(value, secrets.asset_blinder, spent)
    commitment = wally.asset_value_commitment(value, value_blinder, generator)
    range_proof = wally.asset_rangeproof(
        value,
        custody.blinding_public_key,
        secrets.ephemeral_key,
        token,
        secrets.asset_blinder,
        value_blinder,
        commitment,
        script,
        generator,
        LEAST_VALUE,
        0,
        RANGE_PROOF_BITS,
    )
    surjection_proof = wally.asset_surjectionproof(
        token,
        secrets.asset_blinder,
        generator,
        secrets.surjection_seed,
        b"".join(source.asset for source in sources),
        b"".join(source.blinder for source in sources),
        b"".join(source.generator for source in sources),
    )
    nonce = wally.ec_public_key_from_private_key(secrets.ephemeral_key)
    wally.tx_add_elements_raw_output(
        transaction, script, generator, commitment, nonce, surjection_proof, range_proof, 0
    )


def _balancing_blinder(value: int, asset_blinder: bytes, spent: Unblinded | None) -> bytes:
    """The value blinder with which value * asset blinder + value blinder is the same on both sides."""
    total = bytes(32) if spent is None else _add(_times(spent.value, spent.asset_blinder), spent.value_blinder)
    return bytes(wally.ec_scalar_subtract(total, _times(value, asset_blinder)))


def _times(value: int, scalar: bytes) -> bytes:
    return bytes(wally.ec_scalar_multiply(value.to_bytes(32, "big"), scalar))


def _add(one: bytes, other: bytes) -> bytes:
    return bytes(wally.ec_scalar_add(one, other))
