"""Ocean's header: the codec, the facts and inspect-block against every recorded block and header."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fedsm.chains.facts import facts_of
from fedsm.chains.header import (
    BlockHeader,
    DecodeError,
    OceanHashes,
    parse_block,
    parse_header,
)
from fedsm.chains.ocean_proof import verify_lax
from fedsm.chains.script import assemble_solution, parse_multisig
from fedsm.cli import cli
from tests.elements_vectors import raw_blocks as elements_blocks
from tests.ocean_vectors import answered, keys, raw_blocks, raw_headers, recorded_blocks, result_of

MULTISIG = parse_multisig(bytes.fromhex(keys()["signblockscript"]))
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
uint32 = st.integers(0, 0xFFFF_FFFF)
headers = st.builds(
    BlockHeader,
    version=uint32,
    previous=hashes,
    merkle_root=hashes,
    ocean=st.builds(OceanHashes, hashes, hashes, hashes),
    time=uint32,
    height=uint32,
    challenge=st.binary(max_size=600),
    solution=st.binary(max_size=300),
)


@pytest.mark.parametrize("row", recorded_blocks(), ids=lambda row: row["full"]["height"])
def test_recorded_block_gives_its_fields_hash_and_signed_bytes(row: dict[str, Any]) -> None:
    block = parse_block(bytes.fromhex(row["fullhex"]))
    header, fields = block.header, row["full"]
    assert header == BlockHeader(
        version=fields["version"],
        previous=fields["prev"],
        merkle_root=fields["merkle"],
        time=fields["time"],
        height=fields["height"],
        challenge=bytes.fromhex(fields["challenge"]),
        solution=bytes.fromhex(fields["solution"]),
        ocean=OceanHashes(fields["contract"], fields["attestation"], fields["mapping"]),
    )
    assert header.hash == fields["hash"]
    assert header.serialize(with_proof=False).hex() == fields["signed_bytes"]
    assert header.digest.hex() == fields["sighash"]
    assert block.serialize().hex() == row["fullhex"]


def test_every_recorded_block_and_header_is_read_as_oceans_without_being_told() -> None:
    assert len(raw_blocks()) > 30
    for text in raw_blocks():
        data = bytes.fromhex(text)
        block = parse_block(data)
        assert block.header.ocean is not None
        assert block == parse_block(data, layout="ocean")
        assert block.serialize() == data
    for block_hash, text in raw_headers().items():
        header, end = parse_header(bytes.fromhex(text))
        assert (header.hash, end) == (block_hash, len(text) // 2)
        assert header.ocean is not None
    for text in elements_blocks():
        assert parse_block(bytes.fromhex(text)).header.ocean is None


@pytest.mark.parametrize("contract", ["00" * 32, "ff" * 32, "01" + "00" * 31])
def test_the_layout_is_told_whatever_hashes_stand_in_the_header(contract: str) -> None:
    template = parse_block(bytes.fromhex(raw_blocks()[0]))
    for height in (0, 1, 0x51, 0x100, 1 << 24):
        ocean = OceanHashes(contract, "00" * 32, contract)
        block = replace(template, header=replace(template.header, height=height, ocean=ocean))
        assert parse_block(block.serialize()) == block
        assert parse_header(block.header.serialize())[0] == block.header


@given(headers)
def test_any_ocean_header_survives_writing_and_reading(header: BlockHeader) -> None:
    data = header.serialize()
    assert parse_header(data, layout="ocean") == (header, len(data))


def test_every_cut_of_a_block_is_refused_and_names_the_field() -> None:
    data = bytes.fromhex(raw_blocks()[0])
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            parse_block(data[:size], layout="ocean")
    for size, field in ((70, "contract hash"), (101, "attestation hash"), (140, "mapping hash"), (165, "time")):
        with pytest.raises(DecodeError, match=field):
            parse_block(data[:size], layout="ocean")


@pytest.mark.parametrize("row", recorded_blocks(), ids=lambda row: row["full"]["height"])
def test_our_solution_is_that_of_combineblocksigs(row: dict[str, Any]) -> None:
    proposal = next(
        parse_block(bytes.fromhex(result_of(call)))
        for call in answered("blocks_2of3", "getnewblockhex")
        if parse_block(bytes.fromhex(result_of(call))).header.hash == row["full"]["hash"]
    )
    script_sigs = [bytes.fromhex(text) for text in row["sigs"]]
    ders = {member: script_sig[2:] for member, script_sig in enumerate(script_sigs)}
    used = [member for member, der in ders.items() if der.hex() in row["full"]["solution"]]
    solution = assemble_solution(MULTISIG, {member: ders[member] for member in used})
    assert proposal.with_solution(solution).serialize().hex() == row["fullhex"]


def test_facts_of_accepted_and_refused_proofs_are_those_of_the_node() -> None:
    """Ocean takes loose proofs, and what it takes is complete."""
    calls = answered("bad_blocks_2of3", "submitblock") + answered("blocks_2of3", "submitblock")
    judged = 0
    for call in calls:
        answer = call["response"]["result"]
        if call["response"]["error"] is not None or answer not in (None, "block-proof-invalid"):
            continue
        block = parse_block(bytes.fromhex(call["params"][0]), layout="ocean")
        assert facts_of(block.header).complete == (answer is None), call["note"]
        judged += 1
    assert judged > 20


def test_a_loose_signature_is_none_when_it_is_for_something_else() -> None:
    row = recorded_blocks()[0]
    digest, key = bytes.fromhex(row["full"]["sighash"]), MULTISIG.public_keys[0]
    der = bytes.fromhex(row["sigs"][0])[2:]
    assert verify_lax(key, digest, der)
    assert verify_lax(key, digest, der + b"\x01")
    assert verify_lax(key, digest, b"\x30\x81" + der[1:])
    assert not verify_lax(key, bytes(32), der)
    assert not verify_lax(MULTISIG.public_keys[1], digest, der)
    for junk in (b"", b"\x30", b"\x30\x06\x02\x01\x00\x02\x01\x00", der[:-1], b"\x31" + der[1:], b"\x30\xff"):
        assert not verify_lax(key, digest, junk)


def test_inspect_block_prints_what_an_ocean_block_says() -> None:
    row = recorded_blocks()[0]
    fields = row["full"]
    printed = json.loads(CliRunner().invoke(cli, ["inspect-block", row["fullhex"]]).stdout)
    assert printed == {
        "hash": fields["hash"],
        "height": 1,
        "time": fields["time"],
        "previous": fields["prev"],
        "dynafed": False,
        "script": keys()["signblockscript"],
        "m": 2,
        "n": 3,
        "complete": True,
        "signers": keys()["pubkeys"][:2],
        "contract_hash": fields["contract"],
        "attestation_hash": fields["attestation"],
        "mapping_hash": fields["mapping"],
    }
    unsigned = json.loads(CliRunner().invoke(cli, ["inspect-block", raw_blocks()[0]]).stdout)
    assert (unsigned["complete"], unsigned["signers"]) == (False, [])
