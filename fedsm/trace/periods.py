"""What became of each reissuance, gathered from the steps of a trace and told in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fedsm.trace.sheet import Transition
from fedsm.trace.words import clock_time, short
from states.effects import Effect, Persist, Report
from states.events import DraftMade, Event, Received, ReissuanceSeen, ReissuanceSent, ReissueItem, ReissuePlanned
from states.memory import DraftLocked
from states.messages import ReissueDraft, ReissueSignature
from states.reissuance import ReissueTerms

# How the reissue machines begin what they report about an asset.
_ABOUT_ASSET = "asset "
# Reports of what the facts tell anyway.
_TOLD_OTHERWISE = frozenset({"reissuance-sent", "reissuance-confirmed", "reissuance-deferred"})


def is_about_reissuance(report: Report) -> bool:
    """Whether a report is about a reissuance and not about a block."""
    return report.detail.startswith(_ABOUT_ASSET) or report.code.startswith("reissuance-")


@dataclass
class PeriodFacts:
    """One reissuance of one asset as this member saw it. Times are wall clock milliseconds since the Unix epoch."""

    due_height: int
    item: ReissueItem
    planned_ms: int
    drafts: dict[int, tuple[str, int]] = field(default_factory=dict)  # by member
    not_made: str | None = None
    locked: tuple[str, int] | None = None
    signatures: dict[int, int] = field(default_factory=dict)
    sent: list[ReissuanceSent] = field(default_factory=list)
    confirmed: tuple[str, int] | None = None
    deferred: tuple[str, int] | None = None
    reports: list[tuple[int, Report]] = field(default_factory=list)
    state: str = ""


class Periods:
    """Gathers facts about the reissuances of one run. Each is given out when the next one of its asset begins."""

    def __init__(self) -> None:
        self._facts: dict[str, PeriodFacts] = {}
        # Messages of members whose nodes were ahead of ours.
        self._early: list[tuple[Received, int]] = []

    def take(self, step: Transition) -> Iterator[PeriodFacts]:
        """Take a step; gives the reissuances that it leaves behind."""
        if isinstance(step.event, ReissuePlanned):
            yield from self._plan(step.event, step.at_ms)
        else:
            self._hear(step.event, step.at_ms)
        for effect in step.effects:
            self._note(effect, step.at_ms)
        for asset, state in step.after.reissue.items():
            if asset in self._facts:
                self._facts[asset].state = state

    def rest(self) -> Iterator[PeriodFacts]:
        """The reissuances that were not given out, at the end of the trace or of a run of the daemon."""
        yield from self._facts.values()
        self._facts = {}

    def _plan(self, event: ReissuePlanned, at_ms: int) -> Iterator[PeriodFacts]:
        for item in event.items or ():
            known = self._facts.get(item.asset)
            if known is not None and known.due_height == event.due_height:
                known.item = item
                continue
            if known is not None:
                yield known
            self._facts[item.asset] = PeriodFacts(event.due_height, item, at_ms)
        early, self._early = self._early, []
        for received, came_ms in early:
            self._hear(received, came_ms)

    def _of(self, asset: str, due_height: int) -> PeriodFacts | None:
        facts = self._facts.get(asset)
        return facts if facts is not None and facts.due_height == due_height else None

    def _hear(self, event: Event, at_ms: int) -> None:
        if isinstance(event, Received):
            self._hear_message(event, at_ms)
        elif isinstance(event, DraftMade | ReissuanceSent | ReissuanceSeen):
            facts = self._of(event.asset, event.due_height)
            if facts is None:
                return
            if isinstance(event, DraftMade):
                facts.not_made = event.reason if event.draft is None else None
            elif isinstance(event, ReissuanceSent):
                facts.sent.append(event)
            elif event.status == "confirmed":
                facts.confirmed = facts.confirmed or (event.detail, at_ms)

    def _hear_message(self, event: Received, at_ms: int) -> None:
        message = event.message
        if not isinstance(message, ReissueDraft | ReissueSignature):
            return
        facts = self._of(message.asset, message.height)
        if facts is None:
            self._early.append((event, at_ms))
            del self._early[:-MAX_EARLY]
            return
        facts.drafts.setdefault(event.sender, (message.draft_id, at_ms))
        if isinstance(message, ReissueSignature):
            facts.signatures.setdefault(event.sender, at_ms)

    def _note(self, effect: Effect, at_ms: int) -> None:
        match effect:
            case Persist(records=(DraftLocked() as draft,)):
                facts = self._of(draft.asset, draft.due_height)
                if facts is not None:
                    facts.locked = facts.locked or (draft.draft_id, at_ms)
            case Report(detail=detail) if detail.startswith(_ABOUT_ASSET):
                asset, _, reason = detail.removeprefix(_ABOUT_ASSET).partition(": ")
                facts = self._of(asset, effect.height)
                if facts is None:
                    return
                if effect.code == "reissuance-deferred":
                    facts.deferred = reason, at_ms
                elif effect.code not in _TOLD_OTHERWISE:
                    facts.reports.append((at_ms, effect))


MAX_EARLY = 256


def tell_period(facts: PeriodFacts, terms: ReissueTerms) -> Iterator[str]:
    """The lines about a reissuance: a heading, then what was done in order."""

    def name(member: int) -> str:
        return f"member {member} (we)" if member == terms.member else f"member {member}"

    def after(at_ms: int) -> str:
        return f"{at_ms - facts.planned_ms:+} ms"

    yield (
        f"Reissuance of asset {short(facts.item.asset)}, due at height {facts.due_height}: {facts.item.amount} "
        f"satoshi, planned {clock_time(facts.planned_ms)} (times are milliseconds after it)"
    )
    if facts.item.objection:
        yield f"  We could not sign it: {facts.item.objection}."
    if facts.not_made is not None:
        yield f"  Our node made no draft: {facts.not_made}."
    for draft_id in dict.fromkeys(draft_id for draft_id, _ in facts.drafts.values()):
        said = [
            f"{m} ({at_ms - facts.planned_ms:+})"
            for m, (one, at_ms) in sorted(facts.drafts.items())
            if one == draft_id
        ]
        yield f"  Draft {short(draft_id)} put forward by {', '.join(said)}."
    if facts.locked is not None:
        yield f"  We locked draft {short(facts.locked[0])} {after(facts.locked[1])}."
    signed = [f"{m} ({at_ms - facts.planned_ms:+})" for m, at_ms in sorted(facts.signatures.items())]
    missing = [str(m) for m in range(terms.members) if m not in facts.signatures]
    if signed:
        yield f"  Signed by {', '.join(signed)}" + (f"; missing {', '.join(missing)}." if missing else ".")
    for sent in dict.fromkeys(f"{it.outcome} ({it.reason})" if it.reason else it.outcome for it in facts.sent):
        yield f"  Our node's answer to the transaction: {sent}."
    for at_ms, report in facts.reports:
        about = "" if report.member is None else f" of {name(report.member)}"
        reason = report.detail.partition(": ")[2]
        yield f"  Reported {after(at_ms)}: {report.code}{about}{': ' if reason else ''}{reason}."
    yield f"  {_end(facts)}"


def _end(facts: PeriodFacts) -> str:
    if facts.confirmed is not None:
        detail, at_ms = facts.confirmed
        return f"Confirmed {at_ms - facts.planned_ms:+} ms{f': {detail}' if detail else ''}."
    if facts.deferred is not None:
        detail, at_ms = facts.deferred
        return f"Deferred {at_ms - facts.planned_ms:+} ms: {detail}."
    return f"It was in {facts.state or 'an unknown state'} when this part of the trace ended."
