"""A federation of real daemons makes blocks while members, nodes and links fail."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable

import pytest

from tests.integration.federation import Federation, wait_until

Make = Callable[..., Federation]


@pytest.mark.parametrize(
    "dynafed", [False, pytest.param(True, marks=pytest.mark.one_chain)], ids=["legacy", "dynafed"]
)
def test_blocks_go_on_while_members_are_killed_restarted_and_stopped(federation: Make, dynafed: bool) -> None:
    with federation(dynafed=dynafed, interval_s=0.5) as fed:
        fed.cast.start()
        fed.wait_height(3)
        fed.cast.daemons[1].kill()
        fed.wait_more(3)
        decided_before = len(fed.cast.lines(1, "decided"))
        fed.cast.daemons[1].start()
        fed.wait_event(1, "started", count=2)
        back_at = fed.height(1)
        again = fed.wait_event(1, "decided", count=decided_before + 1)
        assert again["height"] <= back_at + 3, "a member back after SIGKILL takes part within 3 slots"
        fed.cast.daemons[2].terminate()
        fed.cast.daemons[4].terminate()
        fed.wait_more(4)
        fed.check_chain()


def test_a_stopped_and_resumed_proposer_causes_no_fork(federation: Make) -> None:
    """The case in which the daemon before fedsm forked by itself: SIGSTOP for longer than a round, then SIGCONT."""
    with federation(interval_s=0.5) as fed:
        fed.cast.start()
        fed.wait_height(2)
        for _ in range(3):
            height = fed.height(0) + 1
            proposer = fed.quorum.proposer(height, 0)

            def is_proposing(proposer: int = proposer, height: int = height) -> bool:
                lines = fed.cast.lines(proposer, "state")
                return any(line["state"] == "Propose" and line["height"] == height for line in lines)

            fed.cast.wait_for(is_proposing, 10)
            fed.cast.daemons[proposer].send(signal.SIGSTOP)
            fed.wait_more(2)
            fed.cast.daemons[proposer].send(signal.SIGCONT)
            fed.wait_more(1)
        fed.check_chain()


def test_a_member_whose_node_lost_its_peers_comes_back_with_it(federation: Make) -> None:
    with federation(interval_s=0.5) as fed:
        fed.cast.start()
        fed.wait_height(2)
        fed.rpcs[3].call("setnetworkactive", [False])
        others = [0, 1, 2, 4]
        fed.wait_more(4, others)
        fed.rpcs[3].call("setnetworkactive", [True])
        fed.wait_height(max(fed.height(i) for i in others) + 3)
        fed.check_chain()


def test_a_daemon_survives_the_restart_of_its_node(federation: Make) -> None:
    with federation(interval_s=0.5) as fed:
        fed.cast.start()
        fed.wait_height(2)
        fed.nodes.stop_node(2)
        others = [0, 1, 3, 4]
        fed.wait_event(2, "node_unavailable")
        fed.wait_more(3, others)
        fed.nodes.start_node(2)
        fed.rpcs[2] = fed.nodes.addresses[2].rpc()
        fed.wait_event(2, "node_back")
        wait_until(lambda: fed.height(2) == fed.height(0), 30, lambda: "the node does not catch up")
        decided_before = len(fed.cast.lines(2, "decided"))
        fed.wait_event(2, "decided", count=decided_before + 2)
        fed.check_chain()
        assert fed.cast.daemons[2].running


def test_sigterm_ends_a_daemon_cleanly_and_a_second_start_goes_on(federation: Make) -> None:
    with federation(members=3, threshold=2, interval_s=0.5) as fed:
        fed.cast.start()
        fed.wait_height(3)
        for daemon in fed.cast.daemons:
            daemon.terminate()
            assert daemon.exit_status == 0, "SIGTERM was not enough"
        height = fed.height(0)
        fed.cast.start()
        fed.wait_height(height + 3)
        fed.check_chain()


def test_a_chain_that_fell_behind_catches_up_at_half_the_interval(federation: Make) -> None:
    with federation(members=3, threshold=2, interval_s=1.0) as fed:
        fed.cast.start()
        fed.wait_height(1)
        for member in (0, 1):
            fed.cast.daemons[member].terminate()
        time.sleep(4)  # four slots are missed
        for member in (0, 1):
            fed.cast.daemons[member].start()
        seen = len(fed.cast.lines(2, "block_accepted"))
        fed.wait_event(2, "block_accepted", count=seen + 5)
        slots = [line["slot_ms"] for line in fed.cast.lines(2, "block_accepted")[seen:]]
        assert 500 in [later - earlier for earlier, later in itertools.pairwise(slots)], slots


def test_members_whose_guards_are_all_new_go_on_with_an_old_chain(federation: Make) -> None:
    """Everybody switched to fedsm, or lost the guard, at once: waiting for the next height would be for ever."""
    with federation(members=3, threshold=2, interval_s=0.5) as fed:
        fed.cast.start()
        fed.wait_height(3)
        for member, daemon in enumerate(fed.cast.daemons):
            daemon.terminate()
            for state in (fed.directory / f"member-{member}").glob("*/*/guard.sqlite*"):
                state.unlink()
        height = fed.height(0)
        fed.cast.start()
        fed.wait_height(height + 2)
        assert any(fed.cast.lines(member, "abstaining") for member in range(3))
        fed.check_chain()
