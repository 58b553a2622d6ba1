"""What the Elements profile accepts and refuses as a proposal, over a stand-in node with recorded answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fedsm.chains.base import FederationScript, Judgement, ProposedParameters, Tip
from fedsm.chains.elements import ElementsChain
from fedsm.chains.header import NULL_ENTRY, Block, display_hash, parse_block, parse_header
from fedsm.chains.rpc import RpcError, RpcUnavailable
from tests.elements_stand_in import (
    FORMS,
    NEXT,
    WINDOW,
    StandIn,
    federation_for,
    node_of,
    recorded,
    recorded_node,
    sound,
)
from tests.elements_vectors import load

ROTATION = load("rotation")["chains"][0]
HOSTILE = (
    "unexpected hostile proposal (signblockscript = P2WSH(OP_TRUE)): the node does NOT object, the member must"
)


def tip_below(block: Block) -> Tip:
    assert block.header.height is not None
    return Tip(block.header.height - 1, block.header.previous, block.header.time - 1, syncing=False)


def judge(
    block: bytes | Block,
    form: str,
    *,
    node: StandIn | None = None,
    late_ms: int = 0,
    timely: bool = True,
    federation: FederationScript | None = None,
    approved: ProposedParameters | None = None,
) -> Judgement:
    """Judge a block in place of the sound one, ``late_ms`` after the sound one's time."""
    chain = next(c for c in load("rpc_errors")["chains"] if c["chain"] == form)
    profile = ElementsChain(node or node_of(chain))
    good = sound(form)
    return profile.judge(
        block.serialize() if isinstance(block, Block) else block,
        tip=tip_below(good),
        federation=federation or federation_for(form),
        timely=timely,
        now_ms=good.header.time * 1000 + late_ms,
        window=WINDOW,
        approved=approved,
    )


def changed(form: str, **fields: Any) -> Block:
    block = sound(form)
    return replace(block, header=replace(block.header, **fields))


@pytest.mark.parametrize("form", FORMS)
def test_a_sound_proposal_is_valid_when_the_node_agrees(form: str) -> None:
    node = recorded_node(form)
    assert judge(sound(form), form, node=node) == Judgement("valid")
    assert node.calls[-1][:2] == ("testproposedblock", [sound(form).serialize().hex(), True])


OWN_REFUSALS: list[Any] = (
    [
        pytest.param(form, make, word, id=f"{form}: {word} {number}")
        for form in FORMS
        for number, (word, make) in enumerate(
            [
                ("wrong-parent", lambda f: changed(f, previous="11" * 32)),
                ("wrong-height", lambda f: changed(f, height=5)),
                ("wrong-height", lambda f: changed(f, height=3)),
                ("wrong-height", lambda f: changed(f, height=0)),
                ("too-old", lambda f: changed(f, time=sound(f).header.time - 31)),
                ("too-new", lambda f: changed(f, time=sound(f).header.time + 21)),
                ("undecodable", lambda f: sound(f).serialize() + b"\x00"),
                ("undecodable", lambda f: sound(f).serialize()[:-1]),
                ("undecodable", lambda f: sound(f).header.serialize()),
                ("undecodable", lambda _: b""),
            ]
        )
    ]
    + [
        pytest.param("legacy", make, word, id=f"legacy: {word}")
        for word, make in [
            ("wrong-script", lambda f: recorded(f, "another challenge")),
            ("wrong-script", lambda f: changed(f, challenge=b"\x51")),
            ("wrong-form", lambda _: changed("dynafed", previous=sound("legacy").header.previous)),
            ("already-signed", lambda f: changed(f, solution=b"\x00")),
        ]
    ]
    + [
        pytest.param("dynafed", make, word, id=f"dynafed: {word} {number}")
        for number, (word, make) in enumerate(
            [
                ("wrong-limit", lambda f: recorded(f, "current.max_block_witness + 1")),
                ("wrong-script", lambda f: changed(f, current=with_entry(signblockscript=b"\x00\x20" + bytes(32)))),
                ("wrong-parameters", lambda f: changed(f, current=with_entry(elided_root=bytes(32)))),
                ("wrong-script", lambda f: changed(f, current=NULL_ENTRY)),
                ("wrong-form", lambda _: changed("legacy", previous=sound("dynafed").header.previous)),
                ("already-signed", lambda f: changed(f, witness=(b"",))),
                ("unapproved-parameters", lambda f: recorded(f, HOSTILE)),
                ("unapproved-parameters", lambda f: changed(f, proposed=sound(f).header.current)),
            ]
        )
    ]
)


def with_entry(**fields: Any) -> Any:
    return replace(sound("dynafed").header.current, **fields)


@pytest.mark.parametrize(("form", "make", "word"), OWN_REFUSALS)
def test_what_we_refuse_ourselves_is_refused_though_the_node_would_agree(
    form: str, make: Callable[[str], bytes | Block], word: str
) -> None:
    node = recorded_node(form)
    judgement = judge(make(form), form, node=node)
    assert judgement.verdict == "invalid"
    assert judgement.reason.split(":")[0] == word
    assert "testproposedblock" not in [method for method, _, _ in node.calls]


def test_the_hostile_proposal_stays_refused_when_another_one_is_approved() -> None:
    assert judge(recorded("dynafed", HOSTILE), "dynafed", approved=NEXT).reason.startswith("unapproved")


def test_the_approved_proposal_is_accepted_byte_for_byte_only() -> None:
    entry = NEXT.entry()
    assert judge(changed("dynafed", proposed=entry), "dynafed", approved=NEXT) == Judgement("valid")
    assert judge(sound("dynafed"), "dynafed", approved=NEXT) == Judgement("valid")
    for field, value in (
        ("max_block_witness", 3),
        ("signblockscript", b"\x51"),
        ("fedpeg_program", b""),
        ("fedpegscript", b"\x52"),
        ("extension_space", ()),
    ):
        other = replace(entry, **{field: value})
        assert judge(changed("dynafed", proposed=other), "dynafed", approved=NEXT).verdict == "invalid"


def test_the_approved_entry_is_what_the_node_writes() -> None:
    proposal = next(iter(ROTATION["proposals"].values()))
    parameters = ProposedParameters(
        bytes.fromhex(proposal["signblockscript"]),
        proposal["max_block_witness"],
        bytes.fromhex(proposal["fedpegscript"]),
        tuple(map(bytes.fromhex, proposal["extension_space"])),
    )
    assert display_hash(parameters.entry().root()) == ROTATION["proposal_roots"]["fed1"]
    assert parameters.for_rpc() == proposal
    voting = [b for b in ROTATION["blocks"] if b["proposed_name"] == "fed1"]
    for block in voting:
        header, _ = parse_header(bytes.fromhex(block["signed_header_hex"]))
        assert header.proposed == parameters.entry()


@pytest.mark.parametrize("form", FORMS)
def test_the_clock_counts_only_when_asked_for(form: str) -> None:
    block = sound(form)
    for late_ms, word in ((30_000, ""), (30_001, "too-old"), (-20_000, ""), (-20_001, "too-new")):
        assert judge(block, form, late_ms=late_ms).reason.split(":")[0] == word
        assert judge(block, form, late_ms=late_ms, timely=False) == Judgement("valid")


@pytest.mark.parametrize("form", FORMS)
def test_a_limit_that_the_proof_may_not_fit_under_is_refused(form: str) -> None:
    tight = federation_for(form)
    judgement = judge(sound(form), form, federation=replace(tight, max_signed_size=tight.max_block_witness + 1))
    assert judgement.reason.startswith("proof-too-large")
    exact = replace(tight, max_signed_size=tight.max_block_witness)
    assert judge(sound(form), form, federation=exact) == Judgement("valid")


def test_without_heights_in_headers_the_parent_gives_the_height() -> None:
    chain = load("blocks_predynafed")["chains"][1]
    assert not chain["height_in_header"]
    federation = ElementsChain(node_of(chain, getblockchaininfo=chain["final_chaininfo"])).federation()
    block = parse_block(bytes.fromhex(chain["blocks"][1]["unsigned_block_hex"]))
    profile = ElementsChain(node_of(chain))

    def verdict(data: bytes, federation: FederationScript) -> Judgement:
        tip = Tip(1, block.header.previous, 0, syncing=False)
        return profile.judge(
            data, tip=tip, federation=federation, timely=False, now_ms=0, window=WINDOW, approved=None
        )

    assert verdict(block.serialize(), federation) == Judgement("valid")
    # dynafed headers of such a chain have the field, and 0 in it
    dynafed = federation_for("dynafed")
    for height, reason in ((0, ""), (2, "wrong-height")):
        other = changed("dynafed", previous=block.header.previous, height=height)
        assert verdict(other.serialize(), dynafed).reason.split(":")[0] == reason


def node_refusals() -> list[Any]:
    return [
        pytest.param(case, id=f"{case['chain']}: {case['case']}")
        for case in load("rpc_errors")["cases"]
        if case["method"] == "testproposedblock" and "error" in case
        if case["params"] and isinstance(case["params"][0], str)
    ]


@pytest.mark.parametrize("case", node_refusals())
def test_nothing_that_the_node_was_seen_to_refuse_is_judged_valid(case: dict[str, Any]) -> None:
    error = RpcError(case["error"]["code"], case["error"]["message"])
    form = case["chain"]
    tip_hash = sound(form).header.previous
    node = recorded_node(form, testproposedblock=error, getbestblockhash=tip_hash)
    try:
        data = bytes.fromhex(case["params"][0])
    except ValueError:
        data = case["params"][0].encode()
    assert judge(data, form, node=node, timely=False).verdict in ("invalid", "unavailable")


@pytest.mark.parametrize(
    ("error", "best", "expected"),
    [
        (RpcError(-25, "bad-txnmrklroot"), "", Judgement("invalid", "bad-txnmrklroot")),
        (RpcError(-22, "Block decode failed"), "", Judgement("invalid", "Block decode failed")),
        (RpcError(-27, "already have block"), "this", Judgement("invalid", "already-known: it is our tip")),
        (
            RpcError(-27, "already have block"),
            "parent",
            Judgement("invalid", "already-known: stored before, as invalid or on a side branch"),
        ),
        (
            RpcError(-25, "proposal was not based on our best chain"),
            "other",
            Judgement("unavailable", "tip-moved: our node has a new best block"),
        ),
        (
            RpcError(-25, "proposal was not based on our best chain"),
            "parent",
            Judgement("invalid", "proposal was not based on our best chain"),
        ),
        (
            RpcError(-32601, "Method not found"),
            "",
            Judgement("unavailable", "node error -32601: Method not found"),
        ),
        (RpcUnavailable("timeout", "no answer"), "", Judgement("unavailable", "no answer")),
    ],
)
def test_the_nodes_refusal_is_told_from_its_absence(error: Exception, best: str, expected: Judgement) -> None:
    header = sound("legacy").header
    hashes = {"this": header.hash, "parent": header.previous, "other": "22" * 32, "": "33" * 32}
    node = recorded_node("legacy", testproposedblock=error, getbestblockhash=hashes[best])
    assert judge(sound("legacy"), "legacy", node=node) == expected


@pytest.mark.parametrize("answer", [RpcUnavailable("refused", "down"), "zz", None, "00"])
def test_judging_never_raises_when_the_chain_cannot_be_read(answer: Any) -> None:
    node = recorded_node("legacy", getblockheader=answer)
    assert judge(sound("legacy"), "legacy", node=node).verdict == "unavailable"
