"""Has the simulator's own watch look at every step, with all in mind that was done and said before it."""

from __future__ import annotations

from fedsm.simulator.model.bounds import Case
from fedsm.simulator.model.moves import Moves
from fedsm.simulator.watch import Watch
from fedsm.simulator.wire import unseal
from states.messages import Message, Precommit, Prevote, Proposal


class Judge:
    """Judges each step once for each set of things under way: whatever else differs is not looked at."""

    def __init__(self, case: Case, moves: Moves) -> None:
        self._case = case
        self._moves = moves
        self._judged: set[tuple[int, int]] = {(0, moves.nothing_seen)}

    def check(self, under_way: int, step: int) -> None:
        """Violation when the step must not have been taken."""
        if (under_way, step) in self._judged:
            return
        self._judged.add((under_way, step))
        member, judged, seen = self._moves.steps[step]
        if not seen:
            return
        watch = self._watch(under_way)
        watch.found_valid = {(member, block_hash) for block_hash in judged}
        for name, arguments in seen:
            getattr(watch, name)(*arguments)

    def _watch(self, under_way: int) -> Watch:
        """A watch that has seen all that led to this."""
        watch = Watch(self._case.quorum, self._case.liars)
        for letter in self._moves.alphabet.of(under_way):
            if isinstance(letter, bytes):
                wire = unseal(letter)
                watch.lied(wire.sender, wire.message)
                _note_said(watch, wire.sender, wire.message)
            elif isinstance(letter, tuple):
                what, member, height, block_hash, signature = letter
                if what == "decided":
                    watch.decided[height] = watch.deciders[member, height] = block_hash
                else:
                    watch.signatures[member, height] = (block_hash, signature)
        return watch


def _note_said(watch: Watch, member: int, message: Message) -> None:
    if isinstance(message, Prevote | Precommit | Proposal):
        kind = type(message).__name__.lower()
        watch.votes.setdefault((member, kind, message.height, message.round), message.block_hash)
