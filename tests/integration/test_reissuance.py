"""Whole federations that reissue: real daemons on the embedded chain and on real nodes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fedsm.chains.elements import ElementsChain
from fedsm.reissue.book import AssetBook, Change
from fedsm.reissue.config import default_blinding_key
from fedsm.reissue.custody import Custody, ScriptKind
from fedsm.reissue.issuance import Issue, make_issuance, tags_of
from fedsm.reissue.order import AssetTags
from states.amounts import Inflation, amount_due
from tests.integration.federation import Federation, wait_until
from tests.miner import FreeCoins

PERIOD = 8
RATE = "100"
DESTINATION = b"\x00\x14" + bytes(range(20))
ADDRESS = "ert1qqqqsyqcyq5rqwzqfpg9scrgwpugpzysn9hc38w"


class Treasury:
    """The assets of a federation whose own block-signing script holds the reissuance tokens."""

    def __init__(self, fed: Federation, kind: ScriptKind = "p2wsh") -> None:
        self.fed = fed
        self.custody = Custody(kind, fed.multisig, default_blinding_key(fed.multisig))
        self.coins = FreeCoins(fed.rpcs[0])
        self.inflation = Inflation(RATE, PERIOD, round(fed.interval_s * 1000))

    def issue(self, amount: int) -> AssetTags:
        """Issue an asset whose token goes to the federation, with a coin for fees."""
        funding = self.coins.funding()
        issue = Issue(amount, DESTINATION, 5, (100_000,))
        self.coins.send(make_issuance(issue, funding, self.custody))
        return tags_of(funding.outpoint)

    def book(self, member: int = 0) -> AssetBook:
        """What a member's node has, read from its blocks."""
        rpc = self.fed.rpcs[member]
        book = AssetBook(None, rpc.call("getblockhash", [0]), self.custody, self.coins.policy_asset)
        book.catch_up(ElementsChain(rpc))
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
        *("--inflationrate", RATE, "--inflationperiod", str(PERIOD), "--inflationaddress", ADDRESS),
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


@pytest.mark.one_chain
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
