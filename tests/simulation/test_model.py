"""A small federation is explored to its end in each run of the tests; the larger cases are those of ``make model``.

What the exploration leaves out as making no difference is tried here: members that forget and members that do not
take the same inputs, and what was taken in once is taken in again.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from fedsm.simulator.model import host as host_module
from fedsm.simulator.model.alphabet import Alphabet, numbers
from fedsm.simulator.model.bounds import Case
from fedsm.simulator.model.explorer import Explorer, Tour
from fedsm.simulator.model.host import Fire, Host, Input, Start, Step, Timer
from fedsm.simulator.model.likeness import PROOF_OF, message_likeness
from fedsm.simulator.model.moves import Moves
from fedsm.simulator.violation import Violation
from fedsm.simulator.wire import Wire, unseal
from states.quorum import Quorum
from tests.model import BEYOND, CASES, TWO_OF_THREE, main
from tests.simulation.mutants import MUTANTS

SMALL = next(case for case in CASES if case.name == "three")
MUTANT = {mutant.name: mutant for mutant in MUTANTS}
TWO_ROUNDS = Case("two rounds", TWO_OF_THREE, rounds=(2,))
ALL_VOTES = Case("all votes", Quorum(3, 2, 3), rounds=(1,))


def test_all_states_of_three_members_with_a_crash_are_visited(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["three"]) == 0
    printed = capsys.readouterr().out
    counted = re.search(r"([\d,]+) states, ([\d,]+) transitions", printed)
    assert counted is not None
    states, transitions = (int(number.replace(",", "")) for number in counted.groups())
    assert states > 10_000
    assert transitions > states, "many ways lead to the same state"
    assert "every state visited, no violation" in printed


def test_one_liar_more_than_is_tolerated_has_two_blocks_decided() -> None:
    explorer = Explorer(BEYOND)
    with pytest.raises(Violation, match="two-decisions"):
        explorer.run()
    way = explorer.way_to_violation()
    assert sum("BlockSignature" in step for step in way) == 1, "the second decision is the violation"


@pytest.mark.parametrize(
    ("name", "case", "code"),
    [
        ("skips_the_persist", SMALL, "unrecorded-vote"),
        ("forgets_its_votes_on_restart", SMALL, "guard-refuses"),
        ("signs_without_a_certificate", SMALL, "guard-refuses|undecided-signature"),
        ("takes_m_votes_for_a_quorum", ALL_VOTES, "bad-proof"),
        ("prevotes_without_a_look_at_its_lock", TWO_ROUNDS, "vote-against-lock"),
        ("waits_for_a_proposal_for_ever", SMALL, "deadlock"),
    ],
)
def test_a_rule_that_is_taken_away_is_missed(
    name: str, case: Case, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTANT[name].put(monkeypatch)
    with pytest.raises(Violation, match=code):
        Explorer(case).run()


def test_what_members_forget_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer, draw = _partly_explored(), random.Random(1)
    states = list(explorer._parents)[500:]
    walks = [list(_walk(explorer.moves, draw.choice(states)[-1], n % 3, draw)) for n in range(90)]
    assert sum(bool(did.sent) for walk in walks for _, did in walk) > 150
    monkeypatch.setattr(host_module, "forget", lambda _machine: None)
    for n, walk in enumerate(walks):
        faithful = Host(TWO_ROUNDS)
        local = faithful.new(n % 3)
        for given, did in walk:
            if given is None:
                local = faithful.down(local)
                continue
            step = faithful.step(local, given)
            local = step.local
            assert Did(_said(step), local.timers, local.durable) == did, f"member {n % 3}: {given}"


def test_what_was_taken_in_once_changes_nothing_a_second_time() -> None:
    moves, draw = _partly_explored().moves, random.Random(2)
    tried = 0
    for place in draw.sample(range(len(moves.places)), 200):
        local = moves.places[place]
        for number in numbers(moves._heard[place]):
            if local.core is not None and number not in moves.alphabet._siblings:
                step = moves.host.step(local, moves._input(number))
                assert step.local.digest == local.digest
                tried += 1
    assert tried > 200


def _partly_explored() -> Explorer:
    """The nearest states of a case with two rounds."""

    class EnoughError(Exception):
        pass

    def stop(tour: Tour) -> None:
        if tour.places > 800:
            raise EnoughError

    explorer = Explorer(TWO_ROUNDS)
    with pytest.raises(EnoughError):
        explorer.run(stop)
    return explorer


class Did(NamedTuple):
    sent: set[Wire]
    timers: tuple[Timer, ...]
    durable: bytes


def _said(step: Step) -> set[Wire]:
    return set(map(message_likeness, step.sent))


def _walk(moves: Moves, under_way: int, member: int, draw: random.Random) -> Iterator[tuple[Input | None, Did]]:
    """All that is under way reaches a member, timers run out and it goes down now and then (None), in any order.

    With each input comes what a member did that forgets, and is not given what is said to make no difference.
    """
    host, alphabet = moves.host, moves.alphabet
    local = host.step(host.new(member), Start()).local
    yield Start(), Did(set(), local.timers, local.durable)
    for _ in range(30):
        if local.is_finished:
            return
        what = draw.random()
        given: Input | None = None
        if what < 0.05:
            local = host.down(local)
            yield None, Did(set(), (), b"")
            given = Start()
        elif what < 0.2 and local.timers:
            given = Fire(draw.choice(local.timers))
        else:
            number = draw.choice(
                [n for n in numbers(alphabet.to_be_had(under_way)) if _is_for(alphabet, n, member)]
            )
            given = alphabet.input(number)
            if not alphabet.audible_to(local) >> number & 1:
                yield given, Did(set(), local.timers, local.durable)
                continue
        step = host.step(local, given)
        local = step.local
        yield given, Did(_said(step), local.timers, local.durable)


def _is_for(alphabet: Alphabet, number: int, member: int) -> bool:
    """Whether it is a message of another member that does not quote this one: who votes otherwise in this walk."""
    letter = alphabet.letters[number]
    if not isinstance(letter, bytes) or not sum(alphabet._by_sender.values()) >> number & 1:
        return False
    wire = unseal(letter)
    proof = getattr(wire.message, PROOF_OF.get(type(wire.message), ""), None)
    return wire.sender != member and (proof is None or member not in proof.voters)
