"""What a member's machines know, for people to read."""

from __future__ import annotations

from collections.abc import Iterator

from fedsm.trace import Standing
from fedsm.trace.words import clock_time, short
from states.messages import QuorumProof, VoteKind
from states.round import Round


def view(core: Round) -> list[str]:
    """The state of the machines in lines of text."""
    agreement, settings = core.agreement, core.settings
    proposer = settings.quorum.proposer(core.height, core.round)
    lines = [
        f"member     {settings.member} of {settings.quorum.members}",
        f"state      {Standing.of(core)}",
        f"tip        {core.tip or 'none yet'}",
        f"slot       {clock_time(core.slot_ms)}",
        f"proposer   member {proposer}{' (we)' if proposer == settings.member else ''}",
    ]
    for round_, proposal in sorted(agreement.ballots.proposals.items()):
        verdict = agreement.verdicts.of(proposal.block_hash, proposal.block, timely=proposal.lock_proof is None)
        lines.append(f"proposal   round {round_}: {proposal.block_hash}, {verdict or 'not judged'}")
    kinds: tuple[VoteKind, ...] = ("prevote", "precommit")
    for kind in kinds:
        votes = agreement.ballots.tally(kind, core.round).votes
        said = [f"{member}: {short(votes[member][0])}" for member in sorted(votes)]
        lines.append(f"{kind + 's':<10} {', '.join(said) or 'none'} (round {core.round})")
    lines += [f"we said    {kind} of round {r}: {short(vote)}" for (kind, r), vote in agreement.cast.items()]
    if agreement.lock is not None:
        lines.append(f"locked on  {agreement.lock.block_hash} since round {agreement.lock.proof.round}")
    lines += _proofs(agreement.valid, agreement.ballots.certificate)
    if agreement.decision is not None:
        enough = "enough signatures" if core.signatures_suffice() else "signatures are missing"
        lines.append(f"decided    {agreement.decision.block_hash}, {enough}")
    if core.reissuances is not None:
        for asset, machine in core.reissuances.machines.items():
            lines.append(f"reissuance {machine.state} of {asset}, due at height {machine.due_height}")
    return lines


def _proofs(valid: QuorumProof | None, certificate: QuorumProof | None) -> Iterator[str]:
    for name, proof in (("valid", valid), ("certified", certificate)):
        if proof is not None:
            voters = " ".join(map(str, proof.voters))
            yield f"{name:<10} {proof.block_hash} in round {proof.round} by members {voters}"
