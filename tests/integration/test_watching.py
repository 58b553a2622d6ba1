"""fedsm doctor and fedsm watch at a federation that runs, fails and is not there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from fedsm.demo.links import Links
from fedsm.federation_file import FederationFile, MemberEntry, dump
from tests.integration.federation import Federation, wait_until

LIMIT_S = 60


def fedsm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fedsm", *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


class Patient:
    """A member whose daemon doctor examines, by the daemon's own command line."""

    def __init__(self, fed: Federation, member: int) -> None:
        command = fed.cast.daemons[member]._command
        self.options = command[command.index("run") + 1 :]

    def checks(self, *more: str, status: int) -> dict[str, dict[str, Any]]:
        """What doctor finds, by name; it must end with this status."""
        done = fedsm("doctor", *self.options, *more, "--json")
        assert done.returncode == status, (done.stdout, done.stderr)
        return {check["name"]: check for check in json.loads(done.stdout)}


def test_doctor_finds_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    with Federation(
        tmp_path, "devnet", members=3, threshold=2, interval_s=0.5, http=True, links=Links("curve", 3)
    ) as fed:
        patient = Patient(fed, 0)
        before = patient.checks(status=1)
        assert {name for name, check in before.items() if not check["ok"]} == {
            "link to member 1", "link to member 2", "peers",
        }  # fmt: skip
        assert "none yet" in before["guard"]["detail"]

        fed.cast.daemons[1].start()
        fed.cast.daemons[2].start()
        fed.wait_height(1, [1, 2])
        healthy = patient.checks(status=0)
        assert "round trip" in healthy["link to member 1"]["detail"]
        assert healthy["daemon"]["detail"].startswith("does not run")
        assert healthy["version"]["ok"]

        fed.cast.daemons[0].start()
        wait_until(lambda: fed.ask(0, "/ready")[0] == 200 if fed.cast.lines(0, "started") else False, 30, str)
        running = patient.checks(status=0)
        assert running["daemon"]["detail"] == "runs, ready"
        assert str(fed.cast.daemons[0].pid) in running["guard"]["detail"]
        assert running["peers"]["detail"] == "2 of 2 are heard"

        fed.cast.daemons[2].kill()
        fed.nodes.stop_node(0)
        wait_until(lambda: not fed.status(0).peers[2].up, 20, str)
        failures = {name for name, check in patient.checks(status=1).items() if not check["ok"]}
        assert {"node", "synced", "chain", "key", "guard", "daemon"} <= failures
        assert not fed.cast.lines(1, "connection_refused"), "a doctor is no scanner"


def test_doctor_names_a_wrong_key_and_a_file_of_another_chain(tmp_path: Path) -> None:
    with Federation(tmp_path, "devnet", members=3, threshold=2, links=Links("curve", 3)) as fed:
        patient = Patient(fed, 0)
        file = tmp_path / "federation.toml"
        file.write_text(file.read_text().replace(fed.rpcs[0].call("getblockhash", [0]), "ab" * 32))
        found = patient.checks("--key-file", str(tmp_path / "member-1.key"), status=1)
        assert "use --id 1" in found["key"]["detail"]
        assert "ab" * 32 in found["chain"]["detail"]
        assert not found["key"]["ok"] | found["chain"]["ok"]


def test_watch_follows_all_members_without_a_key(tmp_path: Path) -> None:
    with Federation(tmp_path, "devnet", members=3, threshold=2, interval_s=0.5, http=True) as fed:
        members = tuple(
            MemberEntry(i, key.hex(), address=address)
            for i, (key, address) in enumerate(
                zip(fed.multisig.public_keys, fed.cast.addresses.split(","), strict=True)
            )
        )
        file = FederationFile(fed.rpcs[0].call("getblockhash", [0]), 2, 0.5, members)
        (tmp_path / "federation.toml").write_text(dump(file))
        fed.cast.start()
        fed.wait_height(1)
        assert fed.http_ports is not None
        daemons = [f"127.0.0.1:{port}" for port in fed.http_ports]
        for source in (["--federation", str(tmp_path / "federation.toml")], daemons):
            process = subprocess.Popen(
                [sys.executable, "-m", "fedsm", "watch", *source, "--json"], stdout=subprocess.PIPE, text=True
            )
            try:
                found = follow(process, fed)
            finally:
                process.terminate()
                process.wait(10)
            assert [peer["up"] for peer in found["peers"]] == [True] * 3
            # Of the first block it may have come too late, and of the last one a signature may be on its way.
            for block in found["blocks"][1:-1]:
                facts = fed.block(0, block["height"])
                keys = {fed.multisig.public_keys[member].hex() for member in block["signers"]}
                assert block["hash"] == facts.hash
                assert set(facts.signers) <= keys


def follow(process: subprocess.Popen[str], fed: Federation) -> dict[str, Any]:
    """The first status that tells of three blocks."""
    assert process.stdout is not None
    for line in process.stdout:
        status: dict[str, Any] = json.loads(line)
        if len(status.get("blocks", ())) >= 3 and all(peer["up"] for peer in status["peers"]):
            return status
    raise AssertionError(f"watch ended, height {fed.height(0)}")


def test_watch_says_that_only_members_may_listen_to_encrypted_links(tmp_path: Path) -> None:
    with Federation(tmp_path, "devnet", members=3, threshold=2, links=Links("curve", 3)):
        done = fedsm("watch", "--federation", str(tmp_path / "federation.toml"))
        assert done.returncode == 1
        assert "only its members may listen" in done.stderr
