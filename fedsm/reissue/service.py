"""Carries out what the reissue machines order, for the engine. Each method raises nothing."""

from __future__ import annotations

import sqlite3
from fractions import Fraction
from typing import TYPE_CHECKING

from fedsm.chains.base import ChainError
from fedsm.chains.reader import DecodeError
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.script import ScriptError
from fedsm.chains.transaction import parse_transaction
from fedsm.reissue.strategy import DueAsset, ReissueError, Strategy
from signers.base import SignerError
from signers.ecdsa import verify_der
from signers.guard_codes import GuardError
from states.effects import (
    CheckReissuance,
    CombineDraft,
    JudgeDraft,
    MakeDraft,
    PlanReissuance,
    ReissueOrder,
    SendReissuance,
    SignDraft,
)
from states.events import (
    DraftCombined,
    DraftJudged,
    DraftMade,
    DraftSigned,
    ReissuanceSeen,
    ReissuanceSent,
    ReissueEvent,
    ReissueItem,
    ReissuePlanned,
)

if TYPE_CHECKING:
    from fedsm.chains.script import Multisig
    from fedsm.reissue.policy import Policy
    from signers.base import BlockSigner
    from signers.key_memory import KeyMemory

_TROUBLE = (ReissueError, RpcError, RpcUnavailable, ChainError, DecodeError, ScriptError, sqlite3.Error)


class ReissueService:
    """One member's reissuances, served from one thread. ``signer`` is None for a member without a key for them."""

    def __init__(
        self,
        strategy: Strategy,
        multisig: Multisig,
        rate: Fraction,
        policy: Policy,
        guard: KeyMemory,
        signer: BlockSigner | None,
    ) -> None:
        self.strategy = strategy
        self._multisig = multisig
        self._rate = rate
        self._policy = policy
        self._guard = guard
        self._signer = signer

    def follow(self) -> None:
        """Read what is new on the chain. Trouble shows when something is asked."""
        try:
            self.strategy.follow()
        except _TROUBLE:
            return

    def serve(self, order: ReissueOrder) -> ReissueEvent:
        """The answer to an order of the machines."""
        match order:
            case PlanReissuance():
                return self._plan(order)
            case MakeDraft():
                return self._make(order)
            case JudgeDraft():
                return self._judge(order)
            case SignDraft():
                return self._sign(order)
            case CombineDraft():
                return self._combine(order)
            case SendReissuance():
                return self._send(order)
            case CheckReissuance():
                return self._check(order)

    def _plan(self, order: PlanReissuance) -> ReissuePlanned:
        try:
            due = self.strategy.due(order.due_height)
            locked = {draft.asset: draft for draft in self._guard.drafts(order.due_height)}
            knows = self._guard.knows_period(order.due_height)
        except (*_TROUBLE, GuardError) as error:
            return ReissuePlanned(order.due_height, None, str(error))
        items = tuple(
            ReissueItem(
                found.asset,
                found.amount,
                bool(found.confirmed),
                locked.get(found.asset),
                self._objection(found, knows=knows),
            )
            for found in due
        )
        return ReissuePlanned(order.due_height, items)

    def _objection(self, found: DueAsset, *, knows: bool) -> str:
        if found.obstacle:
            return f"obstacle: {found.obstacle}"
        if not knows:
            return "guard-new: this guard was made after the period began and cannot know what its key signed"
        if self._signer is None:
            return "no-key: this member has no reissuance key"
        return self._forbidden(found.asset, found.amount)

    def _forbidden(self, asset: str, amount: int) -> str:
        return self._policy.objection(asset, amount, self._rate, self.strategy.destination)

    def _make(self, order: MakeDraft) -> DraftMade:
        try:
            return DraftMade(order.due_height, order.asset, self.strategy.draft(order.due_height, order.asset))
        except _TROUBLE as error:
            return DraftMade(order.due_height, order.asset, None, str(error))

    def _judge(self, order: JudgeDraft) -> DraftJudged:
        place = order.due_height, order.asset, order.draft_id, order.sender
        try:
            refusal = self.strategy.refusal(order.due_height, order.asset, order.draft_id, order.draft)
            if refusal is not None:
                return DraftJudged(*place, "invalid", reason=f"{refusal.code}: {refusal.detail}")
            ours = self.strategy.draft(order.due_height, order.asset)
            [found] = [due for due in self.strategy.due(order.due_height) if due.asset == order.asset]
        except ReissueError as error:
            return DraftJudged(*place, "unavailable" if error.passing else "invalid", reason=str(error))
        except _TROUBLE as error:
            return DraftJudged(*place, "unavailable", reason=str(error))
        forbidden = self._forbidden(order.asset, found.amount)
        if forbidden:
            return DraftJudged(*place, "invalid", reason=forbidden)
        return DraftJudged(*place, "valid", ours.outpoint)

    def _sign(self, order: SignDraft) -> DraftSigned:
        """Sign through the guard. The digests are those of the draft that we judged."""
        place = order.due_height, order.asset, order.draft_id
        if self._signer is None:
            return DraftSigned(*place, None, "no-key: this member has no reissuance key")
        try:
            if parse_transaction(order.draft).txid[::-1].hex() != order.draft_id:
                return DraftSigned(*place, None, "wrong-id: the draft is another transaction than it is called")
            digests = self.strategy.digests(order.draft)
            signatures = self._guard.sign_draft(
                order.asset, order.due_height, order.draft_id, digests, self._signer
            )
        except GuardError as error:
            return DraftSigned(*place, None, f"{error.code}: {error}")
        except SignerError as error:
            return DraftSigned(*place, None, f"{error.kind}: {error}")
        except _TROUBLE as error:
            return DraftSigned(*place, None, str(error))
        return DraftSigned(*place, signatures)

    def _combine(self, order: CombineDraft) -> DraftCombined:
        place = order.due_height, order.asset, order.draft_id
        try:
            digests = self.strategy.digests(order.draft)
            chosen: list[dict[int, bytes]] = [{} for _ in digests]
            invalid = []
            for member, signatures in order.signatures:
                key = self._key_of(digests, signatures)
                if key is None:
                    invalid.append(member)
                    continue
                for place_of_input, der in enumerate(signatures):
                    chosen[place_of_input][key] = der
            if invalid:
                return DraftCombined(*place, None, tuple(invalid))
            return DraftCombined(*place, self.strategy.complete(order.draft, chosen))
        except _TROUBLE as error:
            return DraftCombined(*place, None, reason=str(error))

    def _key_of(self, digests: tuple[bytes, ...], signatures: tuple[bytes, ...]) -> int | None:
        """The number of the key in the script that made all of these signatures."""
        if len(signatures) != len(digests):
            return None
        pairs = list(zip(digests, signatures, strict=True))
        for number, key in enumerate(self._multisig.public_keys):
            if all(verify_der(key, digest, der) for digest, der in pairs):
                return number
        return None

    def _send(self, order: SendReissuance) -> ReissuanceSent:
        place = order.due_height, order.asset, order.draft_id
        try:
            sent = self.strategy.send(order.transaction)
        except _TROUBLE as error:
            return ReissuanceSent(*place, "unavailable", str(error))
        return ReissuanceSent(*place, sent.outcome, sent.reason)

    def _check(self, order: CheckReissuance) -> ReissuanceSeen:
        try:
            standing = self.strategy.standing(order.due_height, order.asset)
        except _TROUBLE as error:
            return ReissuanceSeen(order.due_height, order.asset, "unknown", str(error))
        return ReissuanceSeen(order.due_height, order.asset, standing.status, standing.detail)
