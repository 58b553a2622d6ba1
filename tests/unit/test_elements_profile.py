"""The Elements chain profile over a stand-in node that gives recorded answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fedsm.chains.base import ChainError, ChainIdentity, Judgement, ProposedParameters, Submission, Tip
from fedsm.chains.elements import ElementsChain
from fedsm.chains.header import DecodeError, parse_block
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.script import ScriptError, parse_multisig
from tests.elements_stand_in import (
    NEXT,
    WINDOW,
    StandIn,
    federation_for,
    genesis_header,
    node_of,
    recorded_node,
    sound,
)
from tests.elements_vectors import chains, federation_of, load

ROTATION = load("rotation")["chains"][0]


def test_identity_is_genesis_name_and_version_and_is_read_anew_each_time() -> None:
    chain = load("blocks_predynafed")["chains"][0]
    calls = load("rpc_shapes")["dynafed"]["calls"]
    network = next(c["result"] for c in calls if c["method"] == "getnetworkinfo")
    node = node_of(chain, getnetworkinfo=network, getblockchaininfo=chain["final_chaininfo"])
    profile = ElementsChain(node)
    assert profile.identify() == ChainIdentity(chain["genesis_hash"], "fedtest", 289900)
    other = genesis_header(b"\x51")
    node.answers.update(getblockhash=other.hash, getblockheader=other.serialize().hex())
    assert profile.identify().genesis == other.hash


def test_every_recorded_block_is_judged_valid_under_the_federation_read_before_it() -> None:
    judged = 0
    for _, chain in chains():
        scripts = [bytes.fromhex(f["script"]) for f in chain.get("federations", [])]
        for before, block in zip(chain["blocks"], chain["blocks"][1:], strict=False):
            info = before.get("getblockchaininfo_after")
            if info is None or "unsigned_block_hex" not in block:
                continue
            profile = ElementsChain(node_of(chain, getblockchaininfo=info), witness_scripts=scripts)
            federation = profile.federation()
            assert federation.multisig.script.hex() == federation_of(chain, block)["script"]
            assert federation.dynafed == block["header"]["dynafed"]
            assert federation.max_block_witness == info["max_block_witness"]
            approved = [
                ProposedParameters(
                    bytes.fromhex(p["signblockscript"]),
                    p["max_block_witness"],
                    bytes.fromhex(p["fedpegscript"]),
                    tuple(map(bytes.fromhex, p["extension_space"])),
                )
                for p in chain.get("proposals", {}).values()
            ]
            verdict = profile.judge(
                bytes.fromhex(block["unsigned_block_hex"]),
                tip=profile.tip(),
                federation=federation,
                timely=True,
                now_ms=block["header"]["time"] * 1000,
                window=WINDOW,
                approved=approved[0] if approved else None,
            )
            assert verdict == Judgement("valid"), (chain["note"], block["height"])
            judged += 1
    assert judged > 10


def test_the_first_dynafed_block_is_expected_of_the_same_members_as_the_last_legacy_one() -> None:
    chain = load("blocks_dynafed")["chains"][0]
    last_legacy = [b for b in chain["blocks"] if not b["header"]["dynafed"]][-1]
    node = node_of(chain, getblockchaininfo=last_legacy["getblockchaininfo_after"])
    federation = ElementsChain(node).federation()
    assert federation.dynafed
    assert federation.multisig.script.hex() == chain["signblockscript"]
    assert federation.signblockscript.hex() == chain["signblock_p2wsh"]
    assert (federation.max_signed_size, federation.max_block_witness) == (395, 398)


def test_on_a_fresh_dynafed_chain_the_genesis_challenge_is_the_witness_script() -> None:
    chain = load("blocks_dynafed")["chains"][1]
    calls = load("rpc_shapes")["dynafed"]["calls"]
    info = next(c["result"] for c in calls if c["method"] == "getblockchaininfo")
    assert info["bestblockhash"] == chain["genesis_hash"]
    federation = ElementsChain(node_of(chain, getblockchaininfo=info)).federation()
    assert federation.multisig.script.hex() == chain["signblockscript"]


def test_after_a_rotation_the_new_script_must_be_configured_until_it_has_signed() -> None:
    old, new = (bytes.fromhex(f["script"]) for f in ROTATION["federations"])
    by_height = {block["height"]: block for block in ROTATION["blocks"]}
    node = node_of(ROTATION, getblockchaininfo=by_height[29]["getblockchaininfo_after"])
    with pytest.raises(ChainError, match="configure the federation's witness script"):
        ElementsChain(node, witness_scripts=[old]).federation()
    assert ElementsChain(node, witness_scripts=[old, new]).federation().multisig.script == new
    node = node_of(ROTATION, getblockchaininfo=by_height[30]["getblockchaininfo_after"])
    assert ElementsChain(node).federation().multisig.script == new


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"current_signblock_hex": "51"}, "51 is not supported: not a multisig script"),
        ({"current_signblock_hex": "zz"}, "not the hex string"),
        ({"current_signblock_hex": None}, "has no current_signblock_hex: is it an Elements node"),
        ({"current_signblock_hex": "0014" + "11" * 20, "current_params_root": "00" * 32}, "not P2WSH"),
        ({"max_block_witness": None}, "has no max_block_witness"),
    ],
)
def test_chains_that_are_not_signed_by_a_multisig_are_refused_by_name(
    changes: dict[str, Any], complaint: str
) -> None:
    chain = load("blocks_predynafed")["chains"][0]
    info = {**chain["final_chaininfo"], **changes}
    with pytest.raises(ChainError, match=complaint):
        ElementsChain(node_of(chain, getblockchaininfo=info)).federation()


@pytest.mark.parametrize(
    ("headers", "downloading", "syncing"),
    [(8, False, False), (8, True, False), (9, True, True), (9, False, False)],
)
def test_only_missing_blocks_during_download_count_as_syncing(
    headers: int, downloading: bool, syncing: bool
) -> None:
    chain = load("blocks_predynafed")["chains"][0]
    info = {**chain["final_chaininfo"], "headers": headers, "initialblockdownload": downloading}
    tip = ElementsChain(node_of(chain, getblockchaininfo=info)).tip()
    assert tip == Tip(8, info["bestblockhash"], info["time"], syncing)


def test_first_block_time_is_none_until_there_is_a_block_one() -> None:
    # the recorded answer of getblockhash for a height above the tip
    missing = next(c["error"] for c in load("rpc_errors")["general"] if c["case"] == "height above tip")
    profile = ElementsChain(StandIn(getblockhash=RpcError(missing["code"], missing["message"])))
    assert profile.first_block_time() is None
    header = load("blocks_predynafed")["chains"][0]["blocks"][0]["getblockheader"]
    profile = ElementsChain(StandIn(getblockhash=header["hash"], getblockheader=header))
    assert profile.first_block_time() == header["time"]
    with pytest.raises(RpcError):
        ElementsChain(StandIn(getblockhash=RpcError(-1, "no"))).first_block_time()


def test_waiting_gives_the_tip_or_none_and_lets_the_call_outlast_the_wait() -> None:
    chain = load("blocks_predynafed")["chains"][0]
    info = chain["final_chaininfo"]
    reached = {"hash": info["bestblockhash"], "height": info["blocks"]}
    node = node_of(chain, getblockchaininfo=info, waitforblockheight=reached)
    profile = ElementsChain(node)
    assert profile.wait_for_height(8, 2000) == profile.tip()
    assert profile.wait_for_height(9, 2000) is None
    method, params, timeout_ms = node.calls[0]
    assert (method, params) == ("waitforblockheight", [8, 2000])
    assert timeout_ms is not None
    assert timeout_ms > 2000


@pytest.mark.parametrize(
    ("options", "params"),
    [
        ({}, [0]),
        ({"min_tx_age": 3}, [3]),
        ({"commit_data": b"\xde\xad"}, [0, None, ["dead"]]),
        (
            {"proposed": NEXT, "min_tx_age": 1},
            [
                1,
                {
                    "signblockscript": "0020" + "11" * 32,
                    "max_block_witness": 256,
                    "fedpegscript": "51",
                    "extension_space": ["0203", ""],
                },
            ],
        ),
    ],
)
def test_building_asks_for_what_is_wanted_and_no_more(options: dict[str, Any], params: list[Any]) -> None:
    block = sound("dynafed")
    node = recorded_node("dynafed", getnewblockhex=block.serialize().hex())
    profile = ElementsChain(node)
    assert profile.build_block(block.header.previous, **options) == block.serialize()
    assert node.calls[0][:2] == ("getnewblockhex", params)
    assert profile.block_hash(block.serialize()) == block.header.hash


def test_a_block_on_another_parent_is_not_handed_out() -> None:
    block = sound("legacy")
    profile = ElementsChain(recorded_node("legacy", getnewblockhex=block.serialize().hex()))
    with pytest.raises(ChainError, match="its tip has moved"):
        profile.build_block("11" * 32)
    with pytest.raises(ChainError, match="not the hex string"):
        ElementsChain(recorded_node("legacy", getnewblockhex=None)).build_block("11" * 32)


def test_a_block_hash_is_given_for_whole_blocks_only() -> None:
    with pytest.raises(DecodeError):
        ElementsChain(recorded_node("legacy")).block_hash(sound("legacy").header.serialize())


def signed_blocks() -> list[Any]:
    return [
        pytest.param(chain, block, id=f"{name}-{block['height']}")
        for name, chain in chains()
        for block in chain["blocks"]
        if "signed_block_hex" in block
    ]


@pytest.mark.parametrize(("chain", "block"), signed_blocks())
def test_combining_gives_the_recorded_signed_block(chain: dict[str, Any], block: dict[str, Any]) -> None:
    signed = bytes.fromhex(block["signed_block_hex"])
    header = parse_block(signed).header
    multisig = parse_multisig(bytes.fromhex(federation_of(chain, block)["script"]))
    federation = replace(
        federation_for("dynafed" if header.dynafed else "legacy"),
        multisig=multisig,
        max_block_witness=header.signed_size(),
    )
    used = {entry["pubkey"] for entry in block["combineblocksigs"]["signatures_arg"]}
    signatures = {
        multisig.member_of(bytes.fromhex(entry["pubkey"])): bytes.fromhex(entry["der"])
        for entry in block["signatures"]
        if entry["pubkey"] in used
    }
    profile = ElementsChain(node_of(chain))
    unsigned = bytes.fromhex(block["unsigned_block_hex"])
    assert profile.combine(unsigned, federation, signatures) == signed
    assert profile.combine(signed, federation, signatures) == signed
    tight = replace(federation, max_block_witness=header.signed_size() - 1)
    with pytest.raises(ChainError, match=f"takes {header.signed_size()} bytes, the chain allows"):
        profile.combine(unsigned, tight, signatures)
    wrong = min(signatures)
    with pytest.raises(ChainError, match=f"signature of member {wrong} is not for block {header.hash}"):
        profile.combine(unsigned, federation, {**signatures, wrong: signatures[max(signatures)]})
    with pytest.raises(ScriptError, match="needed"):
        profile.combine(unsigned, federation, {wrong: signatures[wrong]})
    with pytest.raises(ChainError, match="not of one form"):
        profile.combine(unsigned, replace(federation, dynafed=not header.dynafed), signatures)


@pytest.mark.parametrize("recording", load("rpc_errors")["size_limit"])
def test_the_size_limit_is_counted_as_the_node_counts_it(recording: dict[str, Any]) -> None:
    dynafed = recording["dynafed"]
    block = parse_block(bytes.fromhex(recording["unsigned_block_hex"]))
    federation = replace(
        federation_for("dynafed" if dynafed else "legacy"), max_block_witness=recording["con_max_block_sig_size"]
    )
    signatures = {
        federation.multisig.member_of(bytes.fromhex(entry["pubkey"])): bytes.fromhex(entry["sig"])[
            : -1 if dynafed else None
        ]
        for entry in recording["signatures_arg"]
    }
    profile = ElementsChain(recorded_node("dynafed" if dynafed else "legacy"))
    if recording["submitblock"]["result"] is None:
        signed = parse_block(profile.combine(block.serialize(), federation, signatures))
        assert signed.header.signed_size() == recording["actual_size"]
    else:
        with pytest.raises(ChainError, match=f"takes {recording['actual_size']} bytes"):
            profile.combine(block.serialize(), federation, signatures)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, Submission("accepted")),
        ("duplicate", Submission("duplicate", "duplicate")),
        ("inconclusive", Submission("fork", "inconclusive")),
        ("duplicate-invalid", Submission("rejected", "duplicate-invalid")),
        ("block-proof-invalid", Submission("rejected", "block-proof-invalid")),
        ("prev-blk-not-found", Submission("rejected", "prev-blk-not-found")),
        (RpcError(-22, "Block decode failed"), Submission("rejected", "node error -22: Block decode failed")),
        (RpcError(-32601, "Method not found"), Submission("unavailable", "node error -32601: Method not found")),
        (RpcUnavailable("busy", "work queue full"), Submission("unavailable", "work queue full")),
    ],
)
def test_submission_is_read_by_the_string_that_the_node_gives(answer: Any, expected: Submission) -> None:
    node = StandIn(submitblock=answer)
    assert ElementsChain(node).submit(b"\xab\xcd") == expected
    assert node.calls == [("submitblock", ["abcd"], None)]
