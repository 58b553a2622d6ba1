"""The header and block codec against every recorded block, made-up headers and damaged bytes."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsm.chains.header import (
    LAYOUTS,
    NULL_ENTRY,
    BlockHeader,
    DecodeError,
    DynafedEntry,
    Layout,
    display_hash,
    fast_merkle_root,
    parse_block,
    parse_header,
)
from fedsm.chains.reader import write_compact_size
from tests.elements_vectors import blocks, chains, layout_of, load, raw_blocks

LIQUID = load("liquid_mainnet_headers")["headers"]
OP_TRUE = b"\x51"
ONE_OF_ONE = bytes.fromhex("512102d5de833a92301412dae243e93627c978769154c0509764f21098d39fedb3681851ae")
# a coinbase with no outputs: enough of a block's rest to tell where the header ends
COINBASE = bytes.fromhex("01020000000001") + bytes(32) + bytes.fromhex("ffffffff0151ffffffff0000000000")

hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
uint32 = st.integers(0, 0xFFFF_FFFF)
short = st.binary(max_size=80)
compact_entries = st.builds(
    DynafedEntry, st.just("compact"), short, uint32, elided_root=st.binary(min_size=32, max_size=32)
)
full_entries = st.builds(
    DynafedEntry,
    st.just("full"),
    short,
    uint32,
    fedpeg_program=short,
    fedpegscript=st.binary(max_size=600),
    extension_space=st.lists(short, max_size=4).map(tuple),
)
entries = st.one_of(st.just(NULL_ENTRY), compact_entries, full_entries)
start_fields = {
    "version": st.integers(0, 0x7FFF_FFFF),
    "previous": hashes,
    "merkle_root": hashes,
    "time": uint32,
}
legacy_headers = st.builds(
    BlockHeader,
    **start_fields,
    height=st.one_of(st.none(), uint32),
    challenge=st.binary(max_size=600),
    solution=st.binary(max_size=300),
)
dynafed_headers = st.builds(
    BlockHeader,
    **start_fields,
    height=uint32,
    dynafed=st.just(True),
    current=entries,
    proposed=entries,
    witness=st.lists(short, max_size=20).map(tuple),
)


def legacy(height: int | None, challenge: bytes, solution: bytes = b"") -> BlockHeader:
    return BlockHeader(
        0x2000_0000, "aa" * 32, "bb" * 32, 1_700_000_000, height, challenge=challenge, solution=solution
    )


@pytest.mark.parametrize(("chain", "block"), blocks())
def test_recorded_header_gives_hash_digest_fields_and_size(chain: dict[str, Any], block: dict[str, Any]) -> None:
    data = bytes.fromhex(block["signed_header_hex"])
    header, end = parse_header(data)
    fields = block["header"]
    assert end == len(data)
    assert header.serialize() == data
    assert header.serialize(with_proof=False).hex() == block["hashed_bytes"]
    assert header.hash == block["block_hash"]
    assert header.digest.hex() == block["digest"]
    assert header.height == fields.get("height_field")
    assert (header.height is not None) == chain["height_in_header"]
    assert (header.version, header.time) == (fields["version"], fields["time"])
    assert (header.previous, header.merkle_root) == (fields["previousblockhash"], fields["merkleroot"])
    assert header.dynafed == fields["dynafed"]
    assert header.challenge.hex() == fields.get("challenge", "")
    assert header.solution.hex() == (block["signed_solution"] or "")
    assert [item.hex() for item in header.witness] == (block["signed_witness"] or [])
    assert header.signed_size() == block["signed_size"]["bytes"]


@pytest.mark.parametrize(("chain", "block"), blocks())
def test_recorded_parameters_give_the_roots_that_the_node_printed(
    chain: dict[str, Any], block: dict[str, Any]
) -> None:
    header, _ = parse_header(bytes.fromhex(block["signed_header_hex"]), layout=layout_of(chain))
    for name, entry in (("current", header.current), ("proposed", header.proposed)):
        printed = block["header"].get(name, {"type": "null"})
        assert entry.kind == printed["type"]
        assert entry.signblockscript.hex() == printed.get("signblockscript", "")
        assert entry.max_block_witness == printed.get("max_block_witness", 0)
        assert display_hash(entry.root()) == printed.get("root", "00" * 32)
        assert [item.hex() for item in entry.extension_space] == printed.get("extension_space", [])


def test_every_root_of_the_next_block_is_that_of_getblockchaininfo() -> None:
    for _, chain in chains():
        before: str | None = None
        for block in chain["blocks"]:
            header, _ = parse_header(bytes.fromhex(block["signed_header_hex"]))
            if before is not None and header.dynafed:
                assert display_hash(header.current.root()) == before
            before = block.get("getblockchaininfo_after", {}).get("current_params_root")


@pytest.mark.parametrize("data", [bytes.fromhex(text) for text in raw_blocks()])
def test_recorded_block_is_read_to_its_last_byte_and_written_back(data: bytes) -> None:
    assert parse_block(data).serialize() == data


@pytest.mark.parametrize("recorded", LIQUID, ids=lambda recorded: str(recorded["height"]))
def test_liquid_mainnet_header_gives_its_published_hash(recorded: dict[str, Any]) -> None:
    data = bytes.fromhex(recorded["header_hex"])
    header, end = parse_header(data)
    assert end == len(data)
    assert header.serialize() == data
    assert header.hash == recorded["block_hash"]
    assert header.digest.hex() == recorded["digest"]
    assert header.height == recorded["height"]
    assert header.previous == recorded["previousblockhash"]
    if header.dynafed:
        assert display_hash(header.current.root()) == recorded["current"]["root"]
        assert header.current.max_block_witness == recorded["current"]["max_block_witness"]
        assert header.current.extra_root().hex() == recorded["current"]["elided_root_bytes"]
    else:
        assert header.challenge.hex() == recorded["script"]


def test_genesis_is_read_as_a_legacy_header_with_height_zero_by_itself_and_in_its_block() -> None:
    for chain in load("rpc_shapes")["legacy"], load("rpc_shapes")["dynafed"]:
        asked = [c["result"] for c in chain["calls"] if c["method"] == "getblock" and c["params"][1] == 2]
        genesis = next(result for result in asked if result["height"] == 0)
        header = BlockHeader(
            genesis["version"],
            "00" * 32,
            genesis["merkleroot"],
            genesis["time"],
            0,
            challenge=bytes.fromhex(genesis["signblock_challenge"]),
        )
        assert header.hash == genesis["hash"]
        assert parse_header(header.serialize())[0] == header
        transactions = b"\x02" + b"".join(bytes.fromhex(tx["hex"]) for tx in genesis["tx"])
        assert parse_block(header.serialize() + transactions).header == header


@pytest.mark.parametrize("challenge", [OP_TRUE, ONE_OF_ONE], ids=["OP_TRUE", "1-of-1"])
@pytest.mark.parametrize("solution", [b"", b"\x00\x01\x02"], ids=["unsigned", "signed"])
def test_layout_is_told_for_every_low_byte_of_the_height(challenge: bytes, solution: bytes) -> None:
    for height in (*range(600), 1 << 16, (1 << 24) - 3, None):
        header = legacy(height, challenge, solution)
        assert parse_header(header.serialize()) == (header, len(header.serialize()))
        block = header.serialize() + COINBASE
        assert parse_header(block, whole_block=True) == (header, len(header.serialize()))
        assert parse_block(block).header == header


def test_a_stated_layout_is_taken_whatever_the_bytes_suggest() -> None:
    header = legacy(41, ONE_OF_ONE)
    other = parse_header(header.serialize(), layout="heightless")[0]
    assert other.height is None
    assert other.hash != header.hash or other.challenge != header.challenge
    assert parse_header(header.serialize(), layout="elements")[0] == header


def test_unsigned_and_signed_forms_of_a_block_have_one_hash() -> None:
    unsigned = parse_block(bytes.fromhex(raw_blocks()[0]))
    signed = unsigned.with_solution(b"\x00\x01\x02")
    assert signed.header.hash == unsigned.header.hash
    assert signed.with_solution(b"") == unsigned
    with pytest.raises(ValueError, match="not a witness"):
        unsigned.with_witness((b"",))


def test_fast_merkle_root_carries_an_odd_leaf_up() -> None:
    a, b, c = (bytes([i]) * 32 for i in range(3))
    assert fast_merkle_root((a,)) == a
    assert fast_merkle_root((a, b, c)) == fast_merkle_root((fast_merkle_root((a, b)), c))


@given(legacy_headers)
def test_any_legacy_header_survives_writing_and_reading(header: BlockHeader) -> None:
    data = header.serialize()
    assert parse_header(data, layout="heightless" if header.height is None else "elements") == (header, len(data))


@given(dynafed_headers)
def test_any_dynafed_header_survives_writing_and_reading(header: BlockHeader) -> None:
    data = header.serialize()
    assert parse_header(data) == (header, len(data))
    assert parse_header(data, layout="heightless") == (header, len(data))


@given(st.sampled_from(raw_blocks()), st.data())
def test_damaged_blocks_are_read_or_refused_but_nothing_else(text: str, data: st.DataObject) -> None:
    raw = bytearray.fromhex(text)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    for damaged in (bytes(raw), cut):
        try:
            block = parse_block(damaged)
        except DecodeError:
            continue
        assert block.serialize() == damaged


@given(st.binary(max_size=400), st.sampled_from([None, *LAYOUTS]))
def test_arbitrary_bytes_are_read_or_refused_but_nothing_else(data: bytes, layout: Layout | None) -> None:
    try:
        header, end = parse_header(data, layout=layout)
    except DecodeError:
        return
    assert header.serialize() == data[:end]


def test_every_cut_of_a_block_is_refused_and_so_is_a_byte_too_many() -> None:
    for text in raw_blocks()[:2] + raw_blocks()[-1:]:
        data = bytes.fromhex(text)
        for size in range(len(data)):
            with pytest.raises(DecodeError):
                parse_block(data[:size])
        with pytest.raises(DecodeError, match="1 bytes too many"):
            parse_block(data + b"\x00")


@pytest.mark.parametrize(
    ("tail", "complaint"),
    [
        (b"\xfe\xff\xff\xff\x7f", "challenge at byte 81: needs 2147483647 bytes, 0 left"),
        (b"\xff" + b"\xff" * 8, "challenge at byte 85"),
        (b"\xfd\x01\x00" + OP_TRUE, "challenge at byte 76: length is not in its shortest form"),
    ],
)
def test_hostile_lengths_are_refused_before_anything_is_allocated(tail: bytes, complaint: str) -> None:
    data = legacy(7, b"").serialize()[:76] + tail
    with pytest.raises(DecodeError, match=complaint):
        parse_header(data, layout="elements")


def test_hostile_witness_and_transaction_counts_are_refused() -> None:
    header = BlockHeader(1, "aa" * 32, "bb" * 32, 1, 1, dynafed=True).serialize()
    with pytest.raises(DecodeError, match=r"witness at byte .* elements do not fit"):
        parse_header(header[:-1] + write_compact_size(1 << 40))
    with pytest.raises(DecodeError, match=r"transactions at byte .* there are none"):
        parse_block(header + b"\x00")
    with pytest.raises(DecodeError, match=r"transaction count at byte .* elements do not fit"):
        parse_block(header + write_compact_size(1 << 20))


def test_unknown_parameter_types_are_refused() -> None:
    data = BlockHeader(1, "aa" * 32, "bb" * 32, 1, 1, dynafed=True).serialize()
    broken = data[:76] + b"\x03" + data[77:]
    with pytest.raises(DecodeError, match="current parameters type at byte 77: unknown type 3"):
        parse_header(broken)


def test_the_dynafed_bit_is_not_part_of_the_version() -> None:
    data = BlockHeader(0x2000_0000, "aa" * 32, "bb" * 32, 1, 1, dynafed=True).serialize()
    assert struct.unpack_from("<I", data)[0] == 0xA000_0000
    assert parse_header(data)[0].version == 0x2000_0000
