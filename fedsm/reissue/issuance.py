"""Makes the transaction that issues an asset so that a federation can reissue it.

Elements needs two things of it: explicit amounts, for members must be able to read what is reissued later, and the
token in an output whose asset is blinded. The token goes straight to the federation's script, blinded to the
shared key, together with coins that pay the fees of its reissuances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.transaction import ELEMENTS, explicit_value
from fedsm.chains.transactions import ISSUANCE_BIT
from fedsm.reissue.blinding import Source, add_explicit, add_token_output, derive_secrets
from fedsm.reissue.draft import SEQUENCE, VERSION, DraftError
from fedsm.reissue.order import AssetTags

if TYPE_CHECKING:
    from fedsm.reissue.custody import Custody

NO_CONTRACT = bytes(32)
NO_NONCE = bytes(32)


@dataclass(frozen=True)
class Funding:
    """The coin that pays for an issuance: an output of explicit policy asset. ``change`` is an output script."""

    outpoint: bytes
    satoshi: int
    policy_asset: bytes
    change: bytes
    fee: int


@dataclass(frozen=True)
class Issue:
    """What is issued: ``amount`` satoshi of a new asset to ``destination``, ``tokens`` units to the custody.

    ``fee_coins`` are the values in satoshi of coins that the custody gets for the fees of reissuances. Without
    tokens there is no custody, and the asset is never reissued.
    """

    amount: int
    destination: bytes
    tokens: int = 0
    fee_coins: tuple[int, ...] = ()


def tags_of(outpoint: bytes, contract: bytes = NO_CONTRACT) -> AssetTags:
    """The asset that an issuance on this outpoint makes."""
    index = int.from_bytes(outpoint[32:], "little")
    return AssetTags(bytes(wally.tx_elements_issuance_generate_entropy(outpoint[:32], index, contract)))


def make_issuance(issue: Issue, funding: Funding, custody: Custody | None) -> bytes:
    """The transaction; its one input is not signed yet. Raises DraftError when the funding does not suffice."""
    rest = funding.satoshi - sum(issue.fee_coins) - funding.fee
    if rest < 0:
        raise DraftError(f"a coin of {funding.satoshi} satoshi does not pay for the fee and the fee coins")
    tags, policy = tags_of(funding.outpoint), funding.policy_asset
    transaction = wally.tx_init(VERSION, 0, 1, 4 + len(issue.fee_coins))
    index = int.from_bytes(funding.outpoint[32:], "little") | ISSUANCE_BIT
    tokens = explicit_value(issue.tokens) if issue.tokens else None
    issued = (NO_NONCE, NO_CONTRACT, explicit_value(issue.amount), tokens)
    wally.tx_add_elements_raw_input(
        transaction, funding.outpoint[:32], index, SEQUENCE, None, None, *issued, None, None, None, 0
    )
    add_explicit(transaction, tags.asset, issue.amount, issue.destination)
    if custody is not None:
        secrets = derive_secrets(custody, b"issuance/1", funding.outpoint)
        sources = [Source(policy), Source(tags.asset), Source(tags.token)]
        add_token_output(transaction, custody, tags.token, issue.tokens, None, secrets, sources)
        for satoshi in issue.fee_coins:
            add_explicit(transaction, policy, satoshi, custody.script_pubkey)
    if rest > 0:
        add_explicit(transaction, policy, rest, funding.change)
    add_explicit(transaction, policy, funding.fee, None)
    return bytes(wally.tx_to_bytes(transaction, wally.WALLY_TX_FLAG_USE_WITNESS | ELEMENTS))
