"""Faults put into the machines, guard and host on purpose: the simulator must find each of them.

A mutant takes away one rule. ``put`` changes it for the time of a test; ``codes`` are the violations by which it
may be found, ``plan`` the runs in which it is looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from fedsm.simulator.cluster import Cluster
from fedsm.simulator.disk import Disk, _Guard
from fedsm.simulator.member import Member
from fedsm.simulator.opener import Opener
from fedsm.simulator.papers import Paper
from fedsm.simulator.plan import Plan, faults_of
from fedsm.simulator.reissue import ReissueCluster
from fedsm.simulator.wire import signature_word
from states.agreement import Agreement
from states.agreement_view import AgreementView
from states.closing import Signatures
from states.effects import Broadcast, Effect, Persist, SetTimer, SignDigest
from states.events import DraftJudged, Received, Verdict
from states.memory import BlockDecided, DraftLocked
from states.messages import Precommit, Prevote, Proposal
from states.quorum import Quorum, Tally
from states.reissuance import Candidate, Reissuance
from states.round import Round, Settings

Patch = pytest.MonkeyPatch
THREE_OF_FIVE, FOUR_VOTES, THREE_OF_FOUR = Quorum(5, 3, 3), Quorum(5, 3, 4), Quorum(4, 3, 3)


@dataclass(frozen=True)
class Mutant:
    put: Callable[[Patch], None]
    codes: frozenset[str]
    plan: Plan

    @property
    def name(self) -> str:
        return self.put.__name__


MUTANTS: list[Mutant] = []


def mutant(
    *codes: str,
    quorum: Quorum = THREE_OF_FIVE,
    faults: str = "all",
    hostile: int | None = None,
    assets: int = 0,
) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Adds the function to the list."""

    def add(put: Callable[[Patch], None]) -> Callable[[Patch], None]:
        plan = Plan(quorum, 1, 1000, faults_of(faults), hostile, assets)
        MUTANTS.append(Mutant(put, frozenset(codes), plan))
        return put

    return add


def after(patch: Patch, owner: type, name: str, then: Callable[[Any], None]) -> None:
    """Do something more at the end of a method."""
    original = getattr(owner, name)

    def method(self: Any, *arguments: Any) -> Any:
        result = original(self, *arguments)
        then(self)
        return result

    patch.setattr(owner, name, method)


def rewrite_effects(patch: Patch, rewrite: Callable[[list[Effect]], list[Effect]]) -> None:
    """Have the machines order other effects."""
    original = Round.step
    patch.setattr(Round, "step", lambda self, event: rewrite(original(self, event)))


# --- what is written down


@mutant("unrecorded-vote")
def skips_the_persist(patch: Patch) -> None:
    rewrite_effects(patch, lambda effects: [e for e in effects if not isinstance(e, Persist)])


@mutant("unrecorded-vote")
def sends_before_it_writes(patch: Patch) -> None:
    rewrite_effects(patch, lambda effects: sorted(effects, key=lambda e: isinstance(e, Persist)))


@mutant("unrecorded-vote", "unlocked-precommit", "undecided-signature", faults="full-disk,crash")
def goes_on_when_it_could_not_write(patch: Patch) -> None:
    def carry_out_next(self: Member, effects: Any) -> bool:
        effect = effects.popleft()
        if not (isinstance(effect, Persist) and self.disk_full):
            self.carry_out(effect)
        return not self.is_down()

    patch.setattr(Member, "_carry_out_next", carry_out_next)


@mutant("guard-refuses", faults="crash,power,loss")
def forgets_its_votes_on_restart(patch: Patch) -> None:
    after(patch, Agreement, "reset", lambda self: self.cast.clear())


@mutant("vote-against-lock", quorum=THREE_OF_FOUR, hostile=1, faults="crash,power")
def forgets_its_lock_on_restart(patch: Patch) -> None:
    def forget(self: Agreement) -> None:
        self.lock = None

    after(patch, Agreement, "reset", forget)


def sign_what_is_locked(self: Agreement) -> None:
    if self.lock is not None:
        self._emit(SignDigest(self.height, self.lock.block_hash, self.lock.block))


@mutant("guard-refuses")
def signs_without_a_certificate(patch: Patch) -> None:
    after(patch, Agreement, "lock_and_precommit", sign_what_is_locked)


@mutant("undecided-signature")
def signs_without_a_certificate_and_no_guard_refuses(patch: Patch) -> None:
    after(patch, Agreement, "lock_and_precommit", sign_what_is_locked)
    patch.setattr(Disk, "sign", lambda disk, _height, hash_, _block: signature_word(disk.signer.member, hash_))


# --- what is believed


@mutant("false-signature", quorum=THREE_OF_FOUR, hostile=1, faults="delay,signer")
def accepts_an_unverified_signature(patch: Patch) -> None:
    patch.setattr(Opener, "is_block_signature", lambda *_: True)


@mutant("bad-proof", "false-accusation", quorum=THREE_OF_FOUR, hostile=1, faults="none")
def accepts_a_vote_in_anothers_name(patch: Patch) -> None:
    patch.setattr(Opener, "is_authentic", lambda *_: True)


@mutant("bad-proof", "false-accusation", quorum=THREE_OF_FOUR, hostile=1, faults="none")
def believes_a_proof_without_votes(patch: Patch) -> None:
    patch.setattr(Opener, "is_proven", lambda *_: True)


@mutant("false-signature", faults="signer")
def sends_what_its_signer_gives_without_a_look(patch: Patch) -> None:
    patch.setattr(_Guard, "_verifies", lambda *_: True)


# --- what is counted


@mutant("bad-proof", "two-decisions", "unlocked-precommit", faults="duplicate,loss")
def counts_a_vote_twice(patch: Patch) -> None:
    original = Tally.add

    def add(self: Tally, member: int, block_hash: str | None, envelope: bytes) -> bytes | None:
        if member in self.votes and self.votes[member][0] == block_hash:
            self._counts[block_hash] += 1
        return original(self, member, block_hash, envelope)

    patch.setattr(Tally, "add", add)


@mutant("bad-proof", "two-decisions", quorum=FOUR_VOTES)
def takes_m_votes_for_a_quorum(patch: Patch) -> None:
    original = Cluster.settings

    def settings(self: Cluster, index: int) -> Settings:
        right = original(self, index)
        few = Quorum(right.quorum.members, right.quorum.threshold, right.quorum.threshold)
        return msgspec.structs.replace(right, quorum=few)

    patch.setattr(Cluster, "settings", settings)


@mutant("bad-combination")
def combines_too_few_signatures(patch: Patch) -> None:
    original = Signatures.first
    patch.setattr(Signatures, "first", lambda self, block_hash, count: original(self, block_hash, count - 1))


# --- what is voted for


@mutant("unjudged-block", "unlocked-precommit")
def votes_before_its_node_has_judged(patch: Patch) -> None:
    patch.setattr(AgreementView, "_verdict", lambda *_, **__: "valid")


@mutant("unproposed-block", "false-accusation", quorum=FOUR_VOTES, hostile=1, faults="none")
def accepts_a_proposal_from_the_wrong_member(patch: Patch) -> None:
    original = Agreement.record_proposal

    def record(self: Agreement) -> None:
        event = self._event
        if isinstance(event, Received) and isinstance(event.message, Proposal):
            proposer = self.quorum.proposer(event.message.height, event.message.round)
            self._event = msgspec.structs.replace(event, sender=proposer)
        original(self)

    patch.setattr(Agreement, "record_proposal", record)


@mutant("vote-against-lock", quorum=THREE_OF_FOUR, hostile=1, faults="none")
def drops_the_valid_round_rule(patch: Patch) -> None:
    def is_acceptable(self: AgreementView) -> bool:
        proposal = self._proposal()
        if proposal is None or self._verdict_on(proposal) != "valid":
            return False
        return self.lock is None or self.lock.block_hash == proposal.block_hash or proposal.lock_proof is not None

    patch.setattr(AgreementView, "proposal_is_acceptable", is_acceptable)


@mutant("vote-against-lock", quorum=THREE_OF_FOUR, hostile=1, faults="loss,reorder,delay")
def prevotes_without_a_look_at_its_lock(patch: Patch) -> None:
    def is_acceptable(self: AgreementView) -> bool:
        proposal = self._proposal()
        return proposal is not None and self._verdict_on(proposal) == "valid"

    patch.setattr(AgreementView, "proposal_is_acceptable", is_acceptable)


@mutant("unlocked-precommit", "guard-refuses")
def precommits_without_taking_the_lock(patch: Patch) -> None:
    def emit_without_lock(effects: list[Effect]) -> list[Effect]:
        return [
            Persist(tuple(r for r in e.records if type(r).__name__ != "LockTaken")) if isinstance(e, Persist) else e
            for e in effects
        ]

    rewrite_effects(patch, emit_without_lock)


@mutant("two-decisions", "guard-refuses", "unjudged-block", "bad-proof")
def decides_what_is_merely_locked(patch: Patch) -> None:
    def decide(self: Agreement) -> None:
        if self.lock is not None:
            self._emit(
                Persist((BlockDecided(self.height, self.lock.block_hash, self.lock.block, self.lock.proof),))
            )

    after(patch, Agreement, "lock_and_precommit", decide)


@mutant("two-votes", "guard-refuses", "unrecorded-vote")
def votes_for_a_block_after_nil(patch: Patch) -> None:
    original = Round.step

    def step(self: Round, event: Any) -> list[Effect]:
        effects = original(self, event)
        for effect in list(effects):
            said = effect.message if isinstance(effect, Broadcast) else None
            known = next(iter(self.agreement.ballots.blocks), None)
            if isinstance(said, Prevote | Precommit) and said.block_hash is None and known is not None:
                effects.append(Broadcast(msgspec.structs.replace(said, block_hash=known)))
        return effects

    patch.setattr(Round, "step", step)


# --- what must go on


@mutant("standstill")
def waits_for_a_proposal_for_ever(patch: Patch) -> None:
    rewrite_effects(
        patch, lambda effects: [e for e in effects if not (isinstance(e, SetTimer) and e.timer == "propose")]
    )


@mutant("standstill", faults="loss,reorder,partition")
def never_says_a_vote_again(patch: Patch) -> None:
    patch.setattr(Agreement, "resend", lambda _self: None)


@mutant("standstill", faults="crash,power,partition,loss,node")
def never_joins_a_later_round(patch: Patch) -> None:
    patch.setattr(AgreementView, "others_are_ahead", lambda _self: False)
    patch.setattr(AgreementView, "round_is_deserted", lambda _self: False)
    patch.setattr(AgreementView, "busy_round", lambda _self: None)


# --- reissuances


@mutant("unlocked-draft", faults="none", assets=1)
def locks_no_draft(patch: Patch) -> None:
    """And the guard signs whatever it is asked to."""

    def sign_draft(*arguments: Any) -> tuple[bytes, ...]:
        return tuple(arguments[-1].sign_block(digest, b"") for digest in arguments[-2])

    def is_lock(effect: Effect) -> bool:
        return isinstance(effect, Persist) and isinstance(effect.records[0], DraftLocked)

    patch.setattr("signers.key_memory.KeyMemory.sign_draft", sign_draft)
    rewrite_effects(patch, lambda effects: [effect for effect in effects if not is_lock(effect)])


@mutant("wrong-reissuance", "false-accusation", quorum=FOUR_VOTES, faults="none", hostile=1, assets=1)
def does_not_judge_amounts(patch: Patch) -> None:
    def judge(self: ReissueCluster, member: Member, judged: DraftJudged, draft: bytes) -> DraftJudged:
        ours = self.paper(member, judged.due_height, judged.asset)
        found = msgspec.msgpack.decode(draft, type=Paper) if draft != b"garbage" else None
        right = found is not None and msgspec.structs.replace(found, amount=ours.amount) == ours
        verdict: Verdict = "valid" if right and found and found.id == judged.draft_id else "invalid"
        return msgspec.structs.replace(judged, verdict=verdict, outpoint=ours.locked_outpoint)

    patch.setattr(ReissueCluster, "_judge", judge)


@mutant("misnamed-draft", "false-accusation", quorum=FOUR_VOTES, faults="none", hostile=1, assets=1)
def believes_the_name_of_a_draft(patch: Patch) -> None:
    patch.setattr(Candidate, "content", property(lambda self: (self.draft_id, b"")))


@mutant("reissuance-missed", faults="none", assets=1)
def makes_no_draft(patch: Patch) -> None:
    patch.setattr(Reissuance, "next_turn_is_ours", lambda _: False)
    patch.setattr(Reissuance, "turn_is_ours", lambda _: False)
