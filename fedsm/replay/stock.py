"""Takes stock of a replay."""

from __future__ import annotations

from dataclasses import dataclass

from fedsm.trace import End, Gap, Header, Item, Place, TraceError, Transition


@dataclass
class Replayed:
    """What was found identical.

    ``runs`` counts how often the daemon was started, ``unfinished`` the runs whose end is not told: the last one
    may be still going on, the others were killed.
    """

    steps: int = 0
    effects: int = 0
    first_file: int = 0
    runs: int = 0
    unfinished: int = 0
    lost: int = 0
    first_gap: str = ""
    first_height: int = 0
    last_height: int = 0
    _is_running: bool = False

    def note(self, place: Place, item: Item) -> None:
        """Count an item that was replayed."""
        match item:
            case Header():
                self._begin(item)
            case Gap():
                self.lost += item.lost
                self.first_gap = self.first_gap or f"{place} ({item.reason})"
            case Transition():
                self.steps += 1
                self.effects += len(item.effects)
                self.first_height = self.first_height or item.after.height
                self.last_height = item.after.height
            case End():
                self._is_running = False

    def finish(self) -> None:
        """All was noted. TraceError when events are missing: then the whole cannot be called identical."""
        self.unfinished += self._is_running
        if self.lost:
            raise TraceError(
                f"the trace is incomplete: {self.lost} events are missing, the first at {self.first_gap}; "
                f"the {self.steps} steps that it has are identical"
            )

    def _begin(self, header: Header) -> None:
        self.first_file = self.first_file or header.file
        if header.begins == "new" or self.runs == 0:
            self.unfinished += self._is_running
            self.runs += 1
        self._is_running = True

    def __str__(self) -> str:
        heights = f"heights {self.first_height} to {self.last_height}"
        text = f"identical: {self.steps} steps with {self.effects} effects, {heights}"
        if self.first_file > 1:
            text += f"; from file {self.first_file} on"
        if self.runs > 1:
            text += f"; {self.runs} runs of the daemon"
        if self.unfinished:
            text += f"; {self.unfinished} of them without an end (killed, cut off or still going on)"
        return text
