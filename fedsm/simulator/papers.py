"""Reissuances in the simulator: a transaction is a paper that says what it does; what blocks bring is checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from fedsm.simulator.violation import Violation
from states.amounts import Inflation, amount_due

DESTINATION = "the treasury"


class Paper(msgspec.Struct, frozen=True):
    """A reissuance: ``outpoint`` is the token output that it spends, ``to`` whom it pays."""

    asset: str
    due_height: int
    amount: int
    outpoint: str
    to: str = DESTINATION

    @property
    def data(self) -> bytes:
        """The draft."""
        return msgspec.msgpack.encode(self)

    @property
    def id(self) -> str:
        """The id of the draft."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def token_after(self) -> str:
        """The token output that it makes."""
        return f"{self.id}:0"

    @property
    def locked_outpoint(self) -> str:
        """The token output that it spends, in the form in which guards lock one."""
        return f"{hashlib.sha256(self.outpoint.encode()).hexdigest()}:0"


class Assets(NamedTuple):
    """The state of all assets after a block; ``done`` are the reissuances so far, in the order of the chain."""

    supply: Mapping[str, int]
    outpoint: Mapping[str, str]
    done: tuple[tuple[int, Paper], ...] = ()

    def is_reissued_after(self, asset: str, height: int) -> bool:
        """Whether a block above a height reissued the asset."""
        return any(at > height and paper.asset == asset for at, paper in self.done)

    def after(self, paper: Paper, height: int) -> Assets:
        """The state when a block at this height has brought a paper."""
        supply = {**self.supply, paper.asset: self.supply[paper.asset] + paper.amount}
        outpoint = {**self.outpoint, paper.asset: paper.token_after}
        return Assets(supply, outpoint, (*self.done, (height, paper)))


class PaperChain:
    """What blocks bring, and the state of assets after each.

    Per asset and period (above its due height, up to the next one) at most one, and its amount is the rule's.
    """

    def __init__(self, supplies: Mapping[str, int], inflation: Inflation) -> None:
        self.inflation = inflation
        self.papers: dict[str, tuple[Paper, ...]] = {}
        self._first = Assets(dict(supplies), {asset: f"{asset}:0" for asset in supplies})
        self._states: dict[str, Assets] = {}

    def state(self, chain: list[str]) -> Assets:
        """The state after the last block of a chain (hashes by height). Raises Violation."""
        known = next((i for i in range(len(chain) - 1, -1, -1) if chain[i] in self._states), -1)
        state = self._states[chain[known]] if known >= 0 else self._first
        for height in range(known + 1, len(chain)):
            for paper in self.papers.get(chain[height], ()):
                self._check(state, paper, height, chain)
                state = state.after(paper, height)
            self._states[chain[height]] = state
        return state

    def _check(self, state: Assets, paper: Paper, height: int, chain: list[str]) -> None:
        period, where = self.inflation.period, f"{paper.asset[:4]} due at {paper.due_height}, block {height}"
        then = self.state(chain[: paper.due_height + 1])
        rule = amount_due(self.inflation, paper.due_height, then.supply[paper.asset])
        if paper.amount != rule or paper.to != DESTINATION:
            raise Violation("wrong-reissuance", f"{where}: {paper.amount} to {paper.to}, the rule gives {rule}")
        for earlier, other in state.done:
            same = other.due_height == paper.due_height or (earlier - 1) // period == (height - 1) // period
            if other.asset == paper.asset and same:
                raise Violation("reissued-twice", f"{where}: reissued in block {earlier} already")
