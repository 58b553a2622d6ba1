"""The demo's judge: it believes no log, only headers that verify, and finds what is wrong with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fedsm.chains.header import parse_header
from fedsm.chains.script import parse_multisig
from fedsm.demo.verdict import Verdict, judge
from states.quorum import Quorum
from tests.elements_vectors import load
from tests.unit.demo_fakes import FakeCast, FakeNode

CHAIN = load("blocks_predynafed")["chains"][0]
HEADERS = [block["signed_header_hex"] for block in CHAIN["blocks"]]
MULTISIG = parse_multisig(bytes.fromhex(CHAIN["signblockscript"]))
QUORUM = Quorum(5, 3, 3)


def cast(rounds: dict[int, int] | None = None) -> FakeCast:
    members = FakeCast(5)
    members.start()
    for height in range(1, len(HEADERS) + 1):
        members.accept(height, slot_ms=1000 * height, took_ms=50, round_=(rounds or {}).get(height, 0))
    return members


def verdict(*nodes: FakeNode, members: FakeCast | None = None, wanted: int = len(HEADERS)) -> Verdict:
    addresses = [node.as_address for node in nodes or (FakeNode(HEADERS),)]
    return judge((members or cast()).as_cast, addresses, MULTISIG, QUORUM, wanted)


def unsigned(header: str) -> str:
    return parse_header(bytes.fromhex(header))[0].serialize(with_proof=False).hex() + "00"


def test_a_sound_chain_is_told_block_by_block() -> None:
    told = verdict(FakeNode(HEADERS), FakeNode(HEADERS[:-1]), members=cast({2: 1}))
    assert (told.ok, told.faults, told.forks, told.double_signatures) == (True, [], 0, 0)
    assert (told.members, told.threshold, told.height) == (5, 3, len(HEADERS))
    second = told.blocks[1]
    assert (second.hash, second.height, second.round) == (CHAIN["blocks"][1]["block_hash"], 2, 1)
    assert second.proposer == 3, "of height 2 in round 1"
    used = [signature["pubkey"] for signature in CHAIN["blocks"][1]["combineblocksigs"]["signatures_arg"]]
    assert second.signers == [member["member"] for member in CHAIN["members"] if member["pubkey"] in used]


def test_the_latency_runs_from_the_slot_to_the_last_member() -> None:
    assert verdict().latency_ms == {"median": 54.0, "p99": 54.0}
    assert verdict(members=FakeCast(5)).latency_ms == {"median": 0.0, "p99": 0.0}


def test_a_verdict_is_plain_json() -> None:
    printed: dict[str, Any] = json.loads(json.dumps(verdict().as_dict()))
    assert printed["blocks"][0]["height"] == 1
    assert set(printed) >= {"ok", "members", "threshold", "height", "blocks", "latency_ms", "forks", "faults"}


def test_a_chain_that_is_too_short_is_no_success() -> None:
    assert verdict(FakeNode(HEADERS[:3])).faults == [f"only 3 of {len(HEADERS)} blocks"]


@pytest.mark.parametrize(
    "nodes",
    [
        (FakeNode(HEADERS), FakeNode(HEADERS, branches=1)),
        (FakeNode(HEADERS), FakeNode([*HEADERS[:-1], unsigned(HEADERS[0])])),
    ],
    ids=["a side branch", "another block at one height"],
)
def test_a_fork_is_found(nodes: tuple[FakeNode, ...]) -> None:
    told = verdict(*nodes)
    assert (told.ok, told.forks, told.faults) == (False, 1, ["1 forks"])


def test_a_block_that_the_federation_did_not_sign_is_found() -> None:
    headers = [*HEADERS[:2], unsigned(HEADERS[2]), *HEADERS[3:]]
    assert verdict(FakeNode(headers)).faults == ["block 3 is not signed by the federation"]


def test_a_block_of_another_federation_is_found() -> None:
    foreign = load("liquid_mainnet_headers")["headers"][0]["header_hex"]
    told = verdict(FakeNode([*HEADERS, foreign]))
    assert told.faults == [f"block {len(HEADERS) + 1} is not signed by the federation"]
    assert told.blocks[-1].signers == []


def test_double_signatures_are_counted_from_evidence_and_from_the_members_own_logs() -> None:
    members = cast()
    for witness in (1, 2):
        members.say(witness, "double_signature", peer=4, height=3)
    members.say(0, "decided", height=5, detail="aa")
    members.say(0, "decided", height=5, detail="bb")
    members.say(1, "decided", height=5, detail="aa")
    members.say(1, "decided", height=5, detail="aa")
    told = verdict(members=members)
    assert (told.ok, told.double_signatures, told.faults) == (False, 2, ["2 double signatures"])
