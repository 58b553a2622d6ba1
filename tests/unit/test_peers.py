"""Heartbeats of others: what changes is logged once, what is wrong is named."""

from __future__ import annotations

import msgspec

from fedsm.peers import LAG_BLOCKS, SILENT_MS, SKEW_MS, Peers
from states.messages import Heartbeat
from tests.members import Federation
from tests.unit.log_lines import LogLines

NOW_MS = 1_700_000_000_000
SAYS = Heartbeat(
    height=10,
    round=0,
    version="0.1.0",
    tip="7f" * 32,
    state="Idle",
    time_ms=NOW_MS,
    fresh=False,
    serials=(1, 1, 1),
    certificate=Federation(size=3, quorum=2).members[1].certificate(),
    federation="aa" * 32,
)


class Watch:
    """Peers of member 0 on a clock that the test sets."""

    def __init__(self) -> None:
        self.logs = LogLines()
        self.peers = Peers(0, "0.1.0", "aa" * 32, self.logs.log)
        self.steady_ms = 0

    def hear(self, sender: int = 1, **changes: object) -> None:
        self.peers.heard(sender, msgspec.structs.replace(SAYS, **changes), 10, self.steady_ms, NOW_MS)

    def events(self) -> list[str]:
        return [str(line["event"]) for line in self.logs.lines]


def test_a_peer_is_announced_once_and_again_after_it_was_down() -> None:
    watch = Watch()
    watch.hear()
    watch.hear()
    assert watch.events() == ["peer_up"]
    watch.steady_ms = SILENT_MS
    watch.peers.check(watch.steady_ms)
    assert watch.peers.members[1].up
    watch.steady_ms = SILENT_MS + 1
    watch.peers.check(watch.steady_ms)
    watch.peers.check(watch.steady_ms)
    assert not watch.peers.members[1].up
    watch.hear()
    assert watch.events() == ["peer_up", "peer_down", "peer_up"]


def test_a_member_with_another_federation_file_is_named_until_it_agrees() -> None:
    watch = Watch()
    watch.hear(sender=2, federation="bb" * 32)
    (line,) = watch.logs.of("peer_federation_differs")
    assert line["peer"] == 2
    assert "bb" * 32 in line["detail"]
    assert watch.peers.members[2].troubles == {"federation_differs"}
    watch.hear(sender=2)
    assert watch.events()[-1] == "peer_federation_differs_over"
    assert not watch.peers.members[2].troubles


def test_skew_lag_and_version_are_named_beyond_their_bounds_only() -> None:
    watch = Watch()
    watch.hear(time_ms=NOW_MS + SKEW_MS, height=10 - LAG_BLOCKS)
    assert watch.events() == ["peer_up"]
    watch.hear(time_ms=NOW_MS - SKEW_MS - 1, height=10 - LAG_BLOCKS - 1, version="9.9.9")
    assert watch.events()[1:] == ["peer_clock_off", "peer_lagging", "peer_version_differs"]
    assert "behind ours" in watch.logs.of("peer_clock_off")[0]["detail"]
    assert watch.peers.members[1].lag == LAG_BLOCKS + 1


def test_our_own_heartbeat_come_back_by_a_relay_is_no_peer() -> None:
    watch = Watch()
    watch.hear(sender=0)
    assert not watch.peers.members
