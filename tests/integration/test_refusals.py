"""Bad input: each refused with one clear line that names the cause, no traceback, nothing lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedsm.demo.cast import WIF_PREFIX
from fedsm.demo.nodes import NodeAddress, find_elementsd
from signers.software import write_key_file
from tests.integration.federation import Federation, wait_until

Make = Callable[..., Federation]


def arguments(
    fed: Federation, member: int, *, key_of: int | None = None, node: NodeAddress | None = None
) -> list[str]:
    """The command line of a member's daemon, perhaps with another member's key or node."""
    node = node or fed.nodes.addresses[member]
    key = fed.directory / f"member-{member if key_of is None else key_of}.key"
    return [
        "--id", str(member), "--nodes", fed.cast.addresses,
        "--rpcport", str(node.port), "--rpccookiefile", str(node.cookie_file),
        "--key-file", str(key), "--datadir", str(fed.directory / "elsewhere"), "--blocktime", "0.5",
        "--http", "off",
    ]  # fmt: skip


def refusal(args: list[str], limit_s: float = 20.0) -> str:
    """Run fedsm, which must end by itself with status 1; returns the last line it wrote."""
    result = subprocess.run(
        [sys.executable, "-m", "fedsm", *args], capture_output=True, text=True, timeout=limit_s, check=False
    )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("fedsm: ")
    return last


@contextmanager
def running(args: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "fedsm", *args], stderr=file)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(10)


def test_what_cannot_work_is_refused_at_start_and_named(federation: Make, tmp_path: Path) -> None:
    with federation(members=3, threshold=2) as fed:
        wrong_id = refusal(arguments(fed, 0, key_of=2))
        assert "--id 0 is wrong" in wrong_id
        assert "use --id 2" in wrong_id

        foreign = tmp_path / "foreign.key"
        write_key_file(foreign, bytes([9]) * 32, WIF_PREFIX)
        assert "is not in the block-signing script" in refusal([*arguments(fed, 0), "--key-file", str(foreign)])

        wrong_password = [*arguments(fed, 0), "--rpcuser", "nobody", "--rpcpassword", "hunter2"]
        del wrong_password[wrong_password.index("--rpccookiefile") : wrong_password.index("--rpccookiefile") + 2]
        line = refusal(wrong_password)
        assert "rpcpassword" in line
        assert "hunter2" not in line

        for nodes, named in (
            ("127.0.0.1:1,127.0.0.1", "127.0.0.1"),
            ("127.0.0.1:99999,a:1,b:2", "99999"),
            ("a:1,b:2", "2 members"),
        ):
            assert named in refusal([*arguments(fed, 0), "--nodes", nodes])

        world_readable = tmp_path / "open.key"
        write_key_file(world_readable, fed.secrets[0], WIF_PREFIX)
        world_readable.chmod(0o644)
        assert "chmod 600" in refusal([*arguments(fed, 0), "--key-file", str(world_readable)])

        without_key = arguments(fed, 0)
        del without_key[without_key.index("--key-file") : without_key.index("--key-file") + 2]
        says = "wallet does not hold the block-signing key" if fed.kind == "ocean" else "wallet cannot sign"
        assert says in refusal(without_key)


@pytest.mark.one_chain
def test_two_daemons_with_one_key_the_second_does_not_start(federation: Make) -> None:
    with federation(members=3, threshold=2, interval_s=0.5) as fed:
        fed.cast.start()
        fed.wait_height(1)
        assert str(fed.cast.daemons[0].pid) in refusal(arguments(fed, 0)), "names the daemon that has the key"
        fed.wait_more(2)
        fed.check_chain()


@pytest.mark.one_chain
def test_a_daemon_waits_for_its_node_and_says_so(federation: Make) -> None:
    with federation(members=3, threshold=2, interval_s=0.5) as fed:
        fed.nodes.stop_node(2)
        fed.cast.start()
        fed.wait_event(2, "waiting_for_node")
        fed.wait_height(2, [0, 1])
        fed.nodes.start_node(2)
        fed.rpcs[2] = fed.nodes.addresses[2].rpc()
        fed.wait_event(2, "started")
        wait_until(lambda: fed.height(2) >= fed.height(0), 30, lambda: "node 2 does not catch up")
        fed.wait_event(2, "decided")
        fed.check_chain()


@pytest.mark.elementsd
@pytest.mark.skipif(find_elementsd() is None, reason="no real node: put elementsd on PATH or name it in $ELEMENTSD")
@pytest.mark.one_chain
def test_a_node_that_knows_of_blocks_and_lacks_them_is_waited_for(tmp_path: Path) -> None:
    with Federation(tmp_path, "elementsd", members=3, threshold=2, interval_s=0.5) as fed:
        fed.rpcs[2].call("setnetworkactive", [False])
        fed.cast.daemons[0].start()
        fed.cast.daemons[1].start()
        fed.wait_height(2, [0, 1])
        first = fed.rpcs[0].call("getblockhash", [1])
        fed.rpcs[2].call("submitheader", [fed.rpcs[0].call("getblockheader", [first, False])])
        fed.cast.daemons[2].start()
        assert "syncing" in fed.wait_event(2, "waiting_for_node")["detail"]

        def takes_part() -> bool:
            for height in range(fed.height(2) + 1, fed.height(0) + 1):
                block = fed.rpcs[0].call("getblock", [fed.rpcs[0].call("getblockhash", [height]), 0])
                fed.rpcs[2].call("submitblock", [block])
            return bool(fed.cast.lines(2, "decided"))

        wait_until(takes_part, 30, lambda: str(fed.cast.lines(2)[-3:]))
        fed.check_chain()


def test_a_member_on_another_chain_is_told_and_cannot_disturb(federation: Make, tmp_path: Path) -> None:
    with (
        federation(members=3, threshold=2, interval_s=0.5) as fed,
        Federation(tmp_path / "other", fed.kind, members=3, threshold=2, chain="otherchain", keys_of=fed) as other,
    ):
        fed.cast.daemons[0].start()
        fed.cast.daemons[1].start()
        log = tmp_path / "lost.log"
        with running([*arguments(fed, 2, node=other.nodes.addresses[2]), "--log-format", "json"], log):
            fed.wait_height(3, [0, 1])
            wait_until(lambda: b"wrong-chain" in log.read_bytes(), 20, log.read_text)
        said = fed.cast.lines(0, "message_refused")
        assert any(line["reason"] == "wrong-chain" and line["claimed"] == 2 for line in said)
        fed.check_chain()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
@pytest.mark.one_chain
def test_a_full_disk_under_the_guard_lets_no_vote_leave_and_heals(federation: Make) -> None:
    with federation(members=3, threshold=2, interval_s=0.5) as fed:
        state = fed.directory / "member-2"
        state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(state)], check=True)
        try:
            fed.cast.start()
            fed.wait_height(2)
            ballast = state / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
            failure = fed.wait_event(2, "persist_failed")
            assert "write-failed" in failure["detail"]
            fed.wait_more(3, [0, 1])
            ballast.unlink()
            decided = len(fed.cast.lines(2, "decided"))
            fed.wait_event(2, "decided", count=decided + 2)
            fed.cast.close()
        finally:
            subprocess.run(["umount", str(state)], check=True)
        fed.check_chain()


@pytest.mark.one_chain
def test_a_corrupt_guard_is_refused_with_the_repair_and_an_export_restores_it(
    federation: Make, tmp_path: Path
) -> None:
    with federation(members=3, threshold=2, interval_s=0.5) as fed:
        fed.cast.start()
        fed.wait_height(2)
        fed.cast.daemons[2].terminate()
        state = fed.directory / "member-2"
        (guard,) = state.glob("*/*/guard.sqlite")
        export = subprocess.run(
            [sys.executable, "-m", "fedsm", "guard", "export", str(guard)], capture_output=True, check=True
        )
        backup = tmp_path / "backup.json"
        backup.write_bytes(export.stdout)
        content = bytearray(guard.read_bytes())
        content[4096:8192] = bytes(4096)
        guard.write_bytes(content)
        args = [*arguments(fed, 2), "--datadir", str(state)]
        assert "fedsm guard import" in refusal(args)
        for damaged in guard.parent.glob("guard.sqlite*"):
            damaged.rename(damaged.with_name(damaged.name + ".damaged"))
        subprocess.run([sys.executable, "-m", "fedsm", "guard", "import", str(backup), str(guard)], check=True)
        fed.cast.daemons[2].start()
        fed.wait_event(2, "started", count=2)
        decided = len(fed.cast.lines(2, "decided"))
        fed.wait_event(2, "decided", count=decided + 1)
        fed.check_chain()


@pytest.mark.one_chain
def test_a_daemon_that_waits_for_its_node_ends_at_once_on_sigterm(federation: Make, tmp_path: Path) -> None:
    with federation(members=3, threshold=2) as fed:
        fed.nodes.stop_node(0)
        log = tmp_path / "waiting.log"
        with running([*arguments(fed, 0), "--log-format", "json"], log) as process:
            wait_until(lambda: b"waiting_for_node" in log.read_bytes(), 20, log.read_text)
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
