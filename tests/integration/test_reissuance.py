"""Whole federations that reissue: real daemons on the embedded chain and on real nodes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
import wallycore as wally

from fedsm.chains.elements import ElementsChain
from fedsm.chains.header import Block
from fedsm.chains.ocean import OceanChain
from fedsm.chains.reader import Reader
from fedsm.chains.transaction import Transaction, read_transaction
from fedsm.reissue.book import AssetBook, Change
from fedsm.reissue.config import default_blinding_key
from fedsm.reissue.custody import Custody, ScriptKind
from fedsm.reissue.issuance import Issue, make_issuance, tags_of
from fedsm.reissue.order import AssetTags
from states.amounts import Inflation, amount_due
from tests.integration.federation import Federation, wait_until
from tests.miner import OP_TRUE, FreeCoins

PERIOD = 8
RATE = "100"
ISSUED_TO = b"\xa9\x14" + bytes(wally.hash160(OP_TRUE)) + b"\x87"  # P2SH: what both kinds of chains have
P2SH_ADDRESS = "XXEQ31MzkNW9fHoFRFEY6zk4U7pNFFm4G7"
TOKENS = 5


def transactions_in(block: Block) -> list[Transaction]:
    reader = Reader(block.transactions)
    return [read_transaction(reader) for _ in range(reader.count("transaction count", 11))]


class Treasury:
    """The assets of a federation whose own block-signing script holds the reissuance tokens."""

    def __init__(self, fed: Federation) -> None:
        self.fed = fed
        self.rpc = fed.rpcs[0]
        self.is_ocean = fed.kind == "ocean"
        kind: ScriptKind = "p2sh" if self.is_ocean else "p2wsh"
        self.custody = Custody(kind, fed.multisig, default_blinding_key(fed.multisig))
        self.coins = None if self.is_ocean else FreeCoins(self.rpc)
        self.inflation = Inflation(RATE, PERIOD, round(fed.interval_s * 1000))
        self._issued = 0

    def issue(self, amount: int) -> AssetTags:
        """Issue an asset whose token goes to the federation, with a coin for fees where there are any."""
        if self.coins is None:
            return self._issue_on_ocean(amount)
        funding = self.coins.funding()
        self.coins.send(make_issuance(Issue(amount, ISSUED_TO, TOKENS, (100_000,)), funding, self.custody))
        return tags_of(funding.outpoint)

    def _issue_on_ocean(self, amount: int) -> AssetTags:
        """By createrawissuance, on a coin of the issuing policy in the genesis block, which anyone can spend."""
        genesis = OceanChain(self.rpc).block(self.rpc.call("getblockhash", [0]))
        policy = bytes.fromhex(self.rpc.call("dumpassetlabels")["ISSUANCE"])[::-1]
        [coins] = [tx for tx in transactions_in(genesis) if tx.outputs[0].asset == b"\x01" + policy]
        change = Decimal(coins.outputs[0].satoshi or 0) / 10**8
        tokens_to = self.rpc.call("decodescript", [self.fed.multisig.script.hex()])["p2sh"]
        assets_to = self.rpc.call("decodescript", [OP_TRUE.hex()])["p2sh"]
        number, self._issued = self._issued, self._issued + 1
        made = self.rpc.call(
            "createrawissuance",
            [
                *(assets_to, str(Decimal(amount) / 10**8), tokens_to, str(Decimal(TOKENS) / 10**8)),
                *(assets_to, str(change), "1", coins.txid[::-1].hex(), str(number)),
            ],
        )
        self.rpc.call("sendrawtransaction", [made["rawtx"]])
        return AssetTags(bytes.fromhex(made["entropy"])[::-1])

    def book(self, member: int = 0) -> AssetBook:
        """What a member's node has, read from its blocks."""
        rpc = self.fed.rpcs[member]
        policy_asset = bytes(32) if self.coins is None else self.coins.policy_asset
        book = AssetBook(None, rpc.call("getblockhash", [0]), self.custody, policy_asset)
        book.catch_up(OceanChain(rpc) if self.is_ocean else ElementsChain(rpc))
        return book

    def reissuances(self, tags: AssetTags, member: int = 0) -> list[Change]:
        return [change for change in self.book(member).changes(tags.asset) if change.kind == "reissuance"]

    def check(self, tags: AssetTags) -> list[int]:
        """At most one reissuance in a period, of the rule's amount; the periods in which there was one."""
        book, periods = self.book(), []
        for change in self.reissuances(tags):
            due = (change.height - 1) // PERIOD * PERIOD
            supply = book.supply(tags.asset, due)
            assert supply is not None
            assert change.amount == amount_due(self.inflation, due, supply)
            periods.append(due)
        assert len(set(periods)) == len(periods), periods
        return periods


def options(script: str, *more: str) -> tuple[str, ...]:
    return (
        *("--inflationrate", RATE, "--inflationperiod", str(PERIOD), "--inflationaddress", P2SH_ADDRESS),
        *("--reissuancescript", script, *more),
    )


@pytest.fixture
def reissuing(federation: Callable[..., Federation]) -> Callable[..., Federation]:
    """A federation whose daemons reissue with their block-signing keys."""

    def make(*more: str, **settings: object) -> Federation:
        fed = federation(**settings)
        fed._extra = (*fed._extra, *options(fed.multisig.script.hex(), *more))
        return fed

    return make


def test_two_assets_are_reissued_in_every_period_though_a_leader_dies(reissuing: Callable[..., Federation]) -> None:
    with reissuing(members=3, threshold=2, interval_s=0.5) as fed:
        treasury = Treasury(fed)
        assets = [treasury.issue(10**14), treasury.issue(2 * 10**13)]
        fed.cast.start()
        wait_until(
            lambda: all(len(treasury.reissuances(tags)) >= 1 for tags in assets),
            60,
            lambda: f"nothing reissued at height {fed.height(0)}: {fed.cast.lines(0)[-20:]}",
        )
        fed.cast.daemons[1].kill()
        wait_until(
            lambda: all(len(treasury.reissuances(tags)) >= 3 for tags in assets),
            90,
            lambda: f"at height {fed.height(0)}: {[treasury.reissuances(tags) for tags in assets]}",
        )
        for tags in assets:
            periods = treasury.check(tags)
            assert periods == list(range(periods[0], periods[-1] + 1, PERIOD))
        assert not [line for i in (0, 2) for line in fed.cast.lines(i, "reissuance_deferred")]
