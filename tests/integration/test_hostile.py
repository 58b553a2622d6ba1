"""One member is hostile, each time in another way: the others make one block a height, and know who it is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from fedsm.demo.process import LogLine
from tests import hostile
from tests.false_member import TwoFacedLinks
from tests.integration.federation import Federation
from transports.envelope import parse, signed_by

LIAR = 4
HONEST = [0, 1, 2, 3]
INTERVAL_S = 0.4
BLOCKS = 5  # so that it is the liar's turn once
LIMIT_S = 60.0
MAX_GROWTH_BYTES = 40_000_000
ACCUSATIONS = {"equivocation", "double_signature", "bad_lock_proof", "bad_certificate", "wrong_proposer"}
FORKS = {"fork", "submitted_fork"}


@contextmanager
def honest_federation(directory: Path, *, liars: tuple[int, ...] = (LIAR,)) -> Iterator[Federation]:
    """Four of five must vote: more than two would have to lie for two decisions, and one may be out of order."""
    federation = Federation(
        directory,
        "devnet",
        votes=4,
        interval_s=INTERVAL_S,
        links=TwoFacedLinks(5, list(liars)),
        extra=("--log-level", "debug"),
    )
    with federation as fed:
        for member in range(5):
            if member not in liars:
                fed.cast.daemons[member].start()
        yield fed


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with honest_federation(tmp_path_factory.mktemp("hostile")) as federation:
        federation.wait_height(2, HONEST)
        yield federation


class Watch:
    """What honest members log from now on."""

    def __init__(self, fed: Federation, honest: list[int]) -> None:
        self._fed, self._honest = fed, honest
        self._from = {member: len(fed.cast.lines(member)) for member in honest}
        self.height = max(fed.height(member) for member in honest)

    def lines(self) -> list[LogLine]:
        return [line for member in self._honest for line in self._fed.cast.lines(member)[self._from[member] :]]

    def until(self, condition: Callable[[], bool], turn: Callable[[], None], what: str) -> None:
        """Give the hostile member its turns until a condition holds."""
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, f"never happened: {what}"
            turn()
            time.sleep(0.02)

    def has_blocks(self, blocks: int) -> bool:
        return all(self._fed.height(member) >= self.height + blocks for member in self._honest)

    def check(self) -> None:
        """The honest are alive, agree, and accuse nobody among themselves."""
        fed = self._fed
        assert all(fed.cast.daemons[member].running for member in self._honest)
        common = min(fed.height(member) for member in self._honest)
        for height in range(max(1, self.height), common + 1):
            assert len({fed.rpcs[member].call("getblockhash", [height]) for member in self._honest}) == 1
            assert fed.block(self._honest[0], height).complete
        for rpc in fed.rpcs:
            assert [tip["status"] for tip in rpc.call("getchaintips")] == ["active"]
        decided: dict[int, str] = {}
        for line in self.lines():
            assert line["event"] not in FORKS
            if line["event"] == "decided":
                assert decided.setdefault(line["height"], line["detail"]) == line["detail"]
            is_accusation = line["event"] in ACCUSATIONS or line["event"] == "message_refused"
            assert not (is_accusation and line.get("peer") in self._honest), line


def proofs(fed: Federation, member: int, code: str, offender: int) -> list[list[bytes]]:
    """The envelopes of each entry with this code in a member's evidence about the offender."""
    (path,) = (fed.directory / f"member-{member}").glob("*/*/evidence.jsonl")
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    found = [entry for entry in entries if (entry["code"], entry["member"]) == (code, offender)]
    return [[bytes.fromhex(envelope) for envelope in entry["envelopes"]] for entry in found]


def check_proof(envelopes: list[bytes], identity_key: bytes, code: str) -> None:
    """A third party believes it: the offender's own key signed all of it, and it contradicts itself."""
    parsed = [parse(envelope) for envelope in envelopes]
    assert all(signed_by(data, envelope, identity_key) for data, envelope in zip(envelopes, parsed, strict=True))
    if code == "equivocation":
        first, second = parsed
        assert (first.kind, first.height, first.round) == (second.kind, second.height, second.round)
        assert first.payload != second.payload


@pytest.mark.parametrize("kind", hostile.ALL, ids=lambda kind: kind.__name__)
def test_the_chain_goes_on_and_the_offender_is_named(fed: Federation, kind: type[hostile.Hostile]) -> None:
    watch = Watch(fed, HONEST)
    with kind(fed, LIAR) as liar:
        assert isinstance(liar, kind)
        watch.until(lambda: watch.has_blocks(BLOCKS), liar.turn, f"{BLOCKS} blocks beside a {kind.__name__}")
        watch.until(lambda: any(map(liar.is_named, watch.lines())), liar.turn, "it is named")
        watch.check()
        if kind.evidence is not None:
            kept = [proof for member in HONEST for proof in proofs(fed, member, kind.evidence, LIAR)]
            assert kept
            for proof in kept:
                check_proof(proof, liar.identity.public_key, kind.evidence)
        if isinstance(liar, hostile.EquivocatingProposer):
            chain = {fed.rpcs[0].call("getblockhash", [h]) for h in range(1, fed.height(0) + 1)}
            assert liar.proposed, "it had its turn"
            assert len(liar.proposed & chain) <= len(liar.proposed) / 2


def test_half_open_links_hold_up_nobody_and_are_cut_and_told(fed: Federation) -> None:
    watch = Watch(fed, HONEST)
    with hostile.HalfOpen(fed, LIAR):
        watch.until(lambda: watch.has_blocks(BLOCKS), lambda: None, "blocks beside half-open links")
        told = {"connection_refused", "link_refused"}
        watch.until(lambda: told <= {line["event"] for line in watch.lines()}, lambda: None, "both ends are told")
        assert {line["peer"] for line in watch.lines() if line["event"] == "link_refused"} == {LIAR}
        watch.check()


def test_two_members_that_vote_both_ways_make_no_two_decisions(tmp_path: Path) -> None:
    """Blocks need the votes of a liar then, and two blocks at one height would need three of them."""
    liars, honest = (3, 4), [0, 1, 2]
    with honest_federation(tmp_path, liars=liars) as fed:
        both = [hostile.TwoFaced(fed, liar) for liar in liars]
        with both[0], both[1]:
            watch = Watch(fed, honest)

            def turn() -> None:
                for liar in both:
                    liar.turn()

            watch.until(lambda: watch.has_blocks(BLOCKS), turn, "blocks by the liars' votes")
            watch.until(
                lambda: {line["peer"] for line in watch.lines() if line["event"] == "equivocation"} == set(liars),
                turn,
                "both are named",
            )
            watch.check()


def memory(fed: Federation) -> int:
    """The most that one of the honest daemons has resident, in bytes."""
    return max(int(psutil.Process(fed.cast.daemons[member].pid).memory_info().rss) for member in HONEST)


def test_a_flood_is_slowed_down_and_holds_up_nobody_else(tmp_path: Path) -> None:
    with honest_federation(tmp_path) as fed:
        fed.wait_height(1, HONEST)
        watch = Watch(fed, HONEST)
        before = memory(fed)
        with hostile.Flood(fed, LIAR) as liar:
            assert isinstance(liar, hostile.Flood)
            watch.until(lambda: liar.sent > 2 * liar.PER_S, liar.turn, "it is a flood")
            watch.until(lambda: watch.has_blocks(BLOCKS), liar.turn, "blocks beside a flood")
            watch.until(lambda: any(map(liar.is_named, watch.lines())), liar.turn, "it is named")
            watch.check()
        assert memory(fed) - before < MAX_GROWTH_BYTES
