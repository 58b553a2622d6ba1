"""The plot of the demo on daemons that only log: who is hurt, when, and what counts as going wrong."""

from __future__ import annotations

import io
from typing import cast

import pytest
from rich.console import Console

from fedsm.demo.scenario import Scenario
from fedsm.demo.screen import Screen
from states.quorum import Quorum
from tests.unit.demo_fakes import FakeCast


class QuietScreen:
    """Keeps the lines of the plot."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.gone: list[int] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def lost(self, member: int) -> None:
        self.gone.append(member)


class Chain:
    """Time that makes a block each time it passes, by all members that are up, as long as there are enough."""

    def __init__(self, quorum: Quorum, last: int = 1000) -> None:
        self.quorum, self.height, self.last = quorum, 0, last

    def __call__(self, cast: FakeCast) -> bool:
        if self.height >= self.last:
            return False
        self.height += 1
        proposer = self.quorum.proposer(self.height, 0)
        if cast.daemons[proposer].running:
            cast.say(proposer, "state", state="Propose", height=self.height, round=0)
        for member, daemon in enumerate(cast.daemons):
            if daemon.running and len(daemon.history) > len(cast.lines(member, "started")):
                cast.say(member, "started")
        cast.accept(self.height)
        return True


def play(
    quorum: Quorum, *, blocks: int = 12, faults: bool = True, chain: Chain | None = None
) -> tuple[Scenario, FakeCast, QuietScreen, str | None]:
    cast_ = FakeCast(quorum.members, chain or Chain(quorum))
    screen = QuietScreen()
    scenario = Scenario(cast_.as_cast, quorum, blocks, 0.5, cast(Screen, screen), faults=faults)
    return scenario, cast_, screen, scenario.run()


@pytest.mark.parametrize("quorum", [Quorum(5, 3, 3), Quorum(3, 2, 2), Quorum(15, 11, 11)])
def test_a_proposer_is_killed_and_comes_back_and_another_member_is_stopped(quorum: Quorum) -> None:
    scenario, cast_, screen, problem = play(quorum)
    assert problem is None
    ((killed,), (restarted,), (stopped,)) = scenario.killed, scenario.restarted, scenario.stopped
    assert killed == restarted != stopped
    assert screen.gone == [killed]
    assert cast_.daemons[killed].history == ["start", "kill", "start"]
    assert cast_.daemons[stopped].history == ["start", "terminate"]
    assert len(screen.lines) == 3
    assert all(scenario.height(member) >= 12 for member in range(quorum.members) if member != stopped)


@pytest.mark.parametrize("quorum", [Quorum(1, 1, 1), Quorum(3, 3, 3), Quorum(2, 1, 2)])
def test_nobody_is_hurt_where_nobody_may_be_missing(quorum: Quorum) -> None:
    scenario, cast_, _, problem = play(quorum)
    assert problem is None
    assert scenario.killed == scenario.stopped == []
    assert all(daemon.history == ["start"] for daemon in cast_.daemons)


def test_nobody_is_hurt_when_no_faults_are_wanted() -> None:
    scenario, *_ = play(Quorum(5, 3, 3), faults=False)
    assert scenario.killed == []


def test_a_chain_that_stands_still_is_told_with_the_members_that_wait() -> None:
    *_, problem = play(Quorum(5, 3, 3), faults=False, chain=Chain(Quorum(5, 3, 3), last=4))
    assert problem is not None
    assert "no block 5 at members [0, 1, 2, 3, 4]" in problem


def test_a_daemon_that_ends_by_itself_is_told_with_its_status() -> None:
    class Dying(Chain):
        def __call__(self, cast: FakeCast) -> bool:
            if self.height == 2:
                cast.daemons[3].running, cast.daemons[3].exit_status = False, 1
            return super().__call__(cast)

    *_, problem = play(Quorum(5, 3, 3), faults=False, chain=Dying(Quorum(5, 3, 3)))
    assert problem == "the daemon of member 3 ended by itself, status 1"


# The screen


def screen_on(text: io.StringIO, *, quiet: bool = False) -> Screen:
    screen = Screen(3, quiet=quiet)
    screen._console = Console(file=text, quiet=quiet, highlight=False, markup=False, width=40)
    return screen


ACCEPTED = {"event": "block_accepted", "height": 7, "hash": "ab" * 32, "round": 1, "latency_ms": 81}


def test_a_block_is_told_once_with_the_signers_that_the_first_to_have_decided_it_sees() -> None:
    text = io.StringIO()
    screen = screen_on(text)
    screen.signers_of = lambda member, block_hash: f"{member} {block_hash[:2]}"
    screen.hear(1, {**ACCEPTED, "round": None, "latency_ms": -577})  # came late, has it from its node alone
    for member in (2, 0):
        screen.hear(member, ACCEPTED)
    (line,) = text.getvalue().splitlines()
    assert line.startswith("block   7  abababababababab  round 1")
    assert line.endswith("81 ms after its slot  signed by 2 ab")


def test_lines_are_not_broken_or_interpreted_however_narrow_the_terminal() -> None:
    text = io.StringIO()
    screen_on(text).say("no block 5 at members [1, 2] within [bold]60 s, and this line goes on")
    assert text.getvalue() == "  * no block 5 at members [1, 2] within [bold]60 s, and this line goes on\n"


def test_a_quiet_screen_says_nothing() -> None:
    text = io.StringIO()
    screen = screen_on(text, quiet=True)
    screen.say("killed member 2")
    screen.hear(0, ACCEPTED)
    assert text.getvalue() == ""


def test_the_table_follows_each_members_state() -> None:
    screen = screen_on(io.StringIO())
    screen.hear(0, {"event": "started"})
    screen.hear(0, {"event": "state", "state": "Propose", "height": 8, "round": 2})
    screen.hear(1, {"event": "stopped"})
    screen.lost(2)
    assert [row.get("state") for row in screen._rows] == ["Propose", "stopped", "killed"]
    assert (screen._rows[0]["height"], screen._rows[0]["round"]) == ("8", "2")
    assert screen._table().row_count == 3
