"""Whether a transaction's amounts add up, per asset.

Explicit amounts must balance exactly, issuances counting as inputs. Of blinded outputs only the form is checked
(proofs present, reissuance token really the token): libwally verifies neither range proofs nor sums of
commitments, so a wrong blinded amount passes here that a real node refuses.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.transaction import explicit_amount, issued_assets
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.chains.transaction import Issuance, Transaction, TxInput
    from fedsm.devnet.coins import Coin

MOST_MONEY = 2_100_000_000_000_000  # satoshi; the bound on amounts of any one asset
EXPLICIT = 1


def check_amounts(transaction: Transaction, spent: Sequence[Coin]) -> None:
    """Raise Rejection unless inputs and issuances equal outputs, fees included."""
    if any(output.is_fee and output.satoshi == 0 for output in transaction.outputs):
        raise Rejection("bad-txns-fee-outofrange")
    balance: Counter[bytes] = Counter()
    blinded = [_blinds(coin.output.asset, coin.output.value) for coin in spent]
    for coin in spent:
        balance[coin.output.asset] += coin.output.satoshi or 0
    for spending, coin in zip(transaction.inputs, spent, strict=True):
        if spending.issuance is not None:
            if not transaction.has_witness:
                raise _unequal()  # nodes look there for an issuance's proofs, though explicit amounts have none
            blinded.append(_add_issuance(balance, spending, spending.issuance, coin.output.asset))
    blinded_out = [_check_output(transaction, index) for index in range(len(transaction.outputs))]
    for output in transaction.outputs:
        balance[output.asset] -= output.satoshi or 0
    surplus_allowed, deficit_allowed = any(blinded_out), any(blinded)
    for asset, rest in balance.items():
        explicit = asset[0] == EXPLICIT
        if explicit and ((rest > 0 and not surplus_allowed) or (rest < 0 and not deficit_allowed)):
            raise _unequal()


def _add_issuance(balance: Counter[bytes], spending: TxInput, issuance: Issuance, spent_asset: bytes) -> bool:
    """Count what an input issues; tell whether any of it is blinded."""
    _, asset, token = issued_assets(spending, issuance)
    if issuance.is_reissuance and spent_asset != _blinded_asset(token, issuance.nonce):
        raise _unequal()
    if issuance.is_reissuance and len(issuance.token_amount) > 1:
        raise _unequal()
    for name, value in ((asset, issuance.amount), (token, issuance.token_amount)):
        amount = explicit_amount(value)
        if amount is not None and amount <= 0:
            raise _unequal()
        balance[b"\x01" + name] += amount or 0
    return 33 in (len(issuance.amount), len(issuance.token_amount))


def _blinded_asset(asset: bytes, blinder: bytes) -> bytes:
    try:
        return bytes(wally.asset_generator_from_bytes(asset, blinder))
    except ValueError:
        return b""


def _check_output(transaction: Transaction, index: int) -> bool:
    """Whether output ``index`` is blinded; a blinded one needs its proofs, an explicit one must have none."""
    output, proofs = transaction.outputs[index], transaction.output_witness[index]
    asset_blinded, value_blinded = len(output.asset) == 33 and output.asset[0] != EXPLICIT, len(output.value) == 33
    if bool(proofs.surjection_proof) != asset_blinded or bool(proofs.range_proof) != value_blinded:
        raise _unequal()
    return asset_blinded or value_blinded


def _blinds(asset: bytes, value: bytes) -> bool:
    return asset[0] != EXPLICIT or value[0] != EXPLICIT


def _unequal() -> Rejection:
    return Rejection("bad-txns-in-ne-out", "value in != value out")
