"""docs/ceremony.md, followed as a new user would: its very commands lead to blocks, on devnet and on real nodes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fedsm.ceremony.chain import elements_conf, params_of
from fedsm.demo.nodes import find_elementsd
from fedsm.demo.ports import free_ports
from fedsm.federation_file import FederationFile, load
from tests.integration.federation import wait_until

PAGE = (Path(__file__).parents[2] / "docs" / "ceremony.md").read_text(encoding="utf-8")
NAMES = ("alice", "bob", "carol", "dave", "erin")
LIMIT_S = 180  # more than the page waits: what fedsm says at the end of that is wanted
# The user whose commands these are: no settings of ours, and fedsm on PATH.
USER = {name: value for name, value in os.environ.items() if not name.startswith("FEDSM_")}
USER["PATH"] = f"{Path(sys.executable).parent}:{USER['PATH']}"


def commands(heading: str) -> list[str]:
    """The commands of a part of the page, in order."""
    part = PAGE[PAGE.index(heading) :]
    level = heading.split(" ", maxsplit=1)[0]
    end = re.search(rf"\n{level} ", part[1:])
    return re.findall(r"```sh\n(.*?)\n```", part[: end.start() + 1 if end else None], re.DOTALL)


def has_networks() -> bool:
    """Whether a network of one's own may be made, so that the page's ports are free whatever runs here."""
    tried = subprocess.run(["unshare", "--net", "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(shutil.which("unshare") is None or not has_networks(), reason="needs root, for its own network")
def test_the_rehearsal_makes_blocks(tmp_path: Path) -> None:
    """Six commands; they run in one shell, with the page's own ports."""
    lines = commands("## Rehearsal on one machine")
    assert len(lines) < 15
    script = "\n".join(("ip link set lo up", "trap 'kill $(jobs -p); wait' EXIT", "set -eu", *lines))
    done = subprocess.run(
        ["unshare", "--net", "bash", "-c", script],
        cwd=tmp_path, env=USER, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    logs = "".join(path.read_text() for path in tmp_path.glob("member-*/log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    assert "member 0, fedsm " in done.stdout
    assert ", ready\n" in done.stdout
    assert "links_not_encrypted" not in logs


class Machine:
    """One of the five: its own home and working directory, and ports of its own on this machine."""

    def __init__(self, path: Path, number: int, ports: list[int]) -> None:
        self.path = path / NAMES[number]
        self.path.mkdir()
        self.rpc_port, self.p2p_port, self.http_port, address_port = ports
        self.environment = USER | {
            "HOME": str(self.path),
            "NAME": NAMES[number],
            "ADDRESS": f"127.0.0.1:{address_port}",
            "FEDSM_RPCPORT": str(self.rpc_port),
            "FEDSM_HTTP": str(self.http_port),
        }

    def run(self, command: str) -> str:
        """Run a command to its end; returns what it prints."""
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        log = self.path / "log"
        assert done.returncode == 0, (command, done.stdout, done.stderr, log.read_text() if log.exists() else "")
        return done.stdout

    @contextmanager
    def running(self, command: str) -> Iterator[None]:
        """Run a command until the end of the context."""
        with (self.path / "log").open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-euc", f"exec {command}"], cwd=self.path, env=self.environment, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def on_devnet(machines: list[Machine], file: FederationFile, stack: ExitStack, path: Path) -> None:
    """In place of the five elementsd: nodes of the embedded chain, with their cookies where elementsd has them."""
    base = machines[0].rpc_port
    shared = machines[0].path / "federation.toml"
    stack.enter_context(
        machines[0].running(f"fedsm devnet --federation {shared} --datadir {path / 'devnet'} --base-port {base}")
    )
    for number, machine in enumerate(machines):
        (machine.path / ".elements").symlink_to(path / "devnet" / f"node-{number}")
    wait_until(lambda: all((m.path / ".elements/mychain/.cookie").exists() for m in machines), 30, lambda: "devnet")
    assert file.name == "mychain"


def on_elementsd(machines: list[Machine], file: FederationFile, stack: ExitStack, _path: Path) -> None:
    """The page's own command, without -daemon so that it ends with the test, and with the operator's edit."""
    (command,) = commands("### 4.")
    for machine in machines:
        conf = machine.path / "member" / "elements.conf"
        assert conf.read_text() == elements_conf(params_of(file), machine.rpc_port)
        others = "".join(f"addnode=127.0.0.1:{m.p2p_port}\n" for m in machines if m is not machine)
        with conf.open("a") as edited:
            edited.write(f"bind=127.0.0.1:{machine.p2p_port}\n{others}")
        machine.environment["PATH"] = f"{Path(find_elementsd() or '').parent}:{machine.environment['PATH']}"
        (machine.path / ".elements").mkdir()
        stack.enter_context(machine.running(command.removesuffix(" -daemon")))


NODES: dict[str, Callable[[list[Machine], FederationFile, ExitStack, Path], None]] = {
    "devnet": on_devnet,
    "elementsd": on_elementsd,
}


@pytest.mark.one_chain
def test_five_machines_make_blocks(tmp_path: Path, kind: str) -> None:
    nodes, ports = consecutive_ports(5), free_ports(15)
    machines = [Machine(tmp_path, i, [nodes[i], *ports[3 * i : 3 * i + 3]]) for i in range(5)]
    (init,), (assemble,), (join,) = commands("### 1."), commands("### 2."), commands("### 3.")
    alice = machines[0]
    for machine in machines:
        card = machine.run(init)
        (alice.path / f"{machine.environment['NAME']}.card").write_text(card)
    said = alice.run(assemble)
    digest = re.findall(r"^digest, to be read aloud: ([0-9a-f ]+)$", said, re.MULTILINE)
    for number, machine in enumerate(machines):
        if machine is not alice:
            shutil.copy(alice.path / "federation.toml", machine.path)
        machine.environment["DIGEST"] = digest[0]
        assert f"member {number} of a 3-of-5 federation" in machine.run(join)
    run, status = commands("### 5.")
    with ExitStack() as stack:
        NODES[kind](machines, load(alice.path / "federation.toml"), stack, tmp_path)
        for machine in machines:
            stack.enter_context(machine.running(run))
        for machine in machines:
            assert ", ready\n" in machine.run(status)

        def height() -> int:
            return int(json.loads(alice.run(f"{status} --json"))["height"])

        wait_until(lambda: height() > 1, 60, (alice.path / "log").read_text)


def consecutive_ports(count: int) -> list[int]:
    """So many free ports in a row, for the devnet; ``free_ports`` gives none of them again."""
    for _ in range(100):
        ports = free_ports(count)
        if ports == list(range(ports[0], ports[0] + count)):
            return ports
    raise AssertionError("no free ports in a row")
