"""A daemon as a service: what it tells systemd, what SIGHUP changes, how it ends when it hangs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedsm.watchdog import HANG_MS, STATUS
from tests.integration.federation import Federation, wait_until
from tests.integration.test_ceremony import has_networks

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "contrib" / "systemd" / "fedsm.service"
LIMIT_S = 30


class Service:
    """The only member of a federation, run from a configuration file as systemd would run it."""

    def __init__(self, fed: Federation, path: Path, **environment: str) -> None:
        (node,) = fed.nodes.addresses
        self.path = path
        self.log_file = path / "fedsm.log"
        self.settings: dict[str, Any] = {
            "id": 0,
            "nodes": fed.cast.addresses,
            "rpcport": node.port,
            "rpccookiefile": str(node.cookie_file),
            "key-file": str(fed.directory / "member-0.key"),
            "datadir": str(path / "state"),
            "blocktime": 0.5,
            "http": "off",
            "log-file": str(self.log_file),
            "log-level": "info",
        }
        self.write()
        command = [sys.executable, "-m", "fedsm", "--config", str(path / "fedsm.toml")]
        self.process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)

    def write(self, **changes: Any) -> None:
        self.settings |= changes
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.settings.items()]
        (self.path / "fedsm.toml").write_text("\n".join(lines))

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def lines(self, event: str, file: Path | None = None) -> list[dict[str, Any]]:
        file = file or self.log_file
        if not file.exists():
            return []
        found = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
        return [line for line in found if line["event"] == event]

    def wait_for(self, condition: Callable[[], object]) -> None:
        wait_until(lambda: bool(condition()) or self.process.poll() is not None, LIMIT_S, self.log_file.read_text)
        assert condition(), self.log_file.read_text()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(LIMIT_S)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path / "federation", "devnet", members=1, threshold=1, interval_s=0.5) as fed:
        yield fed


def test_the_service_manager_hears_that_it_is_ready_and_how_it_is(alone: Federation, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(LIMIT_S)
        alone.nodes.stop_node(0)
        service = Service(alone, tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"))

        def hear(line: str) -> None:
            while re.fullmatch(line, manager.recv(4096).decode()) is None:
                pass

        try:
            hear("READY=1")
            hear("STATUS=waiting for the node: .*")
            alone.nodes.start_node(0)
            hear("STATUS=height [2-9], ready")
            hear("WATCHDOG=1")
            service.process.terminate()
            hear("STOPPING=1")
            while service.process.poll() is None:  # somebody has no patience
                service.process.terminate()
        finally:
            service.end()
        assert service.process.returncode == 0


def test_sighup_opens_the_log_anew_and_reads_again_what_can_change(alone: Federation, tmp_path: Path) -> None:
    service = Service(alone, tmp_path)
    old = tmp_path / "fedsm.log.1"
    try:
        service.wait_for(lambda: service.lines("block_accepted"))
        service.log_file.rename(old)
        service.write(**{"max-past": 7})
        service.reload()
        service.wait_for(lambda: service.lines("reloaded"))
        service.wait_for(lambda: service.lines("block_accepted"))
        assert not service.lines("reload_needs_restart")

        service.write(**{"max-past": 0})
        service.reload()
        service.wait_for(lambda: service.lines("reload_failed"))
        assert "max-past" in service.lines("reload_failed")[0]["detail"]

        service.write(**{"max-past": 7, "blocktime": 30.0})
        service.reload()
        service.wait_for(lambda: len(service.lines("reloaded")) == 2)
        assert "interval_ms" in service.lines("reload_needs_restart")[0]["detail"]

        service.write(**{"blocktime": 0.5, "log-level": "error"})
        before = service.log_file.read_text().count('"event": "block_accepted"')
        service.reload()
        alone.wait_height(alone.height(0) + 4)
        told = service.log_file.read_text().count('"event": "block_accepted"') - before
        assert told < 4, "the level has changed"
    finally:
        service.end()
    assert service.process.returncode == 0
    assert service.lines("started", old)
    assert not service.lines("started")


def test_an_engine_that_hangs_ends_the_process_and_says_where() -> None:
    program = (
        "import time\nfrom fedsm.log import configure, get_logger\n"
        "from fedsm.service_manager import ServiceManager\nfrom fedsm.watchdog import Watchdog\nconfigure('json')\n"
        f"pulse = iter([0, {HANG_MS}, {HANG_MS} + 1])\n"
        "dog = Watchdog(lambda: next(pulse), lambda: '', ServiceManager({}), get_logger())\n"
        "def the_place_where_it_hangs():\n    time.sleep(60)\n"
        "with dog.watching():\n    the_place_where_it_hangs()\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False)
    (line,) = map(json.loads, done.stderr.splitlines())
    assert done.returncode == STATUS
    assert (line["event"], line["silent_ms"]) == ("engine_hangs", HANG_MS + 1)
    assert "the_place_where_it_hangs" in line["detail"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, to judge the unit")
def test_the_unit_is_sound_and_hardened(tmp_path: Path) -> None:
    text = UNIT.read_text().replace("/opt/fedsm/bin/fedsm", shutil.which("true") or "/bin/true")
    unit = tmp_path / "fedsm.service"
    unit.write_text(text)
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout[-300:]


def test_the_tab_key_completes_commands_and_options(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = (
        'eval "$(fedsm completion bash)"; complete -p fedsm; '
        "COMP_WORDS=(fedsm sta); COMP_CWORD=1; _fedsm_completion fedsm; echo ${COMPREPLY[@]}; "
        "COMPREPLY=(); COMP_WORDS=(fedsm run --log-l); COMP_CWORD=2; _fedsm_completion fedsm; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(
        ["bash", "-c", script],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    complete, commands, options = done.stdout.splitlines()
    assert complete.endswith(" fedsm")
    assert commands == "status"
    assert options == "--log-level"


@pytest.mark.skipif(shutil.which("unshare") is None or not has_networks(), reason="needs root, for its own network")
def test_the_composed_federation_makes_blocks(tmp_path: Path) -> None:
    """Without containers: every service's own command and environment, in one network and one working directory."""
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FEDSM_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    (ceremony,) = composed["ceremony"]["command"]
    lines = [
        "ip link set lo up",
        "trap 'kill $(jobs -p); wait' EXIT",
        "set -eu",
        ceremony.replace("$$", "$"),
        f"fedsm {composed['devnet']['command']} &",
        "until test -e devnet/node-2/trial/.cookie; do sleep 0.2; done",
    ]
    for name in ("member0", "member1", "member2"):
        given = " ".join(f"{key}={value}" for key, value in composed[name]["environment"].items())
        lines.append(f"env {given} fedsm {composed[name]['command']} 2> {name}.log &")
    token = composed["member2"]["environment"]["FEDSM_HTTP_TOKEN"]
    lines += [f"FEDSM_HTTP_TOKEN={token} fedsm status --http 127.0.0.1:{port} --wait 60" for port in (7150, 7152)]
    lines.append(
        "until curl -s -H 'Authorization: Bearer " + token + "' 127.0.0.1:7151/metrics | "
        "grep -q '^fedsm_height [2-9]'; do sleep 0.2; done"
    )
    script = "\n".join(lines).replace("/var/lib/fedsm", str(tmp_path))
    done = subprocess.run(
        ["unshare", "--net", "bash", "-c", script],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    assert composed["devnet"]["healthcheck"]["test"][-1] == "/var/lib/fedsm/devnet/node-2/trial/.cookie"
