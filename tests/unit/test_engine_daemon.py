"""Before the engine runs: what a daemon is told is checked against the chain, and the first lie stops it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedsm import daemon as module
from fedsm.assembly import Ground, assemble
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.clock import SystemClock
from fedsm.config import DaemonConfig, NodeAccess, guard_path, state_directory
from fedsm.daemon import Daemon
from fedsm.errors import FedsmError
from fedsm.federation_file import FederationFile, MemberEntry
from fedsm.observe.station import Station
from signers.guard import Guard
from signers.software import SoftwareSigner
from tests.elements_stand_in import StandIn, node_of
from tests.elements_vectors import load
from tests.unit.log_lines import LogLines
from transports.identity import load_identity

CHAIN = load("blocks_predynafed")["chains"][0]
SECRETS = [bytes.fromhex(member["privkey"]) for member in CHAIN["members"]]
KEYS = [bytes.fromhex(member["pubkey"]) for member in CHAIN["members"]]
NODES = ",".join(f"127.0.0.1:{1501 + i}" for i in range(5))
NETWORK = next(c["result"] for c in load("rpc_shapes")["dynafed"]["calls"] if c["method"] == "getnetworkinfo")
AWAY = RpcUnavailable("refused", "node at 127.0.0.1:7041: no connection")


class Node(StandIn):
    """A recorded node that can be closed."""

    def close(self) -> None:
        self.calls.append(("close", [], None))


class Start:
    """Runs a daemon up to the point where its engine would be put together."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        usual = node_of(CHAIN, getnetworkinfo=NETWORK, getblockchaininfo=CHAIN["final_chaininfo"]).answers
        self.node = Node(**usual)
        self.logs = LogLines()
        self.station = Station(1, SystemClock(), self.logs.log)
        self.grounds: list[tuple[DaemonConfig, Ground]] = []
        self.config = DaemonConfig(
            1, NODES, NodeAccess(user="alice", password="hunter2"), data_directory=directory, http=None
        )
        monkeypatch.setattr(module, "open_rpc", lambda _access: self.node)
        monkeypatch.setattr(module, "assemble", self._assemble)
        monkeypatch.setattr(module, "WAIT_S", 0)

    def _assemble(self, config: DaemonConfig, ground: Ground, _log: Any, _station: Station) -> Any:
        self.grounds.append((config, ground))
        raise FedsmError("assembled")

    def run(self, *, member: int = 1, signs_as: int | None = None, **changes: Any) -> str:
        """The line with which the daemon ends; "assembled" when all was well."""
        signer = SoftwareSigner(SECRETS[member % 5 if signs_as is None else signs_as])
        daemon = Daemon(replace(self.config, member=member, **changes), self.logs.log, signer=signer)
        with pytest.raises(FedsmError) as ended:
            daemon.run()
        assert "\n" not in str(ended.value)
        return str(ended.value)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Start:
    return Start(monkeypatch, tmp_path)


def test_an_engine_stands_on_the_chains_own_numbers_and_the_members_guard(start: Start, tmp_path: Path) -> None:
    assert start.run() == "assembled"
    ((config, ground),) = start.grounds
    assert config.member == 1
    assert ground.identity.genesis == CHAIN["genesis_hash"]
    assert ground.genesis == bytes.fromhex(CHAIN["genesis_hash"])[::-1]
    assert (ground.quorum.members, ground.quorum.threshold, ground.quorum.votes) == (5, 3, 3)
    assert ground.signer.public_key == KEYS[1]
    assert ground.directory == state_directory(tmp_path, CHAIN["genesis_hash"], KEYS[1])
    assert ground.directory.stat().st_mode & 0o077 == 0


def test_what_was_opened_is_closed_again(start: Start, tmp_path: Path) -> None:
    start.run()
    assert start.node.calls[-1][0] == "close"
    Guard.open(guard_path(tmp_path, CHAIN["genesis_hash"], KEYS[1]), CHAIN["genesis_hash"], KEYS[1]).close()


def test_a_key_that_is_not_the_members_ends_before_anything_is_written(start: Start, tmp_path: Path) -> None:
    assert "use --id 3" in start.run(signs_as=3)
    assert list(tmp_path.iterdir()) == []


def test_an_id_beyond_the_members_is_taken_modulo_n_as_it_used_to_be(start: Start) -> None:
    assert start.run(member=6) == "assembled"
    assert start.grounds[0][0].member == 1
    assert start.logs.of("id_wrapped")[0]["detail"] == "--id 6 of 5 members is 1"


def test_another_threshold_than_the_chains_is_refused(start: Start) -> None:
    assert start.run(threshold=2) == "nsigs is 2, the chain's block-signing script needs 3"
    assert start.run(threshold=3) == "assembled"


@pytest.mark.parametrize("votes", [1, 2, 6])
def test_a_quorum_that_protects_nothing_or_cannot_be_is_refused(start: Start, votes: int) -> None:
    assert start.run(vote_quorum=votes).startswith("--quorum: ")


def test_a_higher_quorum_is_taken(start: Start) -> None:
    assert start.run(vote_quorum=5) == "assembled"
    assert start.grounds[0][1].quorum.votes == 5


def test_a_node_that_is_away_or_starting_is_waited_for_and_said_once_for_each_reason(start: Start) -> None:
    starting = RpcUnavailable("warming-up", "node at 127.0.0.1:7041: starting up: Verifying blocks")
    answers = iter([AWAY, AWAY, starting, AWAY, NETWORK])
    start.node.answers["getnetworkinfo"] = lambda: next(answers)
    assert start.run() == "assembled"
    details = [line["detail"] for line in start.logs.of("waiting_for_node")]
    assert details == [str(AWAY), str(starting), str(AWAY)]


def test_a_node_that_lacks_blocks_is_waited_for_since_it_may_name_a_federation_that_is_gone(start: Start) -> None:
    final = CHAIN["final_chaininfo"]
    gone = final["current_signblock_hex"].replace(KEYS[1].hex(), SoftwareSigner(bytes([9]) * 32).public_key.hex())
    behind = {**final, "blocks": 1, "initialblockdownload": True, "current_signblock_hex": gone}
    answers = iter([behind, behind, behind, behind])
    start.node.answers["getblockchaininfo"] = lambda: next(answers, final)
    assert start.run() == "assembled"
    (line,) = start.logs.of("waiting_for_node")
    assert "syncing" in line["detail"]


def test_a_wrong_password_is_not_waited_out(start: Start) -> None:
    start.node.answers["getnetworkinfo"] = RpcUnavailable("unauthorised", "node at 127.0.0.1:7041: HTTP 401")
    assert "--rpcpassword" in start.run()


def test_a_refused_cookie_is_waited_out_for_a_restarted_node_writes_a_new_one(start: Start) -> None:
    answers = iter([RpcUnavailable("unauthorised", "node at 127.0.0.1:7041: cookie refused"), NETWORK])
    start.node.answers["getnetworkinfo"] = lambda: next(answers)
    assert start.run(node=NodeAccess(cookie_file=Path("c"))) == "assembled"


def test_a_node_of_another_kind_is_refused(start: Start) -> None:
    start.node.answers["getblockchaininfo"] = {"chain": "main", "blocks": 5}
    assert "is it an Elements node" in start.run()
    start.node.answers["getnetworkinfo"] = RpcError(-32601, "Method not found")
    assert "Method not found" in start.run()


def test_a_daemon_that_is_stopped_while_it_waits_ends_without_an_error(start: Start) -> None:
    daemon = Daemon(start.config, start.logs.log)

    def away() -> None:
        daemon.stop()
        raise AWAY

    start.node.answers["getnetworkinfo"] = away
    daemon.run()
    assert start.grounds == []


def test_malformed_nodes_end_before_the_node_is_asked(start: Start) -> None:
    assert "entry 1 of --nodes" in start.run(nodes="127.0.0.1:1501,127.0.0.1")
    assert start.node.calls == []


def test_a_guard_in_use_ends_with_the_number_of_the_process_that_has_it(start: Start, tmp_path: Path) -> None:
    path = guard_path(tmp_path, CHAIN["genesis_hash"], KEYS[1])
    path.parent.mkdir(parents=True)
    with Guard.open(path, CHAIN["genesis_hash"], KEYS[1]):
        assert f"in use by process {os.getpid()}" in start.run()


def test_a_data_directory_that_cannot_be_made_is_named(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in start.run(data_directory=tmp_path / "file")


# Putting the engine together


@pytest.mark.parametrize(
    ("nodes", "named"), [(NODES + ",127.0.0.1:1506", "names 6 members"), (NODES[:-15], "4 members")]
)
def test_as_many_addresses_as_members_are_needed(start: Start, nodes: str, named: str) -> None:
    start.run()
    config, ground = start.grounds[0]
    with pytest.raises(FedsmError, match=f"{named}.* has 5"):
        assemble(replace(config, nodes=nodes), ground, start.logs.log, start.station)


def test_an_engine_gets_an_identity_that_its_block_signing_key_certified_once(start: Start, tmp_path: Path) -> None:
    start.run()
    config, ground = start.grounds[0]
    with Guard.open(tmp_path / "guard.sqlite", CHAIN["genesis_hash"], KEYS[1]) as guard:
        for _ in range(2):
            own = replace(ground, guard=guard, signer=SoftwareSigner(SECRETS[1]))
            assemble(config, own, start.logs.log, start.station)
            identity = load_identity(ground.directory)
            text = (ground.directory / "identity.cert").read_text(encoding="ascii")
    assert identity.public_key.hex() in text
    assert '"member": 1' in text
    assert [path.name for path in sorted(ground.directory.glob("identity*"))] == ["identity.cert", "identity.key"]


def test_an_identity_that_is_not_the_one_pinned_is_refused_with_ours_named(start: Start, tmp_path: Path) -> None:
    start.run()
    config, ground = start.grounds[0]
    pinned = SoftwareSigner(SECRETS[0]).public_key[1:].hex()
    members = tuple(MemberEntry(i, key.hex(), pinned if i == 1 else None) for i, key in enumerate(KEYS))
    file = FederationFile(CHAIN["genesis_hash"], 3, 60, members)
    with Guard.open(tmp_path / "guard.sqlite", CHAIN["genesis_hash"], KEYS[1]) as guard:
        own = replace(ground, guard=guard, signer=SoftwareSigner(SECRETS[1]))
        with pytest.raises(FedsmError, match="pins another identity for member 1") as refused:
            assemble(replace(config, federation=file), own, start.logs.log, start.station)
    assert load_identity(ground.directory).public_key.hex() in str(refused.value)
