"""fedsm inspect-block on every recorded block and header, however it is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fedsm.cli import cli
from fedsm.errors import FedsmError
from tests.elements_vectors import blocks, federation_of, load

FORMS = ("unsigned_block_hex", "signed_block_hex", "signed_header_hex", "getblockheader_hex")
BLOCK = next(entry.values[1] for entry in blocks() if "signed_block_hex" in entry.values[1])
HEX = BLOCK["signed_block_hex"]


def run(*arguments: str, data: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["inspect-block", *arguments], input=data)


def facts(*arguments: str, data: bytes | None = None) -> dict[str, Any]:
    result = run(*arguments, data=data)
    assert result.exit_code == 0, result.exception
    printed: dict[str, Any] = json.loads(result.stdout)
    return printed


def error(*arguments: str, data: bytes | None = None) -> str:
    """The one line that ``main`` prints after "fedsm: "."""
    result = run(*arguments, data=data)
    assert isinstance(result.exception, FedsmError)
    line = str(result.exception)
    assert line
    assert "\n" not in line
    return line


def every_way(text: str, directory: Path) -> list[dict[str, Any]]:
    """The facts of the same bytes as argument, in a file of hex or of bytes, and on standard input."""
    raw = bytes.fromhex(text)
    hex_file, raw_file = directory / "block.hex", directory / "block.bin"
    hex_file.write_text(text + "\n", encoding="ascii")
    raw_file.write_bytes(raw)
    return [
        facts(text),
        facts(text.upper()),
        facts(str(hex_file)),
        facts(str(raw_file)),
        facts("-", data=text.encode() + b"\n"),
        facts("-", data=raw),
    ]


@pytest.mark.parametrize(("chain", "block"), blocks())
def test_every_recorded_block_and_header_tells_its_facts_in_every_way(
    chain: dict[str, Any], block: dict[str, Any], tmp_path: Path
) -> None:
    federation = federation_of(chain, block)
    dynafed = block["header"]["dynafed"]
    used = {signature["pubkey"] for signature in block["combineblocksigs"]["signatures_arg"]}
    signers = [member["pubkey"] for member in federation["members"] if member["pubkey"] in used]
    for form in FORMS:
        if form not in block:
            continue
        signed, whole = form != "unsigned_block_hex", "block_hex" in form
        knows_script = signed or not dynafed
        knows_height = whole or chain["height_in_header"]
        expected = {
            "hash": block["block_hash"],
            "height": block["height"] if knows_height else None,
            "time": block["header"]["time"],
            "previous": block["header"]["previousblockhash"],
            "dynafed": dynafed,
            "script": federation["script"] if knows_script else block["header"]["current"]["signblockscript"],
            "m": federation["m"] if knows_script else None,
            "n": federation["n"] if knows_script else None,
            "complete": signed,
            "signers": signers[: federation["m"]] if signed else [],
        }
        for printed in every_way(block[form], tmp_path):
            assert printed == expected, form


@pytest.mark.parametrize("header", load("liquid_mainnet_headers")["headers"], ids=lambda header: header["height"])
def test_headers_of_liquid_tell_their_facts_in_every_way(header: dict[str, Any], tmp_path: Path) -> None:
    for printed in every_way(header["header_hex"], tmp_path):
        assert printed == {
            "hash": header["block_hash"],
            "height": header["height"],
            "time": header["time"],
            "previous": header["previousblockhash"],
            "dynafed": header["dynafed"],
            "script": header["script"],
            "m": 11,
            "n": 15,
            "complete": header["complete"],
            "signers": [header["pubkeys"][member] for member in header["signers"]],
        }


@pytest.mark.parametrize("chain", load("rpc_errors")["chains"], ids=lambda chain: chain["chain"])
def test_the_script_of_an_unsigned_block_may_be_told(chain: dict[str, Any]) -> None:
    printed = facts(chain["unsigned_block_hex"], "--signblockscript", chain["signblockscript"])
    assert printed["hash"] == chain["block_hash"]
    assert (printed["script"], printed["m"], printed["n"]) == (chain["signblockscript"], chain["m"], chain["n"])
    assert (printed["complete"], printed["signers"]) == (False, [])


@pytest.mark.parametrize(
    "text",
    ["", "00", "ab" * 40, "ff" * 200, HEX[:100], HEX[:-2], HEX + "00", "00" * 300, "a0" * 300],
    ids=["empty", "one byte", "40 bytes", "ff", "cut header", "cut block", "a byte too many", "zeros", "a0"],
)
def test_garbage_gives_one_line_that_names_the_place(text: str, tmp_path: Path) -> None:
    raw = tmp_path / "garbage.bin"
    raw.write_bytes(bytes.fromhex(text))
    for line in (error(text), error(str(raw)), error("-", data=text.encode())):
        assert line.startswith("not a block or header: ")
        assert "at byte" in line


def test_bytes_that_are_no_block_give_one_line_too() -> None:
    assert error("-", data=bytes(range(256)) * 4).startswith("not a block or header: ")
    assert error("-", data="Blöcke".encode()).startswith("not a block or header: ")


def test_a_name_that_is_no_file_is_named_but_never_in_full_if_it_is_long(tmp_path: Path) -> None:
    assert str(tmp_path / "missing") in error(str(tmp_path / "missing"))
    assert "Is a directory" in error(str(tmp_path))
    assert len(error("zz" * 5000)) < 200


def test_a_script_that_is_not_hex_is_refused() -> None:
    assert error(HEX, "--signblockscript", "not hex") == "--signblockscript is not hex"
