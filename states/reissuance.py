"""The reissue machine: one asset, from the height at which a reissuance falls due to its confirmation.

Drafts are made alike by every member that has the same facts, so it matters little who leads: the member whose
block it was begins, and the others take over in turn. What must not happen twice is kept elsewhere: the guard locks
one draft for a period before it is signed, and what the chain shows is believed over everything in here.
"""

from __future__ import annotations

import msgspec

from states.effects import (
    Broadcast,
    CheckReissuance,
    CombineDraft,
    Effect,
    JudgeDraft,
    MakeDraft,
    Persist,
    Relay,
    Report,
    SendReissuance,
    SignDraft,
)
from states.events import (
    DraftCombined,
    DraftJudged,
    DraftMade,
    DraftSigned,
    Received,
    ReissuanceSeen,
    ReissuanceSent,
    ReissueItem,
)
from states.machine import TableMachine
from states.memory import DraftLocked
from states.messages import ReissueDraft, ReissueSignature
from states.table import REISSUANCE


class ReissueTerms(msgspec.Struct, frozen=True):
    """What the reissue machines need to know. ``period`` is in blocks, ``turn_ms`` how long a leader has.

    ``threshold`` is M of the reissuance script.
    """

    member: int
    members: int
    threshold: int
    period: int
    turn_ms: int


class Candidate(msgspec.Struct, frozen=True):
    """A draft that a member put forward, and the envelope in which it did. The id is what the member calls it."""

    sender: int
    draft_id: str
    draft: bytes
    envelope: bytes

    @property
    def content(self) -> tuple[str, bytes]:
        """What is judged: others may call something else by the same id."""
        return self.draft_id, self.draft


class Reissuance(TableMachine):
    """One asset's machine. ``feed`` is its one entry; ``take_effects`` gives what came of it."""

    table = REISSUANCE

    def __init__(self, terms: ReissueTerms, asset: str) -> None:
        super().__init__()
        self.terms = terms
        self.asset = asset
        self.due_height = 0
        self.tip_height = 0
        self.effects: list[Effect] = []
        self._event: object = None
        self._reset(0, ReissueItem(asset, 0))

    def _reset(self, leader: int, item: ReissueItem) -> None:
        self.item = item
        self.turn = 0
        self.chosen: DraftLocked | None = None
        self._leader = leader
        self._candidates: dict[int, Candidate] = {}  # one of each member
        self._verdicts: dict[tuple[str, bytes], DraftJudged] = {}
        self._judging: Candidate | None = None
        self._signatures: dict[int, tuple[ReissueSignature, bytes]] = {}
        self._own: bytes | None = None  # the envelope of our signature
        self._transaction: bytes | None = None
        self._invalid: set[int] = set()
        self._stalled = False
        self._complained: set[str] = set()

    # --- entries

    def open(self, due_height: int, leader: int, item: ReissueItem) -> None:
        """A period begins with this item; ``leader`` has the first turn."""
        self.fire("open")
        self.due_height = due_height
        self._reset(leader, item)
        self.feed("planned", item)

    def replan(self, item: ReissueItem) -> None:
        """The block at the due height was replaced: what nobody has acted upon may be another amount now."""
        if self.state == "Due":
            self.item = item
            self.feed("planned", item)

    def feed(self, trigger: str, event: object = None) -> None:
        """Take one event by its trigger, then every step that it makes possible."""
        self._event = event
        self.fire(trigger)
        while self.fire("review"):
            pass

    def take_effects(self) -> list[Effect]:
        """The effects since the last call, in order."""
        effects, self.effects = self.effects, []
        return effects

    # --- guards

    def chain_shows_it(self) -> bool:
        event = self._event
        if isinstance(event, ReissueItem):
            return event.confirmed
        return isinstance(event, ReissuanceSeen) and event.status == "confirmed"

    def is_unconfirmed(self) -> bool:
        return isinstance(self._event, ReissuanceSeen) and self._event.status in ("pending", "absent")

    def is_absent(self) -> bool:
        return isinstance(self._event, ReissuanceSeen) and self._event.status == "absent"

    def time_is_over(self) -> bool:
        return 2 * (self.tip_height - self.due_height) >= self.terms.period

    def draft_is_locked(self) -> bool:
        return self.item.locked is not None

    def turn_is_ours(self) -> bool:
        return self._leads(self.turn) and not self.item.objection

    def next_turn_is_ours(self) -> bool:
        return self._leads(self.turn + 1) and not self.item.objection

    def draft_is_unjudged(self) -> bool:
        return self._unjudged() is not None

    def draft_is_good(self) -> bool:
        return self._good() is not None

    def draft_is_refused(self) -> bool:
        """What we asked our node about is answered, and no draft is good."""
        return self._judging is not None and self._judging.content in self._verdicts

    def draft_was_made(self) -> bool:
        return isinstance(self._event, DraftMade) and self._event.draft is not None

    def signatures_suffice(self) -> bool:
        return len(self._usable()) >= self.terms.threshold

    def may_try_again(self) -> bool:
        """What failed is not tried again at once, but when the next turn comes."""
        return not self._stalled

    def combination_succeeded(self) -> bool:
        return isinstance(self._event, DraftCombined) and self._event.transaction is not None

    def node_has_it(self) -> bool:
        return isinstance(self._event, ReissuanceSent) and self._event.outcome in ("accepted", "duplicate")

    def transaction_is_known(self) -> bool:
        return self._transaction is not None

    # --- actions: periods

    def open_period(self) -> None:
        """The last period is settled, or nothing was due in it."""

    def abandon_period(self) -> None:
        self._report("reissuance-deferred", detail="the next period begins")

    def note_confirmed(self) -> None:
        event = self._event
        self._report("reissuance-confirmed", detail=event.detail if isinstance(event, ReissuanceSeen) else "")

    def note_still_confirmed(self) -> None:
        """Nothing to be done."""

    def note_undone(self) -> None:
        self._report("reissuance-undone", detail="the block that confirmed it is not in the chain any more")

    def defer(self) -> None:
        late = self.tip_height - self.due_height
        self._report("reissuance-deferred", detail=f"not confirmed {late} blocks after it fell due")

    def go_on(self) -> None:
        """The chain does not show it yet."""

    def ask_chain(self) -> None:
        self.effects.append(CheckReissuance(self.due_height, self.asset))

    # --- actions: which draft

    def await_draft(self) -> None:
        """Another member leads, or we may not."""
        if self.item.objection:
            self._complain("reissuance-not-signed", self.terms.member, self.item.objection)

    def request_draft(self) -> None:
        self._judging = None
        self.effects.append(MakeDraft(self.due_height, self.asset))

    def take_turn(self) -> None:
        self.turn += 1
        self.request_draft()

    def pass_turn(self) -> None:
        """The next member leads. Drafts that could not be judged are looked at again."""
        self.turn += 1
        self._verdicts = {what: v for what, v in self._verdicts.items() if v.verdict != "unavailable"}

    def resume_draft(self) -> None:
        """After a restart: what our guard holds may be signed, and nothing else."""
        self.chosen = self.item.locked
        self._sign()

    def report_no_draft(self) -> None:
        event = self._event
        self._complain("no-draft-made", self.terms.member, event.reason if isinstance(event, DraftMade) else "")

    def keep_own_draft(self) -> None:
        event = self._event
        if isinstance(event, DraftMade) and event.draft is not None:
            made = event.draft
            message = ReissueDraft(self.due_height, self.turn, self.asset, made.draft_id, made.draft)
            self.effects.append(Broadcast(message))
            member = self.terms.member
            ours = self._judging = Candidate(member, made.draft_id, made.draft, b"")
            self._candidates[member] = ours
            self._verdicts[ours.content] = DraftJudged(
                self.due_height, self.asset, made.draft_id, member, "valid", made.outpoint
            )

    def record_draft(self) -> None:
        event = self._event
        if isinstance(event, Received) and isinstance(event.message, ReissueDraft | ReissueSignature):
            message = event.message
            self._note(Candidate(event.sender, message.draft_id, message.draft, event.envelope))

    def record_signature(self) -> None:
        """The first one of a member counts, unless it proved invalid; a signer may give others each time."""
        event = self._event
        self.record_draft()
        if isinstance(event, Received) and isinstance(event.message, ReissueSignature):
            if event.sender == self.terms.member:
                self._own = event.envelope
            self._signatures.setdefault(event.sender, (event.message, event.envelope))

    def _note(self, candidate: Candidate) -> None:
        """Honest members make the same draft; whoever puts forward two is at fault, and the second is dropped."""
        first = self._candidates.setdefault(candidate.sender, candidate)
        chosen = self.chosen
        if first.draft_id != candidate.draft_id and first.envelope:
            self._complain("rival-drafts", candidate.sender, "", (first.envelope, candidate.envelope))
        elif chosen is not None and candidate.draft_id != chosen.draft_id:
            detail = f"{candidate.draft_id}, and {chosen.draft_id} is locked here"
            self._complain("other-draft", candidate.sender, detail)

    def judge_draft(self) -> None:
        candidate = self._unjudged()
        if candidate is not None:
            self._judging = candidate
            self.effects.append(
                JudgeDraft(self.due_height, self.asset, candidate.draft_id, candidate.sender, candidate.draft)
            )

    def record_verdict(self) -> None:
        """The answer to our last order: a member puts forward one draft in a period."""
        event, judging = self._event, self._judging
        if not isinstance(event, DraftJudged) or judging is None:
            return
        if (event.sender, event.draft_id) == (judging.sender, judging.draft_id):
            self._verdicts[judging.content] = event

    def give_up_draft(self) -> None:
        """Back to waiting: the draft was refused, or our node takes too long."""
        judging = self._judging
        verdict = None if judging is None else self._verdicts.get(judging.content)
        if judging is None or verdict is None:
            self._judging = None
            self.turn += 1
            return
        code = "draft-refused" if verdict.verdict == "invalid" else "draft-not-judged"
        for candidate in self._candidates.values():
            if candidate.content == judging.content:
                self._complain(code, candidate.sender, verdict.reason, (candidate.envelope,))

    def choose_draft(self) -> None:
        """From here on this draft alone is signed, by a lock on disk, if we may sign at all."""
        candidate = self._good()
        if candidate is not None:
            verdict = self._verdicts[candidate.content]
            self.chosen = DraftLocked(
                self.asset, self.due_height, candidate.draft_id, verdict.outpoint, candidate.draft
            )
            self._sign()

    def _sign(self) -> None:
        chosen = self.chosen
        if chosen is None:
            return
        if self.item.objection:
            self._complain("reissuance-not-signed", self.terms.member, self.item.objection)
            return
        self.effects.append(Persist((chosen,)))
        self.effects.append(SignDraft(self.due_height, self.asset, chosen.draft_id, chosen.draft))

    # --- actions: signatures

    def publish_signature(self) -> None:
        event, chosen = self._event, self.chosen
        if not isinstance(event, DraftSigned) or chosen is None or event.draft_id != chosen.draft_id:
            return
        if event.signatures is None:
            self._complain("draft-signing-failed", self.terms.member, event.reason)
            return
        if self._own is None:
            self.effects.append(
                Broadcast(
                    ReissueSignature(
                        self.due_height, self.turn, self.asset, chosen.draft_id, chosen.draft, event.signatures
                    )
                )
            )

    def repeat_signature(self) -> None:
        """Others may lack it, or not even know the draft; without one, ask the signer again."""
        self._stalled = False
        self.turn += 1
        if self._own is not None:
            self.effects.append(Relay((self._own,)))
        else:
            self._sign()

    def combine(self) -> None:
        chosen = self.chosen
        if chosen is not None:
            signatures = tuple((member, message.signatures) for member, message in sorted(self._usable().items()))
            self.effects.append(
                CombineDraft(self.due_height, self.asset, chosen.draft_id, chosen.draft, signatures)
            )

    def drop_invalid_signatures(self) -> None:
        event = self._event
        self._stalled = True
        if not isinstance(event, DraftCombined):
            return
        for member in event.invalid:
            self._stalled = False
            self._invalid.add(member)
            self._complain("bad-reissue-signature", member, event.draft_id, (self._signatures[member][1],))
        if not event.invalid:
            self._complain("draft-not-combined", self.terms.member, event.reason)

    def send(self) -> None:
        event = self._event
        if isinstance(event, DraftCombined) and event.transaction is not None:
            self._transaction = event.transaction
            self._send()

    def send_again(self) -> None:
        self._send()

    def _send(self) -> None:
        if self._transaction is not None and self.chosen is not None:
            self.effects.append(
                SendReissuance(self.due_height, self.asset, self.chosen.draft_id, self._transaction)
            )

    def note_sent(self) -> None:
        event = self._event
        if isinstance(event, ReissuanceSent) and "sent" not in self._complained:
            self._complained.add("sent")
            self._report("reissuance-sent", detail=event.draft_id)

    def note_refusal(self) -> None:
        event = self._event
        if isinstance(event, ReissuanceSent):
            self._complain("reissuance-refused", self.terms.member, event.reason)

    # --- small parts

    def _leads(self, turn: int) -> bool:
        return (self._leader + turn) % self.terms.members == self.terms.member

    def _unjudged(self) -> Candidate | None:
        for _, candidate in sorted(self._candidates.items()):
            if candidate.content not in self._verdicts:
                return candidate
        return None

    def _good(self) -> Candidate | None:
        for _, candidate in sorted(self._candidates.items()):
            verdict = self._verdicts.get(candidate.content)
            if verdict is not None and verdict.verdict == "valid":
                return candidate
        return None

    def _usable(self) -> dict[int, ReissueSignature]:
        """Members' signatures of the chosen draft that have not proved invalid."""
        chosen = "" if self.chosen is None else self.chosen.draft_id
        return {
            member: message
            for member, (message, _) in self._signatures.items()
            if message.draft_id == chosen and member not in self._invalid
        }

    def _complain(self, code: str, member: int, detail: str, evidence: tuple[bytes, ...] = ()) -> None:
        """Report once in a period."""
        key = f"{code} {member} {detail}"
        if key not in self._complained and len(self._complained) < MAX_COMPLAINTS:
            self._complained.add(key)
            self._report(code, member, detail, tuple(envelope for envelope in evidence if envelope))

    def _report(
        self, code: str, member: int | None = None, detail: str = "", evidence: tuple[bytes, ...] = ()
    ) -> None:
        text = f"asset {self.asset}" + (f": {detail}" if detail else "")
        self.effects.append(Report(code, self.due_height, self.turn, member, text, evidence))


MAX_COMPLAINTS = 64  # of one asset in one period
