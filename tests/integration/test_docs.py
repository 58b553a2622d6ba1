"""Every fedsm command that README and docs show is run, as it stands but for the names that stand for something.

docs/ceremony.md has a test of its own (test_ceremony.py); docs/images.md needs containers.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedsm.chains.script import parse_multisig
from fedsm.demo.ports import free_ports
from fedsm.devnet.network import Devnet
from fedsm.federation_file import FederationFile, MemberEntry, dump
from signers.software import SoftwareSigner, load_key
from tests.hsm import PIN, SO_PIN, Tokens
from tests.integration.federation import Federation
from transports.curve import load_key_file, make_pair

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/operating.md", "docs/simulation.md", "docs/reissuance.md")
LIMIT_S = 180
# What goes on until it is told to end.
LASTING = ("--id", "--config", "devnet", "watch")


def commands(page: str) -> list[str]:
    """The commands in a page's code blocks, without comments; a line that ends in a backslash goes on."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"^ {4,7}(fedsm .*)$", text, re.MULTILINE)
    return [re.sub(r"\s+", " ", re.sub(r"\s+#.*", "", line)) for line in found]


class Machine:
    """The machine of member 1, whose operator types what the pages say; the other four are at work."""

    def __init__(self, fed: Federation, path: Path) -> None:
        self.fed = fed
        self.path = path
        self.height = 1  # one that the trace tells of, once the daemon has run
        path.mkdir()
        assert fed.http_ports is not None
        node, self.ports = fed.nodes.addresses[1], fed.http_ports
        (path / ".elements" / "mychain").mkdir(parents=True)
        shutil.copy(node.cookie_file, path / ".elements" / "mychain" / ".cookie")
        keys = [key.hex() for key in fed.multisig.public_keys]
        header = fed.rpcs[0].call("getblockheader", [fed.rpcs[0].call("getblockhash", [1]), False])
        (path / "header").write_text(header)
        (path / "tests" / "scenarios").mkdir(parents=True)
        settings = [
            "id = 1", f'nodes = "{fed.cast.addresses}"', f"rpcport = {node.port}", "blocktime = 0.5",
            f'rpccookiefile = "{node.cookie_file}"', f'key-file = "{fed.directory / "member-1.key"}"',
            f'http = "127.0.0.1:{self.ports[1]}"', f'datadir = "{path / ".fedsm"}"', 'inflationrate = 0.05',
            "inflationperiod = 100", 'inflationaddress = "ert1qqqqsyqcyq5rqwzqfpg9scrgwpugpzysn9hc38w"',
            f'reissuancescript = "{fed.multisig.script.hex()}"',
        ]  # fmt: skip
        (path / "fedsm.toml").write_text("\n".join(settings))
        self.stands_for = {
            "node0:1501,node1:1502,node2:1503,node3:1504,node4:1505": fed.cast.addresses,
            "--rpcport 7041": f"--rpcport {node.port} --http {self.ports[1]}",
            "--blocktime 60": "--blocktime 0.5",
            "/etc/fedsm/fedsm.toml": "fedsm.toml",
            # Off a terminal its picture comes at the end.
            "127.0.0.1:7150 127.0.0.1:7151": f"127.0.0.1:{self.ports[0]} 127.0.0.1:{self.ports[2]} --json",
            "127.0.0.1:7151": f"127.0.0.1:{self.ports[0]}",
            "DATADIR": "~/.fedsm",
            "--until 2:4711": "--until 1:20",
            "--height 120": "--height HEIGHT",
            "HEX|FILE|-": "header",
            "[round|agreement|reissuance]": "round",
            "mermaid|dot|svg|table|json": "svg",
            "--rounds 10000": "--rounds 20",
            "--blocks 20": "--blocks 4 --blocktime 0.3",
            "--id 1 ...": f"--id 1 --nodes {fed.cast.addresses} --rpcport {node.port} --http off --blocktime 0.5 "
            "--rpccookiefile ~/.elements/mychain/.cookie --key-file member.key",
            "ADDRESS": "ert1qqqqsyqcyq5rqwzqfpg9scrgwpugpzysn9hc38w",
            " SCRIPT": f" {fed.multisig.script.hex()}",
            **{f"PUBKEY{i}": key for i, key in enumerate(keys)},
        }
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("FEDSM_")}
        self.environment |= {"HOME": str(path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(self, shown: str) -> None:
        """Run a command; what it needs that other commands made is made right before."""
        command = shown
        for word, meaning in self.stands_for.items():
            command = command.replace(word, meaning)
        command = command.replace("HEIGHT", str(self.height))
        process = subprocess.Popen(
            ["bash", "-c", command if ">" in command else f"exec {command}"],
            cwd=self.path, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        limit = threading.Timer(LIMIT_S, process.kill)
        limit.start()
        try:
            if command.split()[1] in LASTING:
                self._let_it_work(process, command)
            out, err = process.communicate()
        finally:
            limit.cancel()
            process.kill()
        wanted = self._status(shown)
        assert process.returncode == wanted, (shown, command, process.returncode, out[-1500:], err[-1500:])
        assert "Traceback" not in err
        self._after(shown)

    def _let_it_work(self, process: subprocess.Popen[str], command: str) -> None:
        """Until it has done what it is for, then tell it to end."""
        if command.split()[1] in ("--id", "--config"):
            assert process.stderr is not None
            blocks = 0
            for line in process.stderr:
                heard = json.loads(line)
                if heard["event"] == "block_accepted":
                    blocks, self.height = blocks + 1, heard["height"]
                if blocks >= 4 or ("--federation" in command and '"started"' in line):
                    break
        else:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("node 0: " if "devnet" in command else "{")
        process.send_signal(signal.SIGINT)

    @staticmethod
    def _status(shown: str) -> int:
        """There is no asset to be reissued, and a plan says so by status 1."""
        return 1 if "reissue plan" in shown else 0

    def _after(self, shown: str) -> None:
        """The pages go on with keys of the chain's members: those that were just made are of nobody."""
        if shown == "fedsm keygen member.key":
            load_key(self.path / "member.key")
            shutil.copy(self.fed.directory / "member-1.key", self.path / "member.key")
        if shown == "fedsm keygen --transport member.curve":
            own = load_key_file(self.path / "member.curve")
            pairs = [own if i == 1 else make_pair() for i in range(5)]
            members = tuple(
                MemberEntry(i, key.hex(), address=address, curve=pair.public_text)
                for i, (key, address, pair) in enumerate(
                    zip(self.fed.multisig.public_keys, self.fed.cast.addresses.split(","), pairs, strict=True)
                )
            )
            genesis = self.fed.rpcs[0].call("getblockhash", [0])
            (self.path / "federation.toml").write_text(dump(FederationFile(genesis, 3, 0.5, members)))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Federation(tmp_path / "federation", "devnet", members=5, threshold=3, interval_s=0.5, http=True) as fed:
        for member in (0, 2, 3, 4):
            fed.cast.daemons[member].start()
        fed.wait_height(1)
        yield Machine(fed, tmp_path / "member")


@pytest.mark.timeout(600)
def test_every_command_of_the_pages_runs(machine: Machine) -> None:
    """One test for all pages: later commands need what earlier ones made."""
    for page in PAGES:
        for command in commands(page):
            machine.run(command)


@pytest.mark.timeout(600)
def test_every_command_of_the_page_on_hsms_runs(tmp_path: Path, tokens: Tokens) -> None:
    for name, pin in (("pin", PIN), ("so-pin", SO_PIN)):
        (tmp_path / name).write_text(pin)
        (tmp_path / name).chmod(0o600)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FEDSM_")}
    environment |= tokens.environment | {"PKCS11_LIB": tokens.module}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"

    def run(command: str) -> str:
        command = command.replace("/etc/fedsm/pin", "pin").replace("/usr/lib/softhsm/libsofthsm2.so", tokens.module)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    init, check, multisig, daemon = commands("docs/hsm.md")
    (key,) = re.findall(r"\b0[23][0-9a-f]{64}\b", run(init))
    run(check)
    keys = [SoftwareSigner(bytes([i]) * 32).public_key.hex() for i in range(1, 6)]
    keys[1] = key
    for i, one in enumerate(keys):
        multisig = multisig.replace(f"PUBKEY{i}", one)
    (script,) = re.findall(r"^signblockscript=([0-9a-f]+)$", run(multisig), re.MULTILINE)
    with Devnet(2, parse_multisig(bytes.fromhex(script)), datadir=tmp_path / "devnet") as chain:
        node = chain.services[1]
        nodes = ",".join(f"127.0.0.1:{port}" for port in free_ports(5))
        where = (
            f"--nodes {nodes} --rpcport {node.port} --rpccookiefile {node.cookie_file} --http off --datadir state"
        )
        daemon = daemon.replace("--id 1 ...", f"--id 1 {where}")
        # It ends by SIGTERM as soon as it is at work.
        until = "until grep -q '\"started\"' log; do kill -0 $!; sleep 0.1; done; kill $!; wait $!; cat log"
        assert f'"public_key": "{key}"' in run(f"set -e; {daemon} 2> log & {until}")


def test_no_page_with_commands_is_forgotten() -> None:
    elsewhere = {"docs/ceremony.md", "docs/hsm.md", "docs/protocol.md"}  # tests of their own; a text that is signed
    pages = {str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}
    assert {page for page in pages if commands(page)} == elsewhere | set(PAGES)
    assert len(commands("README.md")) > 20
