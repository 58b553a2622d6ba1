"""What hostile members say in an exploration: all of it is under way from the beginning, to be heard or not."""

from __future__ import annotations

from collections.abc import Iterator

from fedsm.simulator.model.bounds import Case
from fedsm.simulator.model.host import block_name
from fedsm.simulator.services import body_of
from fedsm.simulator.wire import seal
from states.messages import Message, Precommit, Prevote, Proposal

_TWO = (1, 2)  # blocks that a liar proposes in one round


def lies(case: Case) -> Iterator[bytes]:
    """Two proposals in each of a liar's turns, and every vote for every block and for nil, in every round."""
    for liar in sorted(case.liars):
        for height, rounds in enumerate(case.rounds, 1):
            for round_ in range(rounds):
                for message in _said_in(case, liar, height, round_):
                    yield seal(liar, message)


def _said_in(case: Case, liar: int, height: int, round_: int) -> Iterator[Message]:
    if case.quorum.proposer(height, round_) == liar:
        for kind in _TWO:
            name = block_name(height, round_, liar, kind)
            yield Proposal(height, round_, name, body_of(name))
    for block_hash in (None, *_blocks_up_to(case, height, round_)):
        yield Prevote(height, round_, block_hash)
        yield Precommit(height, round_, block_hash)


def _blocks_up_to(case: Case, height: int, round_: int) -> Iterator[str]:
    """All blocks that can be proposed in this round or an earlier one."""
    for earlier in range(round_ + 1):
        proposer = case.quorum.proposer(height, earlier)
        for kind in _TWO if proposer in case.liars else (0,):
            yield block_name(height, earlier, proposer, kind)
