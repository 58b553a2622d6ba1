"""What is to be simulated, as the options of ``fedsm sim`` say it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fedsm.simulator.chaos import NAMES
from states.quorum import Quorum, default_vote_quorum
from transports.limits import MAX_MEMBERS

MOST_ASSETS = 8
HOSTILE = "hostile"  # the kind of fault that is members, not events


@dataclass(frozen=True)
class Plan:
    """One run. ``rounds`` of faults, if the run's own draw is not for fewer, and then the healing.

    ``faults`` names the kinds that may occur. ``hostile`` members lie; None: as many as the seed draws, up to those
    that are tolerated. So many ``assets`` are reissued every few blocks; None: as many as the seed draws.
    """

    quorum: Quorum
    seed: int
    rounds: int
    faults: frozenset[str]
    hostile: int | None = None
    assets: int | None = None

    @property
    def command(self) -> str:
        """The command that does the same run."""
        quorum = self.quorum
        parts = ["fedsm sim", f"--seed {self.seed}", f"--members {quorum.threshold}-of-{quorum.members}"]
        parts += [f"--quorum {quorum.votes}", f"--rounds {self.rounds}", f"--faults {names_of(self.faults)}"]
        if self.hostile is not None:
            parts.append(f"--hostile {self.hostile}")
        if self.assets is not None:
            parts.append(f"--assets {self.assets}")
        return " ".join(parts)


def tolerated(quorum: Quorum) -> int:
    """How many hostile members can neither have two blocks decided nor stop the others: min(2Q - N - 1, N - Q)."""
    return max(0, min(quorum.equivocators_for_two_decisions - 1, quorum.members - quorum.votes))


def federation_of(members: str, votes: int | None = None) -> Quorum:
    """The federation that ``M-of-N`` stands for, with Q votes. ValueError says what is wrong."""
    match = re.fullmatch(r"(\d{1,3})-of-(\d{1,3})", members)
    if match is None:
        raise ValueError(f"{members!r} is no federation: it is written as in 3-of-5")
    threshold, size = int(match[1]), int(match[2])
    if not 1 <= threshold <= size <= MAX_MEMBERS:
        raise ValueError(f"{members!r} is no federation: 1 <= M <= N <= {MAX_MEMBERS}")
    return Quorum(size, threshold, default_vote_quorum(size, threshold) if votes is None else votes)


def faults_of(text: str) -> frozenset[str]:
    """The kinds that ``all``, ``none`` or names divided by commas stand for. ValueError names one that is not."""
    known = (*NAMES, HOSTILE)
    if text in ("all", "none"):
        return frozenset(known if text == "all" else ())
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no kind of fault is called {unknown[0]!r}; there are {', '.join(known)}")
    return frozenset(names)


def names_of(faults: frozenset[str]) -> str:
    """The text for these kinds."""
    known = (*NAMES, HOSTILE)
    if not faults or faults == frozenset(known):
        return "all" if faults else "none"
    return ",".join(name for name in known if name in faults)
