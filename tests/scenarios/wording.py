"""How scenarios speak of blocks, members, messages, states and reports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count

from states.effects import Report
from states.events import BlockBuilt, BlockCombined, BlockJudged, BlockSubmitted, DigestSigned, Event
from states.messages import BlockRequest, Heartbeat, Message, Proposal
from states.round import Round

KINDS = {
    "proposal": "Proposal",
    "prevote": "Prevote",
    "precommit": "Precommit",
    "signature": "BlockSignature",
    "request": "BlockRequest",
    "heartbeat": "Heartbeat",
}
KIND_OF = {name: kind for kind, name in KINDS.items()}
HASH = re.compile(r"[0-9a-f]{64}")


def members(numbers: Iterable[int]) -> str:
    """0,2-4"""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


class Names:
    """Blocks are called A, B, C in the order in which they are built; a script may name further ones itself."""

    def __init__(self, genesis: Iterable[str]) -> None:
        self._names = {block_hash: f"g{height}" for height, block_hash in enumerate(genesis)}
        self._letters = (chr(ord("A") + n % 26) + str(n // 26 or "") for n in count())

    def of(self, block_hash: str | None) -> str:
        if block_hash is None:
            return "nil"
        if block_hash not in self._names:
            taken = self._names.values()
            self._names[block_hash] = next(letter for letter in self._letters if letter not in taken)
        return self._names[block_hash]

    def give(self, name: str, block_hash: str) -> None:
        self._names[block_hash] = name

    def block(self, name: str) -> str | None:
        """The hash of a named block, ``None`` if there is none of this name."""
        return next((block_hash for block_hash, known in self._names.items() if known == name), None)

    def within(self, text: str) -> str:
        """A text with names in place of hashes."""
        return HASH.sub(lambda found: self.of(found.group()), text)

    # --- sentences

    def message(self, message: Message) -> str:
        kind = KIND_OF[type(message).__name__]
        if isinstance(message, Heartbeat):
            return f"{kind} h{message.height}{' fresh' if message.fresh else ''}"
        text = f"{kind} {self.of(message.block_hash)} r{message.round}"
        if isinstance(message, Proposal) and message.lock_proof is not None:
            return f"{text} with proof of r{message.lock_proof.round}"
        if isinstance(message, BlockRequest):
            return f"{text} to {message.holder}"
        return text

    def answer(self, event: Event) -> str | None:
        """What a service answered."""
        match event:
            case BlockBuilt(_, _, block_hash):
                return f"node: {'no block' if block_hash is None else f'builds {self.of(block_hash)}'}"
            case BlockJudged(_, block_hash, timely, verdict):
                return f"node: {self.of(block_hash)} is {verdict}{'' if timely else ' (clock aside)'}"
            case DigestSigned(_, block_hash, signature):
                return f"signer: {'fails' if signature is None else f'signs {self.of(block_hash)}'}"
            case BlockCombined(_, block_hash, _):
                return f"combines {self.of(block_hash)}"
            case BlockSubmitted(_, block_hash, outcome):
                return f"node: {self.of(block_hash)} {outcome}"
        return None

    def report(self, report: Report) -> str:
        if report.code == "decided":
            return f"decides {self.of(report.detail)}"
        about = "" if report.member is None else f" of {report.member}"
        detail = f" ({self.within(report.detail)})" if report.detail else ""
        return f"reports {report.code}{about}{detail}"

    def lock(self, machine: Round) -> str:
        lock = machine.agreement.lock
        return "no lock" if lock is None else f"lock {self.of(lock.block_hash)} r{lock.proof.round}"


def state(machine: Round) -> str:
    """Where a member stands: the agreement's state is that of the round machine unless it is in Propose."""
    inner = f"/{machine.agreement.state}" if machine.state == "Propose" else ""
    return f"{machine.state}{inner}{f' r{machine.round}' if machine.round else ''}"
