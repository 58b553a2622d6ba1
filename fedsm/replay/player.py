"""Feeds the events of a trace to new machines and compares what they do with what was recorded."""

from __future__ import annotations

from fedsm.trace import Gap, Header, Item, Kept, Place, Standing, TraceError, Transition, memory, tables_digest
from fedsm.trace.words import difference, in_words
from fedsm.version import __version__
from states.effects import Effect
from states.round import Round


class ReplayError(TraceError):
    """The machines do something else than the trace says."""


class Player:
    """Machines that follow a trace. ``core`` is what they are after the item taken last, None before the first.

    ``any_tables``: follow a trace of other state tables too, as far as these do the same.
    """

    def __init__(self, *, any_tables: bool = False) -> None:
        self.core: Round | None = None
        self._any_tables = any_tables
        self._header: Header | None = None
        self._has_memory = False

    def take(self, place: Place, item: Item) -> None:
        """Follow one item. ReplayError, or TraceError when the trace cannot be followed from there."""
        try:
            self._take(place, item)
        except ReplayError as error:
            written = __version__ if self._header is None else self._header.version
            if written == __version__:
                raise
            raise ReplayError(f"{error} (written by fedsm {written}, this is {__version__})") from None

    def _take(self, place: Place, item: Item) -> None:
        match item:
            case Header():
                self._begin(place, item)
            case Gap():
                self.core = None
            case Kept():
                self._remember(place, item)
            case Transition():
                self._step(place, item)

    def _begin(self, place: Place, header: Header) -> None:
        tables = tables_digest()
        if header.tables != tables and not self._any_tables:
            raise TraceError(
                f"{place.file} was written with other state tables ({header.tables[:16]}, fedsm {header.version}; "
                f"ours are {tables[:16]}): replay it with that version"
            )
        self._header, self._has_memory = header, header.begins == "new"
        if header.begins == "new":
            self.core = Round(header.settings)

    def _remember(self, place: Place, kept: Kept) -> None:
        """Go on with the memory that the trace gives; if we followed it until here, ours must be the same."""
        if self._header is None or self._has_memory:
            raise TraceError(f"{place}: a machine line does not belong there")
        try:
            core = kept.machines(self._header.settings)
            recorded = memory.take(core)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise TraceError(f"{place}: the machines cannot be restored: {error}") from None
        if self.core is not None and recorded != (own := memory.take(self.core)):
            raise ReplayError(f"{place}, the memory of the machines differs in {memory.difference(recorded, own)}")
        self.core, self._has_memory = core, True

    def _step(self, place: Place, step: Transition) -> None:
        core = self.core
        if core is None or not self._has_memory:
            raise TraceError(f"{place}: a step of machines whose memory is not in the trace")
        where = f"{place}, {in_words(step.event)}"
        _compare_standing(f"{where}: before it", step.before, Standing.of(core))
        effects, failure = _step(core, step)
        if failure != step.failure:
            raise ReplayError(f"{where}: {_outcome(step.failure)} is recorded, {_outcome(failure)} is replayed")
        _compare_effects(where, step.effects, effects)
        _compare_standing(f"{where}: after it", step.after, Standing.of(core))


def _step(core: Round, step: Transition) -> tuple[list[Effect], str]:
    """The effects, and the exception if there was one: what was recorded from a fault must fail again."""
    try:
        return core.step(step.event), ""
    except Exception as error:  # noqa: BLE001 - whatever it was
        return [], f"{type(error).__name__}: {error}"


def _outcome(failure: str) -> str:
    return f"the failure {failure!r}" if failure else "no failure"


def _compare_standing(where: str, recorded: Standing, replayed: Standing) -> None:
    if recorded != replayed:
        raise ReplayError(f"{where} the machines stood in {recorded}, and stand in {replayed} when replayed")


def _compare_effects(where: str, recorded: list[Effect], replayed: list[Effect]) -> None:
    for position, (one, other) in enumerate(zip(recorded, replayed, strict=False), 1):
        if type(one) is not type(other):
            raise ReplayError(f"{where}: effect {position}: recorded {in_words(one)}, replayed {in_words(other)}")
        if one != other:
            raise ReplayError(f"{where}: effect {position}, {in_words(one)}, differs in {difference(one, other)}")
    if len(recorded) == len(replayed):
        return
    fewer, more = sorted((recorded, replayed), key=len)
    surplus = f"{in_words(more[len(fewer)])} is {'new' if more is replayed else 'missing'}"
    raise ReplayError(f"{where}: {len(recorded)} effects recorded, {len(replayed)} replayed: {surplus}")
