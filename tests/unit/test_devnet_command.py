"""The devnet command in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fedsm.chains.rpc import NodeRpc
from fedsm.chains.script import Multisig, assemble_solution, assemble_witness, parse_multisig
from fedsm.devnet.block import ParsedBlock
from signers.software import SoftwareSigner, load_key
from tests.unit.devnet_support import decode, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = "512102d5de833a92301412dae243e93627c978769154c0509764f21098d39fedb3681851ae"
END_S = 20


class Running:
    """A devnet process and what it said about itself."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        line = process.stdout.readline() if process.stdout else ""
        self.view: dict[str, Any] = json.loads(line)

    def rpc(self, number: int) -> NodeRpc:
        node = self.view["nodes"][number]
        return NodeRpc(node["url"], cookie_file=Path(node["cookie"]))

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(END_S)


def _command(*options: str) -> list[str]:
    return [sys.executable, "-m", "fedsm", "devnet", *options]


@contextmanager
def _devnet(*options: str) -> Iterator[Running]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FEDSM_")}
    process = subprocess.Popen(_command(*options, "--json"), stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait(END_S)
        if process.stdout:
            process.stdout.close()


def _sign(running: Running, proposal: str) -> str:
    block = decode(proposal)
    multisig = parse_multisig(bytes.fromhex(running.view["signblockscript"]))
    signers = [SoftwareSigner(load_key(Path(path))) for path in running.view["keys"]]
    signatures = {
        multisig.member_of(signer.public_key): signer.sign_block(block.header.digest, block.serialize())
        for signer in signers
    }
    return _assemble(block, multisig, signatures)


def _assemble(block: ParsedBlock, multisig: Multisig, signatures: dict[int, bytes]) -> str:
    if block.header.dynafed:
        header = replace(block.header, witness=assemble_witness(multisig, signatures))
    else:
        header = replace(block.header, solution=assemble_solution(multisig, signatures))
    return ParsedBlock(header, block.transactions).serialize().hex()


@pytest.mark.parametrize("form", ["--dynafed", "--no-dynafed"])
def test_members_keys_sign_blocks_that_all_nodes_take(tmp_path: Path, form: str) -> None:
    with _devnet("--members", "3", "--threshold", "2", "--datadir", str(tmp_path), form) as running:
        assert len(running.view["nodes"]) == 3
        assert all(stat.S_IMODE(Path(path).stat().st_mode) == 0o600 for path in running.view["keys"])
        first, last = running.rpc(0), running.rpc(2)
        dynafed = "current_params_root" in first.call("getblockchaininfo")
        assert dynafed is (form == "--dynafed")
        proposal = first.call("getnewblockhex")
        assert last.call("testproposedblock", [proposal]) is None
        assert first.call("submitblock", [_sign(running, proposal)]) is None
        assert last.call("waitforblockheight", [1, 20_000])["height"] == 1
        assert running.end() == 0
        assert not list(tmp_path.rglob(".cookie"))


def test_a_later_run_goes_on_with_the_chain_and_the_keys_of_the_data_directory(tmp_path: Path) -> None:
    options = ("--members", "2", "--threshold", "1", "--datadir", str(tmp_path))
    with _devnet(*options) as running:
        node, view = running.rpc(0), running.view
        assert node.call("submitblock", [_sign(running, node.call("getnewblockhex"))]) is None
        assert running.end(signal.SIGINT) == 0
    with _devnet(*options) as running:
        assert running.rpc(0).call("getblockcount") == 1
        assert (running.view["keys"], running.view["genesis"]) == (view["keys"], view["genesis"])


def test_a_given_script_makes_no_keys_and_payments_flow_into_the_blocks() -> None:
    with _devnet("--signblockscript", SCRIPT, "--nodes", "2", "--transactions", "3") as running:
        assert running.view["keys"] == []
        assert running.view["signblockscript"] == SCRIPT
        rpc = running.rpc(1)
        eventually(lambda: rpc.call("getmempoolinfo")["size"] == 1)
        assert running.end() == 0


def test_the_stop_rpc_of_every_node_ends_the_process() -> None:
    with _devnet("--members", "1", "--threshold", "1", "--nodes", "2") as running:
        for number in (0, 1):
            running.rpc(number).call("stop")
        assert running.process.wait(END_S) == 0


def test_ports_and_passwords_are_as_given(tmp_path: Path) -> None:
    options = ("--members", "1", "--threshold", "1", "--rpcuser", "ann", "--rpcpassword", "pass")
    with _devnet(*options, "--datadir", str(tmp_path)) as running:
        node = running.view["nodes"][0]
        assert node["cookie"] is None
        assert NodeRpc(node["url"], user="ann", password="pass").call("getblockcount") == 0
        taken = subprocess.run(
            _command("--members", "1", "--threshold", "1", "--base-port", str(node["port"])),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert taken.returncode == 1
        assert "cannot serve the nodes' ports" in taken.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--signblockscript", "zz"], "--signblockscript"),
        (["--signblockscript", "51"], "--signblockscript"),
        (["--members", "2", "--threshold", "3"], "3 of 2 keys"),
    ],
)
def test_a_federation_that_cannot_be_is_refused_in_one_line(options: list[str], message: str) -> None:
    ended = subprocess.run(_command(*options), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_without_json_every_node_has_a_line() -> None:
    process = subprocess.Popen(_command("--members", "2", "--threshold", "1"), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.terminate()
        assert process.wait(END_S) == 0
    finally:
        process.kill()
        process.wait(END_S)
        if process.stdout:
            process.stdout.close()
    assert lines[0].startswith("node 0: http://127.0.0.1:")
    assert ".cookie" in lines[1]
    assert lines[3].startswith("member 1: key file ")
