"""A cluster whose members also reissue assets: nodes with mempools, papers in blocks, and checks of drafts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from fedsm.simulator.cluster import Cluster
from fedsm.simulator.disk import ReissueStore
from fedsm.simulator.member import Member
from fedsm.simulator.papers import Assets, Paper, PaperChain
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
    Report,
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

TURN_MS = 300
MEMPOOL_MS = 300  # how long a transaction takes to another node, at most
# Reports that accuse a member; of one that is honest, and whose node told the truth, there must be none.
ACCUSATIONS = {"draft-refused", "rival-drafts", "other-draft", "bad-reissue-signature"}


class ReissueCluster(Cluster):
    """``assets`` are the supplies (satoshi) at the beginning.

    ``hides``: members whose blocks leave papers out. ``misinformed``: members whose nodes tell other supplies than
    there are; ``once_misinformed``, whose ever did.
    """

    reissues = True

    def __init__(
        self, n: int, m: int, votes: int | None, assets: Mapping[str, int], inflation: Inflation, **options: Any
    ) -> None:
        self.inflation = inflation
        self.papers = PaperChain(assets, inflation)
        self.hides: set[int] = set()
        self.misinformed: set[int] = set()
        self.once_misinformed: set[int] = set()
        self._mempools: list[dict[str, Paper]] = [{} for _ in range(n)]
        self._signed: dict[tuple[int, str, int], tuple[str, tuple[bytes, ...]]] = {}
        super().__init__(n, m, votes, **options)

    def settings(self, index: int) -> Settings:
        """With the terms of the schedule."""
        quorum = self.quorum
        terms = ReissueTerms(index, quorum.members, quorum.threshold, self.inflation.period, TURN_MS)
        return msgspec.structs.replace(super().settings(index), reissue=terms)

    # --- the chain

    def assets(self, member: Member) -> Assets:
        """What a member's chain says of assets. Raises Violation."""
        return self.papers.state(member.chain)

    def new_hash(self, height: int, member: int) -> str:
        """The block takes what is in the mempool of its node."""
        block_hash = super().new_hash(height, member)
        chain = self.members[member].chain
        if height == len(chain) and member not in self.hides:
            outpoints = self.papers.state(chain).outpoint
            found = {p.asset: p for p in self._mempools[member].values() if p.outpoint == outpoints[p.asset]}
            self.papers.papers[block_hash] = tuple(found.values())
        return block_hash

    def check_agreement(self) -> None:
        """And what all chains say of assets must be right."""
        super().check_agreement()
        for member in self.members:
            self.assets(member)

    def forget(self, index: int) -> None:
        """A node loses its mempool."""
        self._mempools[index].clear()

    @property
    def reissuances(self) -> int:
        """How many there are in the longest chain."""
        return len(self.papers.state(max((m.chain for m in self.members), key=len)).done)

    @property
    def next_due_height(self) -> int:
        """The first due height that no node has reached."""
        period = self.inflation.period
        return max(member.height for member in self.members) // period * period + period

    def lacking(self, members: list[Member], due_height: int) -> str:
        """Which assets have not been reissued since a due height in some of these members' chains."""
        lacking = (
            f"asset {asset[:8]} at member {member.index}"
            for member in members
            for asset in self.assets(member).supply
            if not self.assets(member).is_reissued_after(asset, due_height)
        )
        return ", ".join(lacking)

    def misinform(self, index: int) -> None:
        """A member's node tells other supplies from now on."""
        self.misinformed.add(index)
        self.once_misinformed.add(index)

    # --- what members order

    def run(self, member: Member, effect: Effect) -> None:
        """Reissue orders are answered here."""
        if isinstance(effect, Broadcast) and isinstance(effect.message, ReissueSignature):
            self._check_locked(member, effect.message)
        if isinstance(effect, Report) and effect.code in ACCUSATIONS:
            self._check_accusation(member, effect)
        if isinstance(effect, ReissueOrder):
            self.answer(member, self._answer(member, effect), 1 + member.node_ms)
        else:
            super().run(member, effect)

    def _check_locked(self, member: Member, message: ReissueSignature) -> None:
        held = [d.draft_id for d in _store(member).drafts(message.height) if d.asset == message.asset]
        if held != [message.draft_id]:
            raise Violation(
                "unlocked-draft", f"member {member.index} signs {message.draft_id}, {held} is on its disk"
            )

    def _check_accusation(self, member: Member, report: Report) -> None:
        at_fault = self.watch.liars | self.once_misinformed
        if report.member not in at_fault and member.index not in at_fault:
            raise Violation("false-accusation", f"by member {member.index}: {report}")

    def _answer(self, member: Member, order: ReissueOrder) -> ReissueEvent:
        match order:
            case PlanReissuance(due_height):
                return self._plan(member, due_height)
            case MakeDraft(due_height, asset):
                return self._make(member, due_height, asset)
            case JudgeDraft(due_height, asset, draft_id, sender, draft):
                return self._judge(member, DraftJudged(due_height, asset, draft_id, sender, "valid"), draft)
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
        try:
            locked = {draft.asset: draft for draft in _store(member).drafts(due_height)}
            knows = _store(member).knows_period(due_height)
        except GuardError as error:
            return ReissuePlanned(due_height, None, str(error))
        now = self.assets(member)
        items = (
            ReissueItem(
                asset,
                self.paper(member, due_height, asset).amount,
                now.is_reissued_after(asset, due_height),
                locked.get(asset),
                "" if knows else "guard-new",
            )
            for asset in sorted(now.supply)
        )
        return ReissuePlanned(due_height, tuple(items))

    def paper(self, member: Member, due_height: int, asset: str) -> Paper:
        """The draft that a member makes, by what its node tells."""
        then = self.papers.state(member.chain[: due_height + 1])
        supply = then.supply[asset] // (2 if member.index in self.misinformed else 1)
        return Paper(asset, due_height, amount_due(self.inflation, due_height, supply), then.outpoint[asset])

    def _make(self, member: Member, due_height: int, asset: str) -> DraftMade:
        if member.node_down or member.height < due_height:
            return DraftMade(due_height, asset, None, "the node is away")
        paper = self.paper(member, due_height, asset)
        locked = DraftLocked(asset, due_height, paper.id, paper.locked_outpoint, paper.data)
        return DraftMade(due_height, asset, locked)

    def _judge(self, member: Member, judged: DraftJudged, draft: bytes) -> DraftJudged:
        if member.node_down or member.height < judged.due_height:
            return msgspec.structs.replace(judged, verdict="unavailable", reason="the node is away")
        ours = self.paper(member, judged.due_height, judged.asset)
        if (draft, judged.draft_id) != (ours.data, ours.id):
            return msgspec.structs.replace(judged, verdict="invalid", reason="another-draft")
        return msgspec.structs.replace(judged, outpoint=ours.locked_outpoint)

    def _sign(self, member: Member, order: SignDraft) -> DraftSigned:
        place = order.due_height, order.asset, order.draft_id
        if hashlib.sha256(order.draft).hexdigest() != order.draft_id:
            raise Violation("misnamed-draft", f"member {member.index} signs something else as {order.draft_id}")
        if member.signer_down:
            return DraftSigned(*place, None, "no token")
        try:
            signatures = _store(member).sign_draft(*place)
        except GuardError as error:
            member.check_refusal(error)
            return DraftSigned(*place, None, str(error))
        given = self._signed.setdefault((member.index, order.asset, order.due_height), (order.draft_id, signatures))
        if given[0] != order.draft_id:
            raise Violation("two-drafts-signed", f"member {member.index}: {given[0]} and {order.draft_id}")
        return DraftSigned(*place, given[1])

    def _combine(self, order: CombineDraft) -> DraftCombined:
        place = order.due_height, order.asset, order.draft_id
        bad = tuple(member for member, given in order.signatures if not self._is_signature(member, order, given))
        if bad:
            return DraftCombined(*place, None, bad)
        if len(order.signatures) < self.quorum.threshold:
            raise Violation("bad-combination", f"{order.draft_id}: {len(order.signatures)} signatures")
        return DraftCombined(*place, order.draft)

    def _is_signature(self, member: int, order: CombineDraft, given: tuple[bytes, ...]) -> bool:
        if member in self.watch.liars:
            return given == (signature_word(member, order.draft_id),)
        return self._signed.get((member, order.asset, order.due_height)) == (order.draft_id, given)

    def _send(self, member: Member, sent: ReissuanceSent, transaction: bytes) -> ReissuanceSent:
        if member.node_down:
            return msgspec.structs.replace(sent, outcome="unavailable")
        paper = msgspec.msgpack.decode(transaction, type=Paper)
        outcome = "accepted" if self._take(member.index, paper) else "duplicate"
        for other in self.members:
            late_ms = self.random.randint(1, MEMPOOL_MS)
            self.at(late_ms, lambda index=other.index: self._take(index, paper))  # type: ignore[misc]
        return msgspec.structs.replace(sent, outcome=outcome)

    def _take(self, index: int, paper: Paper) -> bool:
        """A node's mempool takes a paper whose token is unspent."""
        member, pool = self.members[index], self._mempools[index]
        if member.node_down or self.assets(member).outpoint[paper.asset] != paper.outpoint:
            return False
        if any(other.outpoint == paper.outpoint for other in pool.values()):
            return False
        pool[paper.id] = paper
        return True

    def _check(self, member: Member, due_height: int, asset: str) -> ReissuanceSeen:
        if member.node_down:
            return ReissuanceSeen(due_height, asset, "unknown")
        state = self.assets(member)
        if state.is_reissued_after(asset, due_height):
            return ReissuanceSeen(due_height, asset, "confirmed")
        pool, outpoint = self._mempools[member.index].values(), state.outpoint[asset]
        pending = any(paper.outpoint == outpoint for paper in pool)
        return ReissuanceSeen(due_height, asset, "pending" if pending else "absent")


def _store(member: Member) -> ReissueStore:
    return cast("ReissueStore", member.store)
