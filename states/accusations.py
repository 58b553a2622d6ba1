"""Which faults of which members were reported at one height: each once, and no more than anybody would read."""

from __future__ import annotations

# For each member and kind of fault: a liar can be at fault in any number of rounds.
MAX_ACCUSATIONS = 8


class Accusations:
    """Remembers what was reported."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int], set[tuple[str, int]]] = {}

    def is_new(self, code: str, member: int, detail: str, round_: int) -> bool:
        """Whether this is to be reported; it counts as reported from now on."""
        made = self._made.setdefault((code, member), set())
        if (detail, round_) in made or len(made) >= MAX_ACCUSATIONS:
            return False
        made.add((detail, round_))
        return True
