"""fedsm keygen, multisig and federation: keys, scripts and numbers as the nodes have them."""

from __future__ import annotations

import importlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from fedsm.config import NodeAccess
from signers.software import SoftwareSigner, load_key
from tests.elements_stand_in import node_of
from tests.elements_vectors import load
from tests.unit.cli_runner import CommandLine

CHAIN = load("blocks_predynafed")["chains"][0]
KEYS = [member["pubkey"] for member in CHAIN["members"]]
SCRIPT = CHAIN["signblockscript"]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch)


def printed(command: CommandLine, *arguments: str) -> str:
    result = command.invoke(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def recorded(method: str, parameter: object) -> dict[str, Any]:
    """What a real node answered to a call with this parameter among others."""
    calls = load("rpc_shapes")["legacy"]["calls"]
    answer: dict[str, Any] = next(
        call["result"] for call in calls if call["method"] == method and parameter in call["params"]
    )
    return answer


# keygen


def test_keygen_writes_a_key_that_only_its_owner_can_read_and_prints_the_public_one(
    command: CommandLine, tmp_path: Path
) -> None:
    path = tmp_path / "member.key"
    public_key = printed(command, "keygen", str(path)).strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_key == SoftwareSigner(load_key(path)).public_key.hex()
    assert path.read_text(encoding="ascii").strip() not in command.output


def test_keygen_makes_another_key_each_time_and_takes_the_chains_prefix(
    command: CommandLine, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert printed(command, "keygen", str(first)) != printed(command, "keygen", str(second), "--wif-prefix", "180")
    assert first.read_text(encoding="ascii")[0] == "c"  # as test chains write compressed keys
    assert load_key(second) != load_key(first)


def test_keygen_refuses_to_overwrite_and_a_place_that_is_not_there(command: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "member.key"
    path.write_text("precious", encoding="ascii")
    assert "exists already" in command.refusal("keygen", str(path))
    assert path.read_text(encoding="ascii") == "precious"
    assert "No such file or directory" in command.refusal("keygen", str(tmp_path / "missing" / "member.key"))


# multisig


def test_multisig_gives_the_recorded_script_and_addresses(command: CommandLine) -> None:
    result = json.loads(printed(command, "multisig", "3", *KEYS, "--json"))
    assert (result["m"], result["n"], result["script"]) == (3, 5, SCRIPT)
    assert result["p2wsh_program"] == CHAIN["signblock_p2wsh"]
    assert result["p2sh"] == recorded("createmultisig", "legacy")["address"]
    assert result["p2wsh"] == recorded("createmultisig", "bech32")["address"]
    assert (
        result["max_block_witness"] == load("rotation")["chains"][0]["federations"][0]["exact_worst_case_witness"]
    )
    assert result["elements_conf"] == [f"signblockscript={SCRIPT}", "con_max_block_sig_size=398"]


@pytest.mark.parametrize(
    "federation", load("rotation")["chains"][0]["federations"], ids=lambda f: f"{f['m']}of{f['n']}"
)
def test_multisig_gives_every_recorded_federation(command: CommandLine, federation: dict[str, Any]) -> None:
    keys = [member["pubkey"] for member in federation["members"]]
    result = json.loads(printed(command, "multisig", str(federation["m"]), *keys, "--json"))
    assert result["script"] == federation["script"]
    assert result["p2wsh_program"] == federation["p2wsh"]
    assert result["max_block_witness"] == federation["exact_worst_case_witness"]


@pytest.mark.parametrize("header", load("liquid_mainnet_headers")["headers"], ids=lambda header: header["height"])
def test_multisig_gives_the_scripts_and_addresses_of_liquid(command: CommandLine, header: dict[str, Any]) -> None:
    result = json.loads(printed(command, "multisig", "11", *header["pubkeys"], "--chain", "liquidv1", "--json"))
    assert result["script"] == header["script"]
    assert result["p2wsh_program"] == header["script_p2wsh"]
    assert result["p2wsh"].startswith("ex1q")


def test_multisig_for_people_says_the_same(command: CommandLine) -> None:
    text = printed(command, "multisig", "3", *KEYS)
    for line in ("3-of-5 block-signing script:", SCRIPT, CHAIN["signblock_p2wsh"], "con_max_block_sig_size=398"):
        assert line in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("6", *KEYS), "6 of 5 keys"),
        (("0", *KEYS), "0 of 5 keys"),
        (("1", "xyz"), "public key 0 is not hex: xyz"),
        (("1", KEYS[0][:-2]), "key 0 has 32 bytes"),
        (("1", "02" + "ff" * 32), "key 0"),
        (("2", KEYS[0], KEYS[0]), "key 1 repeats key 0"),
        (("1", *KEYS * 4), "of 20 keys"),
    ],
)
def test_multisig_names_the_key_or_number_that_is_wrong(
    command: CommandLine, arguments: tuple[str, ...], named: str
) -> None:
    assert named in command.refusal("multisig", *arguments)


def test_multisig_needs_keys(command: CommandLine) -> None:
    assert "PUBKEY" in command.usage("multisig", "1")


# federation


def test_federation_tells_members_and_what_they_withstand(command: CommandLine) -> None:
    result = json.loads(printed(command, "federation", "--signblockscript", SCRIPT, "--json"))
    assert result == {
        "n": 5,
        "m": 3,
        "q": 3,
        "members": [{"id": i, "public_key": key} for i, key in enumerate(KEYS)],
        "crash_tolerance": 2,
        "equivocators_for_two_decisions": 1,
    }
    result = json.loads(printed(command, "federation", "--signblockscript", SCRIPT, "--quorum", "4", "--json"))
    assert (result["q"], result["crash_tolerance"], result["equivocators_for_two_decisions"]) == (4, 1, 3)


def test_federation_for_people_says_the_same(command: CommandLine) -> None:
    text = printed(command, "federation", "--signblockscript", SCRIPT, "--quorum", "4")
    assert "N = 5 members, M = 3 block signatures, Q = 4 votes" in text
    assert f"member 4  {KEYS[4]}" in text
    assert "up to 1 members down" in text
    assert "only if 3 or more members vote two ways" in text


@pytest.mark.parametrize("quorum", ["2", "6"])
def test_federation_refuses_a_quorum_that_protects_nothing_or_cannot_be(command: CommandLine, quorum: str) -> None:
    line = command.refusal("federation", "--signblockscript", SCRIPT, "--quorum", quorum)
    assert line.startswith("--quorum: ")
    assert "between 3 and 5" in line


@pytest.mark.parametrize("script", ["", "xyz", "51", SCRIPT[2:]])
def test_federation_refuses_what_is_no_script(command: CommandLine, script: str) -> None:
    assert command.refusal("federation", f"--signblockscript={script}").startswith("--signblockscript: ")


@pytest.mark.parametrize("name", ["blocks_predynafed", "blocks_dynafed"])
def test_federation_reads_the_script_from_a_node(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    chain = load(name)["chains"][0]
    node = node_of(chain, getblockchaininfo=chain["final_chaininfo"])
    asked: list[NodeAccess] = []
    module = importlib.import_module("fedsm.cli.federation")
    monkeypatch.setattr(module, "open_rpc", lambda access: asked.append(access) or node)
    result = json.loads(printed(command, "federation", "--rpconnect", "::1", "--rpccookiefile", "c", "--json"))
    assert [member["public_key"] for member in result["members"]] == KEYS
    assert asked == [NodeAccess("::1", cookie_file=Path("c"))]


def test_federation_needs_a_script_or_a_node(command: CommandLine) -> None:
    assert "--signblockscript" in command.refusal("federation")


def test_federation_asks_the_node_and_tells_when_it_is_away(command: CommandLine, tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    line = command.refusal("federation", "--rpcport", "1", "--rpccookiefile", str(cookie))
    assert str(cookie) in line
    cookie.write_text("__cookie__:secret", encoding="ascii")
    line = command.refusal("federation", "--rpcport", "1", "--rpccookiefile", str(cookie))
    assert "node at 127.0.0.1:1" in line
    assert "secret" not in line


def test_a_reissuance_key_is_a_key_of_the_same_form(command: CommandLine, tmp_path: Path) -> None:
    result = command.invoke("keygen", "--reissuance", str(tmp_path / "reissuance.key"))
    assert result.exit_code == 0
    assert SoftwareSigner(load_key(tmp_path / "reissuance.key")).public_key.hex() == result.stdout.strip()
    line = command.refusal("keygen", "--reissuance", "--transport", str(tmp_path / "other.key"))
    assert line == "--transport and --reissuance exclude each other: make two keys"
