"""Makes the reissuance transaction of Elements chains: the same bytes for every member that has the same facts.

Token in, blinded; fee coin in; out come the reissued amount (explicit), the token, blinded anew to the shared key,
the rest of the fee coin, and the fee. What blinding takes of randomness is derived from the shared blinding key,
the token's outpoint and the order, so that nobody has to trust a leader's choice and a second leader makes the
same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import wallycore as wally

from fedsm.chains.transaction import ELEMENTS, explicit_value
from fedsm.chains.transactions import ISSUANCE_BIT
from fedsm.reissue.blinding import Source, add_explicit, add_token_output, derive_secrets
from fedsm.reissue.multisign import worst_case_vsize

if TYPE_CHECKING:
    from fedsm.reissue.custody import Custody
    from fedsm.reissue.order import FeeCoin, Order, TokenCoin

SEQUENCE = 0xFFFF_FFFD  # opts in to replacement (BIP 125), as the node's own transactions do
VERSION = 2
LEAST_CHANGE = 1000  # satoshi: nodes do not relay outputs that are worth less than it costs to spend them


class DraftError(ValueError):
    """No transaction can be made of these coins; the message says what is missing."""


@dataclass(frozen=True)
class FeeTerms:
    """How the fee is paid: in which asset (32 bytes, internal order), at how many satoshi for 1000 vbytes."""

    policy_asset: bytes
    rate: int


def make_draft(
    order: Order, token: TokenCoin, fee_coin: FeeCoin | None, custody: Custody, terms: FeeTerms
) -> bytes:
    """The unsigned transaction. Without a fee coin it pays no fee, which only nodes without a least fee relay.

    Raises DraftError when the fee coin is too small.
    """
    if fee_coin is None:
        return _build(order, token, custody)
    sample = _build(order, token, custody, fee_coin, terms, fee=1)
    fee = -(-worst_case_vsize(sample, custody) * terms.rate // 1000)
    if fee_coin.satoshi < fee + LEAST_CHANGE:
        raise DraftError(
            f"the fee coin holds {fee_coin.satoshi} satoshi; the fee of {fee} and the least change of "
            f"{LEAST_CHANGE} take more"
        )
    return _build(order, token, custody, fee_coin, terms, fee=fee)


def _build(
    order: Order,
    token: TokenCoin,
    custody: Custody,
    fee_coin: FeeCoin | None = None,
    terms: FeeTerms | None = None,
    *,
    fee: int = 0,
) -> bytes:
    transaction = wally.tx_init(VERSION, 0, 2, 4)
    held, tags = token.holds, order.tags
    sources = [Source(held.asset, held.asset_blinder), Source(tags.asset)]
    _add_input(transaction, token.outpoint, (held.asset_blinder, tags.entropy, explicit_value(order.amount)))
    add_explicit(transaction, tags.asset, order.amount, order.destination)
    if fee_coin is not None and terms is not None:
        sources.append(Source(terms.policy_asset))
        _add_input(transaction, fee_coin.outpoint, None)
    secrets = derive_secrets(custody, b"reissuance/1", token.outpoint + order.digest())
    add_token_output(transaction, custody, held.asset, held.value, held, secrets, sources)
    if fee_coin is not None and terms is not None:
        add_explicit(transaction, terms.policy_asset, fee_coin.satoshi - fee, custody.script_pubkey)
        add_explicit(transaction, terms.policy_asset, fee, None)
    return bytes(wally.tx_to_bytes(transaction, wally.WALLY_TX_FLAG_USE_WITNESS | ELEMENTS))


def _add_input(transaction: Any, outpoint: bytes, issuance: tuple[bytes, bytes, bytes] | None) -> None:
    """Spend an outpoint; ``issuance`` is nonce (the token's asset blinder), entropy and amount."""
    index = int.from_bytes(outpoint[32:], "little") | (ISSUANCE_BIT if issuance else 0)
    nonce, entropy, amount = issuance or (None, None, None)
    wally.tx_add_elements_raw_input(
        transaction, outpoint[:32], index, SEQUENCE, None, None, nonce, entropy, amount, None, None, None, None, 0
    )
