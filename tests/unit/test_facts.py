"""What a block says about itself, where it is easy to be wrong: odd proofs, hidden scripts, missing heights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fedsm.chains.coinbase import coinbase_height
from fedsm.chains.facts import facts_of
from fedsm.chains.header import Block, parse_block
from fedsm.chains.script import parse_multisig
from tests.elements_stand_in import FORMS
from tests.elements_vectors import chains, load


def recorded(form: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The chain and its first block that was recorded whole, legacy or dynafed."""
    return next(
        (chain, block)
        for _, chain in chains()
        for block in chain["blocks"]
        if "signed_block_hex" in block and block["header"]["dynafed"] == (form == "dynafed") and "members" in chain
    )


def signed(form: str) -> Block:
    return parse_block(bytes.fromhex(recorded(form)[1]["signed_block_hex"]))


@pytest.mark.parametrize("form", FORMS)
def test_a_signed_block_is_complete_and_names_its_signers(form: str) -> None:
    chain, block = recorded(form)
    facts = facts_of(signed(form).header)
    assert facts.complete
    assert (facts.m, facts.n, facts.script) == (chain["m"], chain["n"], chain["signblockscript"])
    used = [signature["pubkey"] for signature in block["combineblocksigs"]["signatures_arg"]]
    assert facts.signers == [member["pubkey"] for member in chain["members"] if member["pubkey"] in used]


def test_an_unsigned_dynafed_block_names_a_program_and_its_script_only_when_told() -> None:
    chain, block = recorded("dynafed")
    header = parse_block(bytes.fromhex(block["unsigned_block_hex"])).header
    unknown = facts_of(header)
    assert (unknown.script, unknown.m, unknown.n) == (chain["signblock_p2wsh"], None, None)
    assert (unknown.complete, unknown.signers) == (False, [])
    script = bytes.fromhex(chain["signblockscript"])
    known = facts_of(header, known_script=script)
    assert (known.script, known.m, known.n, known.complete) == (script.hex(), chain["m"], chain["n"], False)


def test_a_script_that_the_block_does_not_name_is_not_believed() -> None:
    _, block = recorded("dynafed")
    header = parse_block(bytes.fromhex(block["unsigned_block_hex"])).header
    stranger = load("rotation")["chains"][0]["federations"][1]["script"]
    assert facts_of(header, known_script=bytes.fromhex(stranger)).m is None


@pytest.mark.parametrize("form", FORMS)
def test_one_signature_less_or_more_than_m_or_in_another_order_is_not_complete(form: str) -> None:
    header = signed(form).header
    chain, block = recorded(form)
    multisig = parse_multisig(bytes.fromhex(chain["signblockscript"]))
    ders = {entry["member"]: bytes.fromhex(entry["der"]) for entry in block["signatures"]}
    if form == "dynafed":
        items = header.witness
        less = replace(header, witness=items[:1] + items[2:])
        swapped = replace(header, witness=(items[0], items[2], items[1], *items[3:]))
    else:
        pushes = [bytes([len(der)]) + der for _, der in sorted(ders.items())][: multisig.m]
        assert header.solution == b"\x00" + b"".join(pushes)
        less = replace(header, solution=b"\x00" + b"".join(pushes[1:]))
        swapped = replace(header, solution=b"\x00" + b"".join([pushes[1], pushes[0], *pushes[2:]]))
    assert not facts_of(less).complete
    assert len(facts_of(less).signers) == multisig.m - 1
    assert not facts_of(swapped).complete
    assert len(facts_of(swapped).signers) == multisig.m


def test_a_proof_that_no_signer_makes_is_incomplete_and_no_error() -> None:
    header = signed("legacy").header
    for solution in (b"\x61", b"\x05\x01", b"\x00\xae"):
        facts = facts_of(replace(header, solution=solution))
        assert (facts.complete, facts.signers) == (False, [])
    header = signed("dynafed").header
    facts = facts_of(replace(header, witness=(b"", b"\x30\x02", *header.witness[1:])))
    assert (facts.complete, facts.signers) == (False, [])


def test_without_a_height_in_the_header_the_coinbase_tells_it() -> None:
    chain = next(chain for _, chain in chains() if not chain["height_in_header"])
    for recorded_block in chain["blocks"]:
        block = parse_block(bytes.fromhex(recorded_block["signed_block_hex"]), layout="heightless")
        assert facts_of(block.header).height is None
        assert facts_of(block.header, block.transactions).height == recorded_block["height"]


@pytest.mark.parametrize(
    ("script", "height"),
    [("00", 0), ("51", 1), ("60", 16), ("0111", 17), ("02e803", 1000), ("03af2517", 1516975), ("", None),
     ("6a", None), ("02e8", None)],
)  # fmt: skip
def test_the_coinbase_height_is_read_in_every_form_that_bip_34_allows(script: str, height: int | None) -> None:
    data = bytes.fromhex(script)
    coinbase = (
        b"\x01" + b"\x02\x00\x00\x00" + b"\x00" + b"\x01" + bytes(32) + b"\xff" * 4 + bytes([len(data)]) + data
    )
    assert coinbase_height(coinbase) == height
    assert coinbase_height(b"") is None
