"""Whether a transaction's amounts add up, blinded ones included, as nodes check it.

Explicit amounts must balance asset by asset, issuances counting as inputs. Where anything is blinded the sums of
commitments must agree instead, and every blinded output carries a range proof of its amount and a surjection proof
of its asset.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.transaction import explicit_amount, issued_assets
from fedsm.devnet.confidential.curve import COMMITMENT, GENERATOR, combination, read_point
from fedsm.devnet.confidential.rangeproof import proven_least
from fedsm.devnet.confidential.surjection import surjection_holds
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.chains.transaction import Issuance, OutputWitness, Transaction, TxInput, TxOutput
    from fedsm.devnet.coins import Coin
    from fedsm.devnet.confidential.curve import Point

MOST_MONEY = 2_100_000_000_000_000  # satoshi; the bound on amounts of any one asset
EXPLICIT = 1
NO_BLINDER = bytes(32)


class _Tally:
    """What goes in minus what comes out: explicit amounts by asset, commitments as points."""

    def __init__(self) -> None:
        self._explicit: Counter[bytes] = Counter()
        self._committed: list[tuple[int, Point]] = []

    def add(self, asset: bytes, value: bytes, sign: int) -> None:
        """Count an amount of an asset, both as serialised, as going in (``sign`` 1) or coming out (-1)."""
        satoshi = explicit_amount(value)
        if satoshi is None:
            self._committed.append((sign, read_point(value, COMMITMENT)))
        else:
            self._explicit[asset] += sign * satoshi

    def balances(self) -> bool:
        """Whether nothing is left. Without commitments no asset pays for another: their points are unrelated."""
        rest = {asset: left for asset, left in self._explicit.items() if left}
        if not self._committed and all(asset[0] == EXPLICIT for asset in rest):
            return not rest
        amounts = [(left, read_point(generator(asset), GENERATOR)) for asset, left in rest.items()]
        return combination(*amounts, *self._committed) is None


def check_amounts(transaction: Transaction, spent: Sequence[Coin]) -> None:
    """Raise Rejection unless inputs and issuances equal outputs, fees included."""
    if any(output.is_fee and output.satoshi == 0 for output in transaction.outputs):
        raise Rejection("bad-txns-fee-outofrange")
    try:
        valid = _add_up(transaction, spent)
    except ValueError:  # a commitment or generator that is no point of the curve
        valid = False
    if not valid:
        raise Rejection("bad-txns-in-ne-out", "value in != value out")


@lru_cache(maxsize=512)
def generator(asset: bytes, blinder: bytes = NO_BLINDER) -> bytes:
    """The generator, 33 bytes, of an explicit asset, blinded if asked to, or of one blinded already."""
    return asset if asset[0] != EXPLICIT else bytes(wally.asset_generator_from_bytes(asset[1:], blinder))


def _add_up(transaction: Transaction, spent: Sequence[Coin]) -> bool:
    tally, sources = _Tally(), list[bytes]()  # sources: the assets that outputs may be of, in the node's order
    for index, coin in enumerate(spent):
        tally.add(coin.output.asset, coin.output.value, 1)
        sources.append(coin.output.asset)
        spending = transaction.inputs[index]
        if spending.issuance is None:
            continue
        if not transaction.has_witness:
            return False  # nodes look there for an issuance's proofs, though explicit amounts have none
        if spending.issuance.is_reissuance and not _holds_token(spending, spending.issuance, coin.output.asset):
            return False
        for asset, value, proof in _issued(transaction, index, spending.issuance):
            if not _is_issuable(asset, value, proof):
                return False
            tally.add(asset, value, 1)
            sources.append(asset)
    for output in transaction.outputs:
        if output.satoshi == 0 and not output.is_unspendable:
            return False  # a coin of no reissuance tokens would let its holder reissue
        tally.add(output.asset, output.value, -1)
    outputs = list(zip(transaction.outputs, transaction.output_witness, strict=True))
    return (
        tally.balances()
        and all(_amount_is_proven(output, proofs) for output, proofs in outputs)
        and all(_asset_is_proven(output, proofs, sources) for output, proofs in outputs)
    )


def _holds_token(spending: TxInput, issuance: Issuance, spent_asset: bytes) -> bool:
    """Whether a reissuance spends the asset's token, blinded by its nonce, and issues no more tokens."""
    _, _, token = issued_assets(spending, issuance)
    return len(issuance.token_amount) == 1 and spent_asset == generator(b"\x01" + token, issuance.nonce)


def _issued(transaction: Transaction, index: int, issuance: Issuance) -> list[tuple[bytes, bytes, bytes]]:
    """Asset, amount and range proof of what an input issues: of the asset, then of its token."""
    _, asset, token = issued_assets(transaction.inputs[index], issuance)
    witness = transaction.input_witness[index]
    both = [
        (b"\x01" + asset, issuance.amount, witness.amount_proof),
        (b"\x01" + token, issuance.token_amount, witness.token_proof),
    ]
    return [entry for entry in both if len(entry[1]) > 1]


def _is_issuable(asset: bytes, value: bytes, proof: bytes) -> bool:
    satoshi = explicit_amount(value)
    if satoshi is not None:
        return satoshi > 0 and not proof
    return proven_least(proof, value, generator(asset), b"") is not None


def _amount_is_proven(output: TxOutput, proofs: OutputWitness) -> bool:
    if output.satoshi is not None:
        return not proofs.range_proof
    least = proven_least(proofs.range_proof, output.value, generator(output.asset), output.script)
    return least is not None and (least > 0 or output.is_unspendable)


def _asset_is_proven(output: TxOutput, proofs: OutputWitness, sources: Sequence[bytes]) -> bool:
    if output.asset[0] == EXPLICIT:
        return not proofs.surjection_proof
    inputs = [read_point(generator(asset), GENERATOR) for asset in sources]
    return surjection_holds(proofs.surjection_proof, inputs, read_point(output.asset, GENERATOR))
