"""What is told of a member's machines: the same as what they did, and bounded whatever peers send."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fedsm.chains.base import ChainIdentity
from fedsm.observe.board import KEPT_HEIGHTS, MAX_ROUNDS_AHEAD, block_of
from fedsm.observe.checks import STALL_MS
from fedsm.observe.path import moves_of
from fedsm.observe.station import About, Probes, Station
from fedsm.observe.status import Status
from fedsm.peers import SILENT_MS, Peers
from fedsm.simulator.cluster import Cluster
from fedsm.simulator.member import Member
from fedsm.simulator.wire import seal
from fedsm.trace import UNTRACED, Standing, Transition
from fedsm.trace.chronicle import Decided, HeightFacts, Proposed
from states.effects import Effect
from states.events import Event, Received
from states.messages import Heartbeat, Prevote
from states.round import Round
from tests.unit.log_lines import LogLines

ABOUT = About(ChainIdentity("aa" * 32, "testchain", 289900), bytes([2]) * 33, "", lambda: {"malformed": 7})


class Machines:
    """A member's machines as the cluster drives them, with a station that watches as in a daemon."""

    def __init__(self, core: Round, member: Member) -> None:
        self.core = core
        self.logs = LogLines()
        self.turned_ms = 0
        self.node_trouble = ""
        self._member = member
        self.peers = Peers(member.index, "0", "", self.logs.log)
        self.station = Station(member.index, self, self.logs.log)
        self.trace = self.station.observing(UNTRACED, core.settings, self.peers, ABOUT)
        self.station.runs(Probes(lambda: self.turned_ms, lambda: self.node_trouble, lambda: ()))
        self.taken: list[tuple[str, str]] = []
        self.told: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.core, name)

    def wall_ms(self) -> int:
        return self._member.now_ms()

    def steady_ms(self) -> int:
        return self._member.cluster.now_ms

    def step(self, event: Event) -> list[Effect]:
        self.turned_ms = self.steady_ms()
        if isinstance(event, Received) and isinstance(event.message, Heartbeat):
            self.peers.heard(event.sender, event.message, self.core.height, self.steady_ms(), self.wall_ms())
        before = Standing.of(self.core)
        fire = self.core.fire

        def noting_fire(trigger: str) -> bool:
            source = self.core.state
            taken = fire(trigger)
            if self.core.state != source:
                self.taken.append((source, self.core.state))
            return taken

        vars(self.core)["fire"] = noting_fire
        effects = self.trace.step(self.core, event)
        del vars(self.core)["fire"]
        step = Transition(self.wall_ms(), before, event, Standing.of(self.core), effects)
        self.told += [(move.source, move.dest) for move in moves_of(step)]
        return effects

    @property
    def status(self) -> Status:
        return self.station.status()

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample of the exposition."""
        families = text_string_to_metric_families(self.station.metrics().decode())
        found = [s.value for family in families for s in family.samples if s.name == name and s.labels == labels]
        assert len(found) == 1, (name, labels, found)
        return found[0]


class WatchedMember(Member):
    """A member of a cluster whose machines are watched."""

    def start(self) -> None:
        super().start()
        self.machines = Machines(self.round, self)
        self.round = cast(Round, self.machines)


def cluster(**settings: Any) -> tuple[Cluster, list[Machines]]:
    made = Cluster(5, 3, member_class=WatchedMember, **settings)
    made.start()
    return made, [cast(WatchedMember, member).machines for member in made.members]


def test_every_edge_between_states_is_told_in_order_while_members_fail() -> None:
    made, machines = cluster(seed=3)
    made.deliver = lambda *_: () if made.random.random() < 0.15 else (made.random.randrange(1, 60),)
    made.members[1].rejects_all = True
    made.members[2].refuses_submission = True
    made.run_for(10_000)
    made.members[1].rejects_all = made.members[2].refuses_submission = False
    for index in range(5):
        made.sync(index)
    made.run_until_height(made.members[0].height + 5)
    for watched in machines:
        assert watched.told == watched.taken
        counted = {(edge.source, edge.dest): edge.count for edge in watched.status.edges}
        assert counted == dict(Counter(watched.taken))
    seen = set().union(*(watched.taken for watched in machines))
    assert {("Propose", "Idle"), ("Propose", "CollectSigs"), ("Submit", "CollectSigs"), ("Idle", "Propose")} <= seen


def test_the_status_tells_where_everybody_stands_and_who_signed() -> None:
    made, machines = cluster()
    made.run_until_height(4)
    made.members[2].crash()
    made.run_until_height(9)
    made.run_for(1_000)
    status = machines[0].status
    core = machines[0].core
    assert (status.phase, status.state) == ("running", core.state)
    assert (status.height, status.round) == (core.height, core.round)
    assert (status.tip, status.chain, status.refused) == (core.tip, "testchain", {"malformed": 7})
    assert [member.up for member in status.peers] == [True, True, False, True, True]
    assert status.peers[2].signed is not None
    assert status.peers[2].signed < 6 <= (status.peers[3].signed or 0)
    heights = [block.height for block in status.blocks]
    assert heights == list(range(1, core.height)), "without a gap"
    assert [block.hash for block in status.blocks] == made.members[0].chain[1:]
    last = status.blocks[-2]
    assert set(last.signers) == set(last.voters) == {0, 1, 3, 4}
    assert last.proposer == made.quorum.proposer(last.height, last.round or 0)


def test_the_metrics_count_what_happened() -> None:
    made, machines = cluster()
    made.run_until_height(3)
    made.members[2].crash()
    made.run_until_height(12)
    watched = machines[0]
    closed = watched.core.height - 2
    assert watched.metric("fedsm_blocks_total") == closed
    missed = watched.metric("fedsm_missed_heights_total", peer="2")
    assert closed - 4 <= missed <= closed - 1
    assert watched.metric("fedsm_missed_heights_total", peer="1") == 0
    failed = sum(report.code == "round-failed" for report in made.members[0].reports)
    assert failed >= 1
    assert watched.metric("fedsm_round_duration_seconds_count", outcome="failed") == failed
    assert watched.metric("fedsm_round_duration_seconds_count", outcome="decided") == watched.core.height - 1
    assert watched.metric("fedsm_quorum_delay_seconds_count", proposer="1") >= 1
    assert watched.metric("fedsm_signer_seconds_count", outcome="signed") >= watched.core.height - 1
    in_states = [watched.metric("fedsm_state_seconds_total", state=name) for name in ("Idle", "Propose")]
    assert sum(in_states) == pytest.approx(made.now_ms / 1000 - 1_000_000, abs=2)
    assert watched.metric("fedsm_peer_up", peer="2") == 0
    assert watched.metric("fedsm_messages_refused_total", reason="malformed") == 7
    assert watched.metric("fedsm_spare_members") == 1


def test_what_keeps_a_member_from_its_part_is_a_failed_check_until_it_is_over() -> None:
    made, machines = cluster()
    made.run_until_height(2)
    watched, member = machines[0], made.members[0]
    assert watched.status.ready, watched.status.checks

    def failing() -> list[str]:
        return [check.name for check in watched.status.checks if not check.ok]

    member.disk_full = True
    made.run_for(1_500)
    assert failing() == ["guard"]
    member.disk_full, member.signer_down = False, True
    made.run_for(3_000)
    assert failing() == ["signer"]
    member.signer_down = False
    made.run_for(3_000)
    assert failing() == []
    watched.node_trouble = "node at 127.0.0.1:7041: no connection"
    assert failing() == ["node"]
    watched.node_trouble = ""
    member.offset_ms = 10_000
    made.run_for(2_000)
    assert failing() == ["clock"]
    member.offset_ms = 0
    made.run_for(2_000)
    for other in made.members[2:]:
        other.crash()
    made.run_for(SILENT_MS + 1_000)
    assert failing() == ["members"]
    assert "not heard: 2, 3, 4" in next(check.detail for check in watched.status.checks if not check.ok)
    made.now_ms += STALL_MS + 1
    assert "engine" in failing()
    assert not watched.station.is_alive()


def test_a_liar_cannot_make_the_board_grow() -> None:
    made, machines = cluster()
    made.run_until_height(1)
    watched = machines[0]
    for round_ in range(5_000):
        vote = Prevote(watched.core.height, 1_000 + round_, "ab" * 32)
        watched.step(Received(1, vote, seal(1, vote), watched.wall_ms()))
    observer = cast(Any, watched.trace)
    rounds = [len(facts.rounds) for facts in observer._board._chronicle.unfinished]
    assert max(rounds) <= MAX_ROUNDS_AHEAD
    made.run_until_height(KEPT_HEIGHTS + 10)
    assert len(watched.status.blocks) == KEPT_HEIGHTS


def test_a_fault_in_the_observation_is_logged_once_and_rounds_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made, machines = cluster()
    monkeypatch.setattr("fedsm.observe.board.Board.take", lambda *_: 1 / 0)
    made.run_until_height(2)
    assert len(machines[0].logs.of("observation_failed")) == 1


def test_a_station_without_a_running_daemon_is_alive_and_not_ready() -> None:
    made, _ = cluster()
    logs = LogLines()
    station = Station(3, cast(Any, made.members[0].round), logs.log)
    station.waiting("no connection")
    status = station.status()
    assert station.is_alive()
    assert (status.phase, status.ready) == ("waiting", False)
    assert status.checks[0].detail == "waiting for the node: no connection"
    assert b'fedsm_check_ok{check="node"} 0.0' in station.metrics()


@pytest.mark.parametrize("decided", [True, False])
def test_latency_is_told_of_blocks_that_we_saw_decided_and_no_others(decided: bool) -> None:
    """Who comes late has a block from its node before the slot that it waits for: that is no latency."""
    facts = HeightFacts(7, slot_ms=5_000, closed=Proposed("ab" * 32, 4_400))
    if decided:
        facts.decided = Decided("ab" * 32, 1, (0, 1, 2), 4_300)
    block = block_of(facts, Cluster(3, 2).settings(0))
    assert (block.round, block.latency_ms) == ((1, -600) if decided else (None, None))
