"""The Ocean profile against recorded answers: what it reads, builds, judges, combines and submits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fedsm.chains.base import ChainError, ChainIdentity, FederationScript, Judgement, Submission, Tip
from fedsm.chains.elements import ElementsChain
from fedsm.chains.header import Block, DecodeError, OceanHashes, parse_block
from fedsm.chains.ocean import OLDER_THAN_ALL, HashPolicy, OceanChain
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.script import parse_multisig
from fedsm.chains.selection import ChainKind, open_chain
from fedsm.keys import check_member
from tests.elements_stand_in import NEXT, WINDOW, StandIn, node_of
from tests.elements_vectors import load
from tests.ocean_vectors import answered, error_of, keys, raw_headers, recorded_blocks, result_of, rows

SCRIPT = bytes.fromhex(keys()["signblockscript"])
GENESIS = result_of(answered("blocks_2of3", "getblockhash")[0])
PROPOSAL = bytes.fromhex(result_of(answered("blocks_2of3", "getnewblockhex")[0]))  # the first, on the genesis block
TIP = Tip(0, GENESIS, 1_514_764_800, syncing=False)
INFO = result_of(answered("blocks_2of3", "getblockchaininfo")[0])
OTHER = "22" * 32
HASHES = OceanHashes(recorded_blocks()[0]["full"]["contract"], "00" * 32, "00" * 32)


def verbose(block_hash: str) -> Any:
    return next(
        result_of(row) for row in answered("blocks_2of3", "getblockheader") if row["params"] == [block_hash]
    )


def node(**answers: Any) -> StandIn:
    """The recorded node at its genesis block."""

    def header(block_hash: str, verbosity: bool = True) -> Any:
        return verbose(block_hash) if verbosity else raw_headers()[block_hash]

    usual = {
        "getnetworkinfo": result_of(answered("blocks_2of3", "getnetworkinfo")[0]),
        "getblockchaininfo": INFO,
        "getblockhash": GENESIS,
        "getblockheader": header,
        "getnewblockhex": PROPOSAL.hex(),
        "testproposedblock": None,
        "getbestblockhash": GENESIS,
    }
    return StandIn(**{**usual, **answers})


def changed(block: Block | None = None, **fields: Any) -> bytes:
    block = block or parse_block(PROPOSAL)
    return replace(block, header=replace(block.header, **fields)).serialize()


def judge(block: bytes, node: StandIn, *, policy: HashPolicy = "node", now_ms: int | None = None) -> Judgement:
    chain = OceanChain(node, hash_policy=policy)
    now = parse_block(PROPOSAL).header.time * 1000 if now_ms is None else now_ms
    federation = OceanChain(StandIn(getnewblockhex=PROPOSAL.hex())).federation()
    return chain.judge(block, tip=TIP, federation=federation, timely=True, now_ms=now, window=WINDOW)


def test_identity_tip_and_federation_are_read_from_the_recorded_answers() -> None:
    asked = node()
    chain = OceanChain(asked)
    assert chain.identify() == ChainIdentity(GENESIS, "ocean_test", 2010101)
    assert chain.tip() == TIP
    assert chain.federation() == FederationScript(
        multisig=parse_multisig(SCRIPT),
        dynafed=False,
        max_signed_size=145,
        signblockscript=SCRIPT,
        max_block_witness=10_000,
    )
    assert asked.calls[-1][:2] == ("getnewblockhex", [OLDER_THAN_ALL])
    check_member(1, bytes.fromhex(keys()["pubkeys"][1]), chain.federation().multisig)


def test_the_next_signers_are_those_of_a_new_block_even_if_the_tip_names_others() -> None:
    """-signblockscriptchange of the nodes gives a height other signers, which no header tells before."""
    other = parse_multisig(SCRIPT).script.replace(b"\x52", b"\x51", 1)
    chain = OceanChain(node(getnewblockhex=changed(challenge=other).hex()))
    assert chain.federation().multisig.m == 1
    with pytest.raises(ChainError, match="block-signing script 51 is not supported"):
        OceanChain(node(getnewblockhex=changed(challenge=b"\x51").hex())).federation()


@pytest.mark.parametrize(("headers", "syncing"), [(0, False), (1, False), (2, True)])
def test_a_node_two_headers_behind_is_syncing(headers: int, syncing: bool) -> None:
    assert OceanChain(node(getblockchaininfo=INFO | {"headers": headers})).tip().syncing == syncing


def test_an_elements_node_is_told_from_an_ocean_node_and_a_wrong_flag_is_named() -> None:
    elements = node_of(load("blocks_dynafed")["chains"][0])
    raw = elements.answers["getblockheader"]
    elements.answers["getblockheader"] = lambda block_hash, verbosity=True: (
        {"hash": block_hash, "signblock_challenge": "51"} if verbosity else raw(block_hash, verbosity)
    )
    assert isinstance(open_chain(node()), OceanChain)
    assert isinstance(open_chain(node(), "ocean"), OceanChain)
    assert isinstance(open_chain(elements), ElementsChain)
    wrong: list[tuple[StandIn, ChainKind]] = [(node(), "elements"), (elements, "ocean")]
    for stand_in, kind in wrong:
        with pytest.raises(ChainError, match=f"--chain {kind}: the node's chain is of the kind (ocean|elements)"):
            open_chain(stand_in, kind)
    with pytest.raises(RpcUnavailable):
        open_chain(node(getblockhash=RpcUnavailable("warming_up", "Loading block index...")))


def test_a_block_is_built_with_the_age_alone_and_only_on_the_parent_that_was_asked_for() -> None:
    asked = node()
    assert OceanChain(asked).build_block(GENESIS, 5) == PROPOSAL
    assert asked.calls[-1][:2] == ("getnewblockhex", [5])
    with pytest.raises(ChainError, match="its tip has moved"):
        OceanChain(node()).build_block(OTHER)
    with pytest.raises(ChainError, match="neither proposed parameters nor committed data"):
        OceanChain(node()).build_block(GENESIS, proposed=NEXT)
    with pytest.raises(DecodeError):
        OceanChain(node()).block_hash(PROPOSAL + b"\x00")


def test_every_recorded_block_is_combined_to_the_bytes_of_the_node() -> None:
    chain = OceanChain(node())
    federation = chain.federation()
    for row in recorded_blocks():
        unsigned = parse_block(bytes.fromhex(row["fullhex"])).with_solution(b"").serialize()
        ders = {member: bytes.fromhex(text)[2:] for member, text in enumerate(row["sigs"])}
        used = {member: der for member, der in ders.items() if der.hex() in row["full"]["solution"]}
        assert chain.combine(unsigned, federation, used).hex() == row["fullhex"]
        with pytest.raises(ChainError, match="signature of member 1"):
            chain.combine(unsigned, federation, {0: ders[0], 1: ders[0]})


def test_a_sound_proposal_is_valid_and_the_node_is_asked_with_nonstandard_transactions_allowed() -> None:
    asked = node()
    assert judge(PROPOSAL, asked) == Judgement("valid")
    assert asked.calls[-1][:2] == ("testproposedblock", [PROPOSAL.hex(), True])


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (changed(previous=OTHER), "wrong-parent"),
        (changed(height=2), "wrong-height"),
        (changed(challenge=b"\x51"), "wrong-script"),
        (changed(solution=b"\x00" * 9000), "already-signed"),
        (changed(ocean=replace(HASHES, contract=OTHER)), "unapproved-hash: contract"),
        (changed(ocean=replace(HASHES, attestation=OTHER)), "unapproved-hash: attestation"),
        (changed(ocean=replace(HASHES, mapping=OTHER)), "unapproved-hash: mapping"),
        (PROPOSAL + b"\x00", "undecodable"),
        (b"", "undecodable"),
        (bytes(4_000_001), "too-large"),
    ],
)  # fmt: skip
def test_what_no_node_checks_is_refused_before_the_node_is_asked(block: bytes, reason: str) -> None:
    asked = node()
    judgement = judge(block, asked)
    assert judgement.verdict == "invalid"
    assert judgement.reason.startswith(reason)
    assert "testproposedblock" not in [method for method, *_ in asked.calls]


def test_a_time_off_our_clock_is_refused() -> None:
    time_ms = parse_block(PROPOSAL).header.time * 1000
    assert judge(PROPOSAL, node(), now_ms=time_ms + WINDOW.max_past_ms + 1).reason.startswith("too-old")
    assert judge(PROPOSAL, node(), now_ms=time_ms - WINDOW.max_future_ms - 1).reason.startswith("too-new")


def test_a_hash_is_taken_that_our_node_would_write_or_that_the_block_before_has() -> None:
    """A new terms file comes to one node after the other: old and new must both pass where it has come already."""
    ours = OceanHashes(OTHER, "00" * 32, "00" * 32)
    renewed = changed(ocean=ours)
    for block in (renewed, PROPOSAL):
        assert judge(block, node(getnewblockhex=renewed.hex())) == Judgement("valid")
    assert judge(renewed, node()).reason.startswith("unapproved-hash")
    assert judge(renewed, node(), policy="any") == Judgement("valid")


def test_every_recorded_refusal_of_a_proposal_is_passed_on() -> None:
    refused = [row for row in answered("bad_blocks_2of3", "testproposedblock") if row["http"] == 500]
    assert len(refused) > 8
    for row in refused:
        code, message = error_of(row)
        judgement = judge(PROPOSAL, node(testproposedblock=RpcError(code, message)))
        assert judgement == Judgement("invalid", message)


def test_a_known_block_and_a_moved_tip_are_no_fault_of_the_node() -> None:
    known = error_of(
        next(r for r in answered("blocks_2of3", "testproposedblock") if r["note"] == "test accepted block")
    )
    ours = parse_block(PROPOSAL).header.hash
    tip = judge(PROPOSAL, node(testproposedblock=RpcError(*known), getbestblockhash=ours))
    assert tip == Judgement("invalid", "already-known: it is our tip")
    stale = error_of(next(r for r in answered("blocks_2of3", "testproposedblock") if r["note"] == "B stale"))
    moved = judge(PROPOSAL, node(testproposedblock=RpcError(*stale), getbestblockhash=OTHER))
    assert moved.verdict == "unavailable"
    assert judge(PROPOSAL, node(testproposedblock=RpcUnavailable("timeout", "slow"))).verdict == "unavailable"


def test_every_recorded_answer_of_submitblock_has_its_outcome() -> None:
    outcomes = {
        None: "accepted",
        "duplicate": "duplicate",
        "inconclusive": "fork",
        "block-proof-invalid": "rejected",
        "bad-prevblk": "rejected",
    }
    seen = set()
    for row in [*rows("blocks_2of3"), *rows("bad_blocks_2of3")]:
        if row.get("method") != "submitblock":
            continue
        if row["response"]["error"] is not None:
            code, message = error_of(row)
            submission = OceanChain(node(submitblock=RpcError(code, message))).submit(PROPOSAL)
            assert submission.outcome == ("rejected" if code == -22 else "unavailable")
            continue
        answer = row["response"]["result"]
        seen.add(answer)
        submission = OceanChain(node(submitblock=answer)).submit(PROPOSAL)
        assert submission == Submission(outcomes[answer], answer or "")  # type: ignore[arg-type]
    assert seen == set(outcomes)
