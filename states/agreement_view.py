"""What a member knows of the height it works on, and the guards of the agreement machine: they only look."""

from __future__ import annotations

import msgspec

from states.ballots import Ballots
from states.machine import TableMachine
from states.memory import BlockDecided, LockTaken, Memory
from states.messages import Proposal, QuorumProof
from states.quorum import Quorum
from states.verdicts import Verdicts

# However short a round is, every member's heartbeat must have had the time to come.
MIN_PATIENCE_MS = 3_000


class Timeouts(msgspec.Struct, frozen=True):
    """How long a step of round 0 may take, in milliseconds; each later round allows half as much again."""

    propose_ms: int
    prevote_ms: int
    precommit_ms: int
    resend_ms: int
    cap_ms: int

    def grown(self, base_ms: int, round_: int) -> int:
        """The time limit of a step in ``round_``: grows by half of ``base_ms`` a round, up to ``cap_ms``."""
        return min(base_ms + base_ms * round_ // 2, max(self.cap_ms, base_ms))


class AgreementView(TableMachine):
    """The memory of the agreement machine. ``cast`` holds our own votes and proposals by kind and round.

    ``lock`` and ``valid`` are Tendermint's lockedValue with lockedRound and validValue with validRound.
    """

    member: int
    quorum: Quorum
    timeouts: Timeouts
    height: int
    round: int
    abstaining: bool
    ballots: Ballots
    verdicts: Verdicts
    cast: dict[tuple[str, int], str | None]
    lock: LockTaken | None
    valid: QuorumProof | None
    decision: BlockDecided | None
    _opening: Memory
    _present: dict[int, int]
    _resends: int
    _copies_tried: int
    _prevote_timer_set: bool
    _precommit_timer_set: bool

    # --- what is known

    def _proposal(self) -> Proposal | None:
        return self.ballots.proposals.get(self.round)

    def _favourite(self) -> str | None:
        """The block with Q prevotes in this round."""
        return self.ballots.tally("prevote", self.round).leader(self.quorum.votes)

    def _certified_hash(self) -> str:
        """The block that a certificate speaks of, or no block's name."""
        certificate = self.ballots.certificate
        return "" if certificate is None else certificate.block_hash

    def _verdict(self, block_hash: str, *, timely: bool = False) -> str | None:
        return self.verdicts.of(block_hash, self.ballots.blocks.get(block_hash), timely=timely)

    def _verdict_on(self, proposal: Proposal) -> str | None:
        """Q votes vouch for the time of a block with a proof-of-lock."""
        return self._verdict(proposal.block_hash, timely=proposal.lock_proof is None)

    def _is_valid(self, block_hash: str) -> bool:
        return block_hash in self.ballots.blocks and self._verdict(block_hash) == "valid"

    def _is_unjudged(self, block_hash: str) -> bool:
        return block_hash in self.ballots.blocks and self._verdict(block_hash) is None

    def busy_round(self) -> int | None:
        """The round that N - Q + 1 others have reached, if it is ours or later and ours has not begun."""
        ahead = self.ballots.round_reached_by(self.quorum.blocking, excluding=self.member)
        return ahead if ahead is not None and ahead >= self.round else None

    # --- guards

    def decision_is_remembered(self) -> bool:
        return self._opening.decision is not None

    def precommit_is_cast(self) -> bool:
        return ("precommit", self.round) in self.cast

    def prevote_is_cast(self) -> bool:
        return ("prevote", self.round) in self.cast

    def may_propose(self) -> bool:
        ours = self.quorum.proposer(self.height, self.round) == self.member
        return ours and not self.abstaining and ("proposal", self.round) not in self.cast

    def has_valid_block(self) -> bool:
        return self.valid is not None

    def certified_block_is_valid(self) -> bool:
        return self._is_valid(self._certified_hash())

    def certified_block_is_unjudged(self) -> bool:
        return self._is_unjudged(self._certified_hash())

    def others_are_ahead(self) -> bool:
        if self.ballots.highest_round <= self.round:
            return False
        ahead = self.busy_round()
        return ahead is not None and ahead > self.round

    def proposal_is_unjudged(self) -> bool:
        proposal = self._proposal()
        return proposal is not None and self._verdict_on(proposal) is None

    def proposal_is_acceptable(self) -> bool:
        proposal = self._proposal()
        if proposal is None or self._verdict_on(proposal) != "valid":
            return False
        lock = self.lock
        return lock is None or lock.block_hash == proposal.block_hash or lock.proof.round <= proposal.valid_round

    def proposal_is_refused(self) -> bool:
        proposal = self._proposal()
        if proposal is None or self._verdict_on(proposal) not in ("valid", "invalid"):
            return False
        return not self.proposal_is_acceptable()

    def prevotes_agree_on_valid_block(self) -> bool:
        favourite = self._favourite()
        return favourite is not None and self._is_valid(favourite)

    def prevotes_agree_on_nil(self) -> bool:
        return self.ballots.tally("prevote", self.round).count(None) >= self.quorum.votes

    def favourite_is_unjudged(self) -> bool:
        favourite = self._favourite()
        return favourite is not None and self._is_unjudged(favourite)

    def favourite_is_newly_valid(self) -> bool:
        known = self.valid is not None and self.valid.round >= self.round
        return not known and self.prevotes_agree_on_valid_block()

    def prevotes_are_split(self) -> bool:
        heard = len(self.ballots.tally("prevote", self.round))
        return not self._prevote_timer_set and heard >= self.quorum.votes

    def precommits_agree_on_nil(self) -> bool:
        return self.ballots.tally("precommit", self.round).count(None) >= self.quorum.votes

    def some_have_not_proposed(self) -> bool:
        """Whether it has not been everybody's turn yet."""
        return self.round < self.quorum.members

    def precommits_are_split(self) -> bool:
        heard = len(self.ballots.tally("precommit", self.round))
        return not self._precommit_timer_set and heard >= self.quorum.votes

    def round_is_deserted(self) -> bool:
        """Whether too few of those who are up can still come to this round: the others are past it for good.

        Who is up, and where, is what heartbeats said for as long as a whole round takes.
        """
        still_to_come = sum(round_ <= self.round for round_ in self._present.values())
        is_short = 1 + still_to_come < self.quorum.votes
        return is_short and still_to_come < len(self._present) and self._waited_in_vain()

    def _waited_in_vain(self) -> bool:
        steps = (self.timeouts.propose_ms, self.timeouts.prevote_ms, self.timeouts.precommit_ms)
        patience_ms = sum(self.timeouts.grown(step_ms, self.round) for step_ms in steps)
        patience_resends = max(patience_ms, MIN_PATIENCE_MS) // self.timeouts.resend_ms + 1
        return self._resends > 0 and self._resends % patience_resends == 0
