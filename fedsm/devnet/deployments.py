"""Version-bits deployments (BIP 9), counted in block heights as Elements does.

Custom chains know three that matter here: dynafed (bit 25), the test dummy (bit 28, which only makes block
versions look busy) and taproot, always active and never signalled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fedsm.devnet.params import ALWAYS_ACTIVE

if TYPE_CHECKING:
    from fedsm.devnet.index import BlockEntry
    from fedsm.devnet.params import ChainParams

State = Literal["defined", "started", "locked_in", "active"]
TOP_BITS = 0x2000_0000
TOP_MASK = 0xE000_0000


@dataclass(frozen=True)
class Deployment:
    """One deployment: the bit that signals it and the height from which blocks count (or ALWAYS_ACTIVE)."""

    name: str
    bit: int
    start: int
    period: int
    threshold: int


class Deployments:
    """The deployments of one chain and their states, remembered per block that ends a period."""

    def __init__(self, params: ChainParams) -> None:
        window, threshold = params.confirmation_window, params.activation_threshold
        self.params = params
        self.dynafed = Deployment("dynafed", 25, params.dynafed_start, window, threshold)
        self.testdummy = Deployment("testdummy", 28, 0, window, threshold)
        self.taproot = Deployment("taproot", 2, ALWAYS_ACTIVE, 128, 128)
        self._states: dict[tuple[str, str], State] = {}

    def dynafed_active(self, tip: BlockEntry) -> bool:
        """Whether the block on top of ``tip`` is a dynafed block."""
        return self.state(self.dynafed, tip) == "active"

    def block_version(self, tip: BlockEntry) -> int:
        """The version that a node gives to the block on top of ``tip``."""
        version = TOP_BITS
        for deployment in (self.dynafed, self.testdummy):
            silent = deployment is self.dynafed and not self.params.signal_dynafed
            if not silent and self.state(deployment, tip) in ("started", "locked_in"):
                version |= 1 << deployment.bit
        return version

    def state(self, deployment: Deployment, tip: BlockEntry | None) -> State:
        """The state for the block on top of ``tip`` (``None``: for the genesis block)."""
        if deployment.start == ALWAYS_ACTIVE:
            return "active"
        last = _last_of_period(deployment, tip)
        todo: list[BlockEntry] = []
        state: State = "defined"
        while last is not None and last.height >= deployment.start:
            known = self._states.get((deployment.name, last.hash))
            if known is not None:
                state = known
                break
            todo.append(last)
            last = _back_one_period(deployment, last)
        for entry in reversed(todo):
            state = self._states[deployment.name, entry.hash] = _advance(deployment, state, entry)
        return state

    def since(self, deployment: Deployment, tip: BlockEntry | None) -> int:
        """Height of the first block that the state for the block on top of ``tip`` applies to."""
        state = self.state(deployment, tip)
        if deployment.start == ALWAYS_ACTIVE or state == "defined":
            return 0
        last = _last_of_period(deployment, tip)
        earlier = _back_one_period(deployment, last)
        while earlier is not None and self.state(deployment, earlier) == state:
            last, earlier = earlier, _back_one_period(deployment, earlier)
        return 0 if last is None else last.height + 1

    @staticmethod
    def signals(deployment: Deployment, tip: BlockEntry) -> list[bool]:
        """Whether each block of the period that ``tip`` belongs to has signalled, up to ``tip``."""
        number = tip.height % deployment.period + 1
        period = zip(tip.ancestors(), range(number), strict=False)
        return [_signals(entry, deployment.bit) for entry, _ in period][::-1]


def _last_of_period(deployment: Deployment, tip: BlockEntry | None) -> BlockEntry | None:
    """The last block of the last whole period up to ``tip``."""
    if tip is None:
        return None
    height = tip.height - (tip.height + 1) % deployment.period
    return tip.ancestor(height) if height >= 0 else None


def _back_one_period(deployment: Deployment, entry: BlockEntry | None) -> BlockEntry | None:
    if entry is None or entry.height < deployment.period:
        return None
    return entry.ancestor(entry.height - deployment.period)


def _advance(deployment: Deployment, state: State, last: BlockEntry) -> State:
    """The state after the period that ends with ``last``, given the state in that period."""
    if state == "defined":
        return "started"
    if state == "started":
        period = zip(last.ancestors(), range(deployment.period), strict=False)
        signals = sum(_signals(entry, deployment.bit) for entry, _ in period)
        return "locked_in" if signals >= deployment.threshold else "started"
    return "active"


def _signals(entry: BlockEntry, bit: int) -> bool:
    version = entry.header.version
    return version & TOP_MASK == TOP_BITS and bool(version >> bit & 1)
