"""Whether the amounts of an Ocean transaction add up, per asset.

A reissuance whose nonce is all ones is an unblinded one. For it Ocean does not ask whether the input holds the
token: whoever spends any coin may issue any asset whose entropy is given, unless nodes ask for a policy coin beside
(-issuanceblock). Only explicit amounts are supported here, which is all that Ocean makes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fedsm.chains.transaction import explicit_amount, issued_assets
from fedsm.devnet.amounts import MOST_MONEY
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.chains.transaction import Transaction, TxInput
    from fedsm.devnet.coins import Coin

UNBLINDED_NONCE = b"\xff" * 32
EXPLICIT = 1


def check_amounts(transaction: Transaction, spent: Sequence[Coin]) -> None:
    """Raise Rejection unless inputs and issuances equal outputs, fees included."""
    if any(output.is_fee and not 0 < (output.satoshi or 0) <= MOST_MONEY for output in transaction.outputs):
        raise Rejection("bad-txns-fee-outofrange")
    balance: Counter[bytes] = Counter()
    for spending, coin in zip(transaction.inputs, spent, strict=True):
        balance[coin.output.asset] += _explicit(coin.output.value)
        _add_issuance(balance, spending)
    for output in transaction.outputs:
        if output.asset[0] != EXPLICIT:
            raise _unequal()
        balance[output.asset] -= _explicit(output.value)
    if any(balance.values()):
        raise _unequal()


def _add_issuance(balance: Counter[bytes], spending: TxInput) -> None:
    issuance = spending.issuance
    if issuance is None:
        return
    if issuance.is_reissuance and (issuance.nonce != UNBLINDED_NONCE or len(issuance.token_amount) > 1):
        raise _unequal()
    _, asset, token = issued_assets(spending, issuance)
    for name, value in ((asset, issuance.amount), (token, issuance.token_amount)):
        if len(value) > 1:
            balance[b"\x01" + name] += _explicit(value)


def _explicit(value: bytes) -> int:
    amount = explicit_amount(value)
    if amount is None or not 0 <= amount <= MOST_MONEY:
        raise _unequal()
    return amount


def _unequal() -> Rejection:
    return Rejection("bad-txns-in-ne-out", "value in != value out")
