"""The multisig script, the proofs that satisfy it, their sizes and the addresses, against recorded ones."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import wallycore as wally
from hypothesis import given
from hypothesis import strategies as st

from fedsm.chains.address import (
    LIQUID,
    LIQUID_TESTNET,
    OCEAN_CUSTOM_CHAIN,
    elements_prefixes,
    p2sh_address,
    p2wsh_address,
)
from fedsm.chains.header import BlockHeader, parse_block, parse_header
from fedsm.chains.script import (
    LONGEST_LOW_S_DER,
    Multisig,
    ScriptError,
    assemble_solution,
    assemble_witness,
    parse_multisig,
    signatures_in,
    signers_of,
)
from tests.elements_vectors import blocks, chains, federation_of, load

LIQUID_HEADERS = load("liquid_mainnet_headers")["headers"]
SECRETS = [hashlib.sha256(f"fedsm-test-key-{i}".encode()).digest() for i in range(16)]
KEYS = tuple(bytes(wally.ec_public_key_from_private_key(secret)) for secret in SECRETS)
DER = bytes(72)
multisigs = st.integers(1, 15).flatmap(
    lambda n: st.builds(
        Multisig,
        st.integers(1, n),
        st.lists(st.sampled_from(KEYS), min_size=n, max_size=n, unique=True).map(tuple),
    )
)


def recorded_scripts() -> list[tuple[str, str, int, int]]:
    """(script, its P2WSH program, m, n) of every recorded federation."""
    chosen = [(c["signblockscript"], c["signblock_p2wsh"], c["m"], c["n"]) for _, c in chains()]
    chosen += [(f["script"], f["p2wsh"], f["m"], f["n"]) for f in load("rotation")["chains"][0]["federations"]]
    return chosen + [(h["script"], h["script_p2wsh"], h["m"], h["n"]) for h in LIQUID_HEADERS]


def sign(member: int, digest: bytes) -> bytes:
    compact = wally.ec_sig_from_bytes(SECRETS[member], digest, wally.EC_FLAG_ECDSA | wally.EC_FLAG_GRIND_R)
    return bytes(wally.ec_sig_to_der(compact))


@pytest.mark.parametrize(("script", "program", "m", "n"), recorded_scripts())
def test_recorded_script_gives_its_members_and_program(script: str, program: str, m: int, n: int) -> None:
    multisig = parse_multisig(bytes.fromhex(script))
    assert (multisig.m, multisig.n) == (m, n)
    assert multisig.script.hex() == script
    assert multisig.p2wsh_program.hex() == program


@given(multisigs)
def test_any_multisig_survives_writing_and_reading(multisig: Multisig) -> None:
    assert parse_multisig(multisig.script) == multisig
    assert [multisig.member_of(key) for key in multisig.public_keys] == list(range(multisig.n))


@given(multisigs, st.data())
def test_a_damaged_script_is_another_multisig_or_a_script_error(multisig: Multisig, data: st.DataObject) -> None:
    damaged = bytearray(multisig.script)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    for script in (bytes(damaged), cut):
        try:
            parsed = parse_multisig(script)
        except ScriptError:
            continue
        assert parsed.script == script


UNCOMPRESSED = bytes(wally.ec_public_key_decompress(KEYS[0]))
NO_POINT = b"\x02" + b"\xff" * 32


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (b"", "does not end in OP_CHECKMULTISIG"),
        (b"\x51", "does not end in OP_CHECKMULTISIG"),
        (b"\xae", "M and N are not small numbers"),
        (b"\x00\x51\xae", "M and N are not small numbers"),
        (b"\x51\x51\xae", "holds 0 keys but says 1"),
        (b"\x51\x21" + KEYS[0] + b"\x52\xae", "holds 1 keys but says 2"),
        (b"\x52\x21" + KEYS[0] + b"\x51\xae", "2 of 1 keys"),
        (b"\x51\x41" + UNCOMPRESSED + b"\x51\xae", r"key 0 has 65 bytes: only compressed keys"),
        (b"\x51\x21" + NO_POINT + b"\x51\xae", "is not a point on the curve"),
        (b"\x51" + (b"\x21" + KEYS[0]) * 2 + b"\x52\xae", "key 1 repeats key 0"),
        (b"\x51" + b"".join(b"\x21" + key for key in KEYS) + b"\x60\xae", "N at most 15"),
        (b"\x51\x4c\x21" + KEYS[0] + b"\x51\xae", "not pushed in the shortest way"),
        (b"\x51\x75\x21" + KEYS[0] + b"\x51\xae", "there is more than keys"),
        (b"\x51\x21" + KEYS[0][:30] + b"\x51\xae", "there is more than keys"),
    ],
)
def test_what_is_not_a_supported_multisig_is_refused_by_name(script: bytes, complaint: str) -> None:
    with pytest.raises(ScriptError, match=complaint):
        parse_multisig(script)


def test_a_multisig_cannot_be_built_outside_its_limits() -> None:
    for m, keys in ((0, KEYS[:3]), (4, KEYS[:3]), (1, ()), (1, KEYS[:16]), (1, (KEYS[0], KEYS[0]))):
        with pytest.raises(ScriptError):
            Multisig(m, keys)


def test_a_key_outside_the_script_has_no_member_number() -> None:
    with pytest.raises(ScriptError, match="not in the block-signing script"):
        Multisig(1, KEYS[:2]).member_of(KEYS[2])


@pytest.mark.parametrize(("chain", "block"), blocks())
def test_assembled_proof_is_the_recorded_one_and_names_its_signers(
    chain: dict[str, Any], block: dict[str, Any]
) -> None:
    multisig = parse_multisig(bytes.fromhex(federation_of(chain, block)["script"]))
    used = {entry["pubkey"] for entry in block["combineblocksigs"]["signatures_arg"]}
    signatures = {
        multisig.member_of(bytes.fromhex(entry["pubkey"])): bytes.fromhex(entry["der"])
        for entry in reversed(block["signatures"])
        if entry["pubkey"] in used
    }
    header, _ = parse_header(bytes.fromhex(block["signed_header_hex"]))
    if header.dynafed:
        assert assemble_witness(multisig, signatures) == header.witness
    else:
        assert assemble_solution(multisig, signatures) == header.solution
    chosen = sorted(signatures)[: multisig.m]
    assert signatures_in(header) == tuple(signatures[member] for member in chosen)
    assert signers_of(header, multisig) == [multisig.public_keys[member].hex() for member in chosen]


@pytest.mark.parametrize("recorded", LIQUID_HEADERS, ids=lambda recorded: str(recorded["height"]))
def test_signers_of_liquid_mainnet_headers_are_found(recorded: dict[str, Any]) -> None:
    multisig = parse_multisig(bytes.fromhex(recorded["script"]))
    header, _ = parse_header(bytes.fromhex(recorded["header_hex"]))
    signers = [multisig.member_of(bytes.fromhex(key)) for key in signers_of(header, multisig)]
    assert signers == recorded["signers"]
    assert [der.hex() for der in signatures_in(header)] == [entry["der"] for entry in recorded["signatures"]]


def combinations() -> list[Any]:
    """Recorded combineblocksigs calls with the signatures of members only, and the node's complete block."""
    cases = [
        case
        for case in load("rpc_errors")["cases"]
        if case["method"] == "combineblocksigs"
        and case["case"]
        in (
            "m signatures in key order",
            "m signatures, array reversed",
            "all n signatures (only first m by key order are used)",
            "last m signatures",
        )
    ]
    assert len(cases) == 8
    return [pytest.param(case, id=f"{case['chain']}: {case['case']}") for case in cases]


@pytest.mark.parametrize("case", combinations())
def test_assembly_equals_combineblocksigs_byte_for_byte(case: dict[str, Any]) -> None:
    chain = next(c for c in load("rpc_errors")["chains"] if c["chain"] == case["chain"])
    multisig = parse_multisig(bytes.fromhex(chain["signblockscript"]))
    block = parse_block(bytes.fromhex(case["params"][0]))
    cut = 1 if block.header.dynafed else 0  # the sighash byte
    given_signatures = {
        multisig.member_of(bytes.fromhex(entry["pubkey"])): bytes.fromhex(entry["sig"])[: -cut or None]
        for entry in case["params"][1]
    }
    if block.header.dynafed:
        block = block.with_witness(assemble_witness(multisig, given_signatures))
    else:
        block = block.with_solution(assemble_solution(multisig, given_signatures))
    assert block.serialize().hex() == case["result"]["hex"]


def test_a_proof_needs_m_signatures_of_members() -> None:
    multisig = Multisig(2, KEYS[:3])
    with pytest.raises(ScriptError, match="1 signatures, 2 needed"):
        assemble_solution(multisig, {0: DER})
    with pytest.raises(ScriptError, match="no member 3"):
        assemble_witness(multisig, {0: DER, 3: DER})
    with pytest.raises(ScriptError, match="no member -1"):
        assemble_witness(multisig, {0: DER, -1: DER})
    for size in (0, 73):
        with pytest.raises(ScriptError, match=f"member 1 has {size} bytes"):
            assemble_solution(multisig, {0: DER, 1: bytes(size)})


def test_worst_case_sizes_are_the_recorded_exact_ones() -> None:
    federations = load("rotation")["chains"][0]["federations"]
    for federation in federations:
        multisig = parse_multisig(bytes.fromhex(federation["script"]))
        assert multisig.worst_case_size(dynafed=True) == federation["exact_worst_case_witness"]
    three_of_five = parse_multisig(bytes.fromhex(federations[0]["script"]))
    assert three_of_five.worst_case_size(dynafed=False) == 220


@given(multisigs)
def test_worst_case_size_is_what_the_longest_signatures_take(multisig: Multisig) -> None:
    signatures = dict.fromkeys(range(multisig.n), DER)
    base = {"version": 1, "previous": "00" * 32, "merkle_root": "00" * 32, "time": 1, "height": 1}
    legacy = BlockHeader(**base, solution=assemble_solution(multisig, signatures))
    assert legacy.signed_size() == multisig.worst_case_size(dynafed=False)
    dynafed = BlockHeader(**base, dynafed=True, witness=assemble_witness(multisig, signatures))
    assert dynafed.signed_size() == multisig.worst_case_size(dynafed=True)


def test_low_s_signatures_fit_where_liquid_mainnet_set_its_limit() -> None:
    recorded = next(header for header in LIQUID_HEADERS if header["dynafed"])
    multisig = parse_multisig(bytes.fromhex(recorded["script"]))
    limit = recorded["current"]["max_block_witness"]
    assert multisig.worst_case_size(dynafed=True, longest_der=LONGEST_LOW_S_DER) <= limit
    assert multisig.worst_case_size(dynafed=True) > limit


def test_signatures_of_others_and_of_other_blocks_do_not_make_signers() -> None:
    multisig = Multisig(2, KEYS[:3])
    header = BlockHeader(1, "00" * 32, "00" * 32, 1, 1, challenge=multisig.script)
    assert signers_of(header, multisig) == []
    signatures = {0: sign(0, header.digest), 1: sign(5, header.digest), 2: sign(2, bytes(32))}
    two = BlockHeader(1, "00" * 32, "00" * 32, 1, 1, challenge=multisig.script, solution=b"\x00")
    pushes = b"\x00" + b"".join(bytes([len(der)]) + der for der in signatures.values())
    signed = BlockHeader(1, "00" * 32, "00" * 32, 1, 1, challenge=multisig.script, solution=pushes)
    assert signers_of(two, multisig) == []
    assert signers_of(signed, multisig) == [KEYS[0].hex()]


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (BlockHeader(1, "00" * 32, "00" * 32, 1, 1, solution=b"\x00\x46\x30"), "push cut short"),
        (BlockHeader(1, "00" * 32, "00" * 32, 1, 1, solution=b"\x00\x61"), "opcode 0x61"),
        (
            BlockHeader(1, "00" * 32, "00" * 32, 1, 1, dynafed=True, witness=(b"", DER + b"\x02", b"\x51")),
            "does not end in SIGHASH_ALL",
        ),
    ],
)
def test_a_malformed_proof_is_a_script_error(header: BlockHeader, complaint: str) -> None:
    with pytest.raises(ScriptError, match=complaint):
        signatures_in(header)


def test_addresses_are_those_that_the_node_gives() -> None:
    for chain in ("legacy", "dynafed"):
        calls = load("rpc_shapes")[chain]["calls"]
        multisig = parse_multisig(bytes.fromhex(load("rpc_shapes")[chain]["signblockscript"]))
        printed = next(c["result"] for c in calls if c["method"] == "decodescript" and len(c["params"][0]) > 68)
        prefixes = elements_prefixes("fedtest")
        assert p2sh_address(multisig, prefixes) == printed["p2sh"]
        assert p2wsh_address(multisig, prefixes) == printed["segwit"]["address"]
        made = {c["result"]["address"] for c in calls if c["method"] == "createmultisig"}
        assert made == {p2sh_address(multisig, prefixes), p2wsh_address(multisig, prefixes)}


def test_named_chains_have_their_own_prefixes() -> None:
    multisig = Multisig(1, KEYS[:1])
    for name, prefixes, version in (
        ("liquidv1", LIQUID, wally.WALLY_ADDRESS_VERSION_P2SH_LIQUID),
        ("liquidtestnet", LIQUID_TESTNET, wally.WALLY_ADDRESS_VERSION_P2SH_LIQUID_TESTNET),
    ):
        assert elements_prefixes(name) == prefixes
        assert prefixes.p2sh == version
        assert prefixes.segwit is not None
        assert p2wsh_address(multisig, prefixes).startswith(prefixes.segwit + "1q")
        program = wally.addr_segwit_to_bytes(p2wsh_address(multisig, prefixes), prefixes.segwit, 0)
        assert bytes(program) == multisig.p2wsh_program


def test_ocean_addresses_are_p2sh_only() -> None:
    # decodescript of an Ocean 2.1.1.1 node for its 2-of-3 signblockscript
    script = (
        "5221038eaf6ce74d7f0d93ac6d4b17c943ffaec9340b0994aeb9b935e6f87c4cb0ec392103c352ef398b10b58a06c60390a0f6"
        "40f25a4f2926524e7069c5d10758940074712103898182a0d5d9f3c39d09d200177209f26d2415abe0c95db53a9c4bea56b4aa"
        "3153ae"
    )
    multisig = parse_multisig(bytes.fromhex(script))
    assert p2sh_address(multisig, OCEAN_CUSTOM_CHAIN) == "XQ2hNjJLyFX5sqSGjujchCeCjNDFsWmsEN"
    with pytest.raises(ValueError, match="no segwit addresses"):
        p2wsh_address(multisig, OCEAN_CUSTOM_CHAIN)
