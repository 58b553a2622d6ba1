"""The command as a process: exit status, one line for what an operator can mend, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedsm.version import __version__, full_version
from tests.elements_vectors import load
from tests.unit.cli_runner import ACCESS, NODES

HEADER = load("liquid_mainnet_headers")["headers"][0]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("FEDSM_")}
LIMIT_S = 60


def fedsm(*arguments: str, data: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "fedsm", *arguments],
        input=data,
        capture_output=True,
        check=False,
        timeout=LIMIT_S,
        env=ENVIRONMENT | environment,
    )


def refusal(*arguments: str, data: bytes = b"", **environment: str) -> str:
    """The one line with which the command ends; status 1, nothing else said."""
    ended = fedsm(*arguments, data=data, **environment)
    lines = ended.stderr.decode().splitlines()
    assert (ended.returncode, ended.stdout, len(lines)) == (1, b"", 1), ended
    assert lines[0].startswith("fedsm: ")
    return lines[0]


def test_the_version_is_that_of_the_distribution() -> None:
    assert fedsm("--version").stdout.decode().strip() == f"fedsm, version {full_version()}"
    assert full_version().startswith(__version__)
    described = (Path(__file__).parents[2] / "setup.cfg").read_text(encoding="utf-8")
    assert f"\nversion = {__version__}\n" in described


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        ("127.0.0.1:1501,127.0.0.1", "entry 1 of --nodes, '127.0.0.1', is not host:port"),
        ("a:1,b:99999", "entry 1 of --nodes, 'b:99999', has no port between 1 and 65535"),
        ("a:1,,c:3", "entry 1 of --nodes is empty"),
        ("a:1,a:1", "entries 0 and 1 of --nodes are both a:1"),
        ("a:1,256.0.0.1:2", "has no valid host name or address"),
        ("a:1,::1:2", "an IPv6 address goes in brackets"),
        (" ", "--nodes is empty"),
    ],
)
def test_a_malformed_list_of_nodes_is_refused_at_once_by_entry(nodes: str, named: str) -> None:
    assert named in refusal("--id", "0", "--nodes", nodes, FEDSM_RPCUSER="alice", FEDSM_RPCPASSWORD="hunter2")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--msgtype", "kafka", "--kafka", "no broker"), "no broker"),
        (("--hsm", "1"), "no PKCS#11 module: name its file with --pkcs11-module"),
        ((), "the node needs --rpcuser and --rpcpassword, or --rpccookiefile"),
        (("--rpcuser", "alice"), "the node needs --rpcuser and --rpcpassword, or --rpccookiefile"),
        (("--rpccookiefile", "c", "--rpcuser", "alice"), "exclude each other"),
        (("--rpccookiefile", "c", "--rpcconnect", "http://node"), "--rpcconnect http://node is not a host"),
        (("--rpccookiefile", "c", "--rpcconnect", "node:7041"), "--rpcconnect node:7041 is not a host"),
        (("--blocktime", "0.01"), "--blocktime: the block interval is 0.01 s"),
    ],
)
def test_what_an_operator_can_mend_ends_in_one_line(arguments: tuple[str, ...], named: str) -> None:
    assert named in refusal("run", "--id", "0", "--nodes", NODES, *arguments)


def test_a_misused_command_ends_with_status_2() -> None:
    ended = fedsm("--id", "none", "--nodes", NODES)
    assert ended.returncode == 2
    assert b"Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(b"Error: Invalid value for '--id'")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_waits_for_its_node_says_so_and_ends_with_status_0_when_told(number: int, tmp_path: Path) -> None:
    arguments = ("--id", "0", "--nodes", NODES, "--rpcport", "1", *ACCESS, "--datadir", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-m", "fedsm", *arguments, "--http", "off", "--log-format", "json"],
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        assert process.stderr is not None
        warning, waiting = process.stderr.readline(), process.stderr.readline()
        process.send_signal(number)
        _, rest = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert b"secret_on_command_line" in warning
    assert b"waiting_for_node" in waiting
    said = warning + waiting + rest
    assert b"hunter2" not in said
    assert b"Traceback" not in said


def test_a_header_on_standard_input_is_read_as_bytes_and_garbage_is_refused() -> None:
    ended = fedsm("inspect-block", "-", data=bytes.fromhex(HEADER["header_hex"]))
    assert ended.returncode == 0
    assert HEADER["block_hash"].encode() in ended.stdout
    assert "not a block or header" in refusal("inspect-block", "-", data=b"\xff\x00garbage")


def test_keygen_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "member.key"
    assert fedsm("keygen", str(path)).returncode == 0
    before = path.read_bytes()
    assert "exists already" in refusal("keygen", str(path))
    assert path.read_bytes() == before
