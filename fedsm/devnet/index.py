"""The tree of known blocks: one entry per header that was accepted, linked to its parent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedsm.chains.header import BlockHeader
    from fedsm.devnet.block import ParsedBlock
    from fedsm.devnet.coins import Undo

MEDIAN_BLOCKS = 11


@dataclass(eq=False)
class BlockEntry:
    """A block in the tree. ``sequence`` counts entries in the order they came, the genesis block being 0.

    ``failed`` marks a block that broke a rule, and everything built on it. ``connected`` says that the block
    was part of the active chain once; ``undo`` holds the coins it spent while it is.
    """

    header: BlockHeader
    block: ParsedBlock
    parent: BlockEntry | None
    height: int
    sequence: int
    failed: bool = False
    connected: bool = False
    undo: Undo | None = field(default=None, repr=False)

    @property
    def hash(self) -> str:
        """Block hash, display order."""
        return self.header.hash

    def ancestors(self) -> Iterator[BlockEntry]:
        """This block, its parent and so on down to the genesis block."""
        entry: BlockEntry | None = self
        while entry is not None:
            yield entry
            entry = entry.parent

    def ancestor(self, height: int) -> BlockEntry:
        """The block at ``height`` below or at this one. Raises ValueError when there is none."""
        if not 0 <= height <= self.height:
            raise ValueError(f"block {self.hash} at height {self.height} has no ancestor at {height}")
        return next(entry for entry in self.ancestors() if entry.height == height)

    @property
    def median_time(self) -> int:
        """Median of the times of the last eleven blocks up to this one, in seconds (BIP 113)."""
        times = sorted(entry.header.time for entry, _ in zip(self.ancestors(), range(MEDIAN_BLOCKS), strict=False))
        return times[len(times) // 2]
