"""A cluster whose members also reissue assets: nodes with mempools, transactions in blocks, and what must hold.

A transaction is a paper that says what it does. Every reissuance that a block brings is checked: at most one for
each asset and period, and its amount is the rule's on the supply at the due height.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from fedsm.simulator.cluster import Cluster
from fedsm.simulator.disk import Disk, Store
from fedsm.simulator.member import Member
from fedsm.simulator.violation import Violation
from fedsm.simulator.wire import signature_word
from signers.guard_codes import GuardError
from states.amounts import Inflation, amount_due
from states.effects import (
    Broadcast,
    CheckReissuance,
    CombineDraft,
    Effect,
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
from states.memory import DraftLocked
from states.messages import ReissueSignature
from states.reissuance import ReissueTerms
from states.round import Settings

DESTINATION = "the treasury"
TURN_MS = 300


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


class Assets(NamedTuple):
    """The state of all assets after a block; ``done`` are the reissuances so far, in the order of the chain."""

    supply: Mapping[str, int]
    outpoint: Mapping[str, str]
    done: tuple[tuple[int, Paper], ...] = ()


class ReissueDisk(Disk):
    """A disk whose guard also signs drafts."""

    def drafts(self, due_height: int) -> tuple[DraftLocked, ...]:
        """See KeyMemory.drafts."""
        return self._guard.drafts(due_height)

    def knows_period(self, due_height: int) -> bool:
        """See KeyMemory.knows_period."""
        return self._guard.knows_period(due_height)

    def sign_draft(self, order: SignDraft) -> tuple[bytes, ...]:
        """See KeyMemory.sign_draft."""
        digest = bytes.fromhex(order.draft_id)[::-1]
        return self._guard.sign_draft(order.asset, order.due_height, order.draft_id, [digest], self.signer)


class ReissueCluster(Cluster):
    """``assets`` are the supplies (satoshi) at the beginning. ``hides``: members whose blocks leave papers out."""

    def __init__(self, n: int, m: int, assets: Mapping[str, int], inflation: Inflation, **options: Any) -> None:
        self.inflation = inflation
        self._states: dict[str, Assets] = {}
        self._papers: dict[str, tuple[Paper, ...]] = {}
        self._mempools: list[dict[str, Paper]] = [{} for _ in range(n)]
        self.hides: set[int] = set()
        self._first = Assets(dict(assets), {asset: f"{asset}:0" for asset in assets})
        super().__init__(n, m, stores=options.pop("stores", ReissueDisk), **options)

    def settings(self, index: int) -> Settings:
        """With the terms of the schedule."""
        quorum = self.quorum
        terms = ReissueTerms(index, quorum.members, quorum.threshold, self.inflation.period, TURN_MS)
        return msgspec.structs.replace(super().settings(index), reissue=terms)

    # --- the chain

    def assets(self, chain: list[str]) -> Assets:
        """What the chain's last block leaves. Violation when a block brings what must not be."""
        known = next((i for i in range(len(chain) - 1, -1, -1) if chain[i] in self._states), -1)
        state = self._states[chain[known]] if known >= 0 else self._first
        for height in range(known + 1, len(chain)):
            for paper in self._papers.get(chain[height], ()):
                state = self._confirm(state, paper, height, chain)
            self._states[chain[height]] = state
        return state

    def _confirm(self, state: Assets, paper: Paper, height: int, chain: list[str]) -> Assets:
        period, where = self.inflation.period, f"{paper.asset[:4]} due at {paper.due_height}, block {height}"
        rule = amount_due(
            self.inflation, paper.due_height, self.assets(chain[: paper.due_height + 1]).supply[paper.asset]
        )
        if paper.amount != rule or paper.to != DESTINATION:
            raise Violation("wrong-reissuance", f"{where}: {paper.amount} to {paper.to}, the rule gives {rule}")
        for earlier, other in state.done:
            same = other.due_height == paper.due_height or (earlier - 1) // period == (height - 1) // period
            if other.asset == paper.asset and same:
                raise Violation("reissued-twice", f"{where}: reissued in block {earlier} already")
        supply = {**state.supply, paper.asset: state.supply[paper.asset] + paper.amount}
        outpoint = {**state.outpoint, paper.asset: paper.token_after}
        return Assets(supply, outpoint, (*state.done, (height, paper)))

    def new_hash(self, height: int, member: int) -> str:
        """The block takes what is in the mempool of its node."""
        block_hash = super().new_hash(height, member)
        state = self.assets(self.members[member].chain)
        found = {p.asset: p for p in self._mempools[member].values() if p.outpoint == state.outpoint[p.asset]}
        self._papers[block_hash] = () if member in self.hides else tuple(found.values())
        return block_hash

    # --- what members order

    def run(self, member: Member, effect: Effect) -> None:
        """Reissue orders are answered here."""
        if isinstance(effect, Broadcast) and isinstance(effect.message, ReissueSignature):
            self._check_locked(member.store, effect.message)
        if isinstance(effect, ReissueOrder):
            event = self._answer(member, effect)
            self.answer(member, event, 1 + member.node_ms)
        else:
            super().run(member, effect)

    def _check_locked(self, store: Store, message: ReissueSignature) -> None:
        held = [draft.draft_id for draft in _disk(store).drafts(message.height) if draft.asset == message.asset]
        if held != [message.draft_id]:
            raise Violation("unlocked-signature", f"{message.draft_id} is signed, {held} is locked")

    def _answer(self, member: Member, order: ReissueOrder) -> ReissueEvent:
        match order:
            case PlanReissuance(due_height):
                return self._plan(member, due_height)
            case MakeDraft(due_height, asset):
                return self._make(member, due_height, asset)
            case JudgeDraft(due_height, asset, draft_id, draft):
                return self._judge(member, DraftJudged(due_height, asset, draft_id, "valid"), draft)
            case SignDraft():
                return self._sign(member, order)
            case CombineDraft():
                return self._combine(order)
            case SendReissuance(due_height, asset, draft_id, transaction):
                return self._send(member, ReissuanceSent(due_height, asset, draft_id, "accepted"), transaction)
            case CheckReissuance(due_height, asset):
                return self._check(member, due_height, asset)

    def _plan(self, member: Member, due_height: int) -> ReissuePlanned:
        if member.node_down or member.height < due_height:
            return ReissuePlanned(due_height, None, "the node cannot tell")
        disk, then, now = _disk(member.store), self._at(member, due_height), self.assets(member.chain)
        locked = {draft.asset: draft for draft in disk.drafts(due_height)}
        objection = "" if disk.knows_period(due_height) else "guard-new"
        return ReissuePlanned(
            due_height,
            tuple(
                ReissueItem(
                    asset,
                    amount_due(self.inflation, due_height, then.supply[asset]),
                    any(h > due_height for h, paper in now.done if paper.asset == asset),
                    locked.get(asset),
                    objection,
                )
                for asset in sorted(then.supply)
            ),
        )

    def paper(self, member: Member, due_height: int, asset: str) -> Paper:
        """The draft that every honest member makes."""
        state = self._at(member, due_height)
        amount = amount_due(self.inflation, due_height, state.supply[asset])
        return Paper(asset, due_height, amount, state.outpoint[asset])

    def _at(self, member: Member, height: int) -> Assets:
        return self.assets(member.chain[: height + 1])

    def _make(self, member: Member, due_height: int, asset: str) -> DraftMade:
        if member.node_down or member.height < due_height:
            return DraftMade(due_height, asset, None, "the node is away")
        paper = self.paper(member, due_height, asset)
        return DraftMade(due_height, asset, DraftLocked(asset, due_height, paper.id, _outpoint(paper), paper.data))

    def _judge(self, member: Member, judged: DraftJudged, draft: bytes) -> DraftJudged:
        if member.node_down or member.height < judged.due_height:
            return msgspec.structs.replace(judged, verdict="unavailable", reason="the node is away")
        ours = self.paper(member, judged.due_height, judged.asset)
        if (draft, judged.draft_id) != (ours.data, ours.id):
            return msgspec.structs.replace(judged, verdict="invalid", reason="another-draft")
        return msgspec.structs.replace(judged, outpoint=_outpoint(ours))

    def _sign(self, member: Member, order: SignDraft) -> DraftSigned:
        place = order.due_height, order.asset, order.draft_id
        if member.signer_down:
            return DraftSigned(*place, None, "no token")
        try:
            return DraftSigned(*place, _disk(member.store).sign_draft(order))
        except GuardError as error:
            return DraftSigned(*place, None, str(error))

    def _combine(self, order: CombineDraft) -> DraftCombined:
        place = order.due_height, order.asset, order.draft_id
        bad = [m for m, given in order.signatures if given != (signature_word(m, order.draft_id),)]
        if bad:
            return DraftCombined(*place, None, tuple(bad))
        if len(order.signatures) < self.quorum.threshold:
            raise Violation("bad-combination", f"{order.draft_id}: {len(order.signatures)} signatures")
        return DraftCombined(*place, order.draft)

    def _send(self, member: Member, sent: ReissuanceSent, transaction: bytes) -> ReissuanceSent:
        if member.node_down:
            return msgspec.structs.replace(sent, outcome="unavailable")
        paper = msgspec.msgpack.decode(transaction, type=Paper)
        outcome = "accepted" if self._take(member.index, paper) else "duplicate"
        for other in self.members:
            self.at(self.random.randint(1, 300), lambda index=other.index: self._take(index, paper))  # type: ignore[misc]
        return msgspec.structs.replace(sent, outcome=outcome)

    def _take(self, index: int, paper: Paper) -> bool:
        """A node's mempool takes a paper whose token is unspent."""
        member, pool = self.members[index], self._mempools[index]
        if member.node_down or self.assets(member.chain).outpoint[paper.asset] != paper.outpoint:
            return False
        if any(other.outpoint == paper.outpoint for other in pool.values()):
            return False
        pool[paper.id] = paper
        return True

    def _check(self, member: Member, due_height: int, asset: str) -> ReissuanceSeen:
        if member.node_down:
            return ReissuanceSeen(due_height, asset, "unknown")
        state = self.assets(member.chain)
        if any(height > due_height for height, paper in state.done if paper.asset == asset):
            return ReissuanceSeen(due_height, asset, "confirmed")
        outpoint = state.outpoint[asset]
        pending = any(paper.outpoint == outpoint for paper in self._mempools[member.index].values())
        return ReissuanceSeen(due_height, asset, "pending" if pending else "absent")

    def forget(self, index: int) -> None:
        """A node loses its mempool."""
        self._mempools[index].clear()


def _disk(store: Store) -> ReissueDisk:
    assert isinstance(store, ReissueDisk)  # noqa: S101 - the cluster was made with such
    return store


def _outpoint(paper: Paper) -> str:
    """As the guard wants it."""
    return f"{hashlib.sha256(paper.outpoint.encode()).hexdigest()}:0"
