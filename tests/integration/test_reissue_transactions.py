"""Issuance and reissuance transactions of ours on real nodes: what we make, nodes accept."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedsm.chains.script import Multisig
from fedsm.chains.transaction import Transaction
from fedsm.reissue.custody import Custody, ScriptKind
from fedsm.reissue.draft import FeeTerms, make_draft
from fedsm.reissue.issuance import Issue, make_issuance, tags_of
from fedsm.reissue.judge import Expected, FeeLimits, objection_to
from fedsm.reissue.multisign import signature_digests, with_signatures
from fedsm.reissue.order import FeeCoin, Order, TokenCoin
from signers.software import SoftwareSigner
from tests.miner import mining

DESTINATION = b"\x00\x14" + bytes(range(20))
SIGNERS = [SoftwareSigner(bytes([i + 1] * 32)) for i in range(5)]


def token_in(transaction: Transaction, custody: Custody) -> TokenCoin:
    for index, (output, proofs) in enumerate(zip(transaction.outputs, transaction.output_witness, strict=True)):
        held = custody.unblind(output, proofs)
        if held is not None:
            return TokenCoin(transaction.outpoint(index), output.asset, output.value, held)
    raise AssertionError("no token")


def fee_coin_in(transaction: Transaction, custody: Custody, policy_asset: bytes) -> FeeCoin:
    for index, output in enumerate(transaction.outputs):
        if output.script == custody.script_pubkey and output.asset == b"\x01" + policy_asset:
            return FeeCoin(transaction.outpoint(index), output.satoshi or 0)
    raise AssertionError("no fee coin")


def sign(draft: bytes, token: TokenCoin, fee_coin: FeeCoin, custody: Custody) -> bytes:
    explicit = b"\x01" + fee_coin.satoshi.to_bytes(8, "big")
    digests = signature_digests(draft, [token.value_commitment, explicit], custody)
    signatures = [{i: SIGNERS[i].sign_block(digest, b"") for i in (1, 2, 4)} for digest in digests]
    return with_signatures(draft, signatures, custody)


@pytest.mark.one_chain
@pytest.mark.parametrize("script", ["p2wsh", "p2sh"])
def test_an_asset_is_issued_to_the_federation_and_reissued_again_and_again(
    kind: str, script: ScriptKind, tmp_path: Path
) -> None:
    custody = Custody(script, Multisig(3, tuple(s.public_key for s in SIGNERS)), bytes([9] * 32))
    with mining(kind, tmp_path) as miner:
        funding = miner.funding()
        tags = tags_of(funding.outpoint)
        issuance = miner.send(make_issuance(Issue(10**11, DESTINATION, 3, (100_000,)), funding, custody))
        miner.mine()
        terms = FeeTerms(miner.policy_asset, 100)
        source = issuance
        for period, amount in ((1, 123_456_789), (2, 1), (3, 2_000_000_000_000_000)):
            token, fee_coin = token_in(source, custody), fee_coin_in(source, custody, miner.policy_asset)
            assert (token.holds.value, token.holds.asset) == (3, tags.token)
            order = Order(tags, period, amount, DESTINATION)
            draft = make_draft(order, token, fee_coin, custody, terms)
            limits = FeeLimits(miner.policy_asset, 1000)
            coins = {fee_coin.outpoint: fee_coin.satoshi}
            assert objection_to(draft, Expected(order, token, coins, custody, limits)) is None
            source = miner.send(sign(draft, token, fee_coin, custody))
            assert source.txid in [transaction.txid for transaction in miner.mine()]
            told = miner.rpc.call("gettxout", [source.txid[::-1].hex(), 0])
            assert (told["asset"], int(told["value"] * 10**8)) == (tags.asset[::-1].hex(), amount)
            assert told["scriptPubKey"]["desc"] == "addr(ert1qqqqsyqcyq5rqwzqfpg9scrgwpugpzysn9hc38w)#xngsmnxs"
