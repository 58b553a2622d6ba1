"""Members that say whatever can be said with their own keys, to whomever they like, and know all that is said.

Their machines do not run. They forge too: votes of others, signatures, proofs.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from fedsm.simulator.services import body_of
from fedsm.simulator.wire import seal, signature_word
from states.messages import (
    BlockRequest,
    BlockSignature,
    Heartbeat,
    IdentityCertificate,
    Message,
    Precommit,
    Prevote,
    Proposal,
    QuorumProof,
)

if TYPE_CHECKING:
    from fedsm.simulator.cluster import Cluster
    from fedsm.simulator.member import Member
    from states.agreement import Agreement

HEARTBEAT_CERTIFICATE = IdentityCertificate(0, bytes(32), 1, bytes(64))


class Voice:
    """Speaks as a hostile member."""

    def __init__(self, cluster: Cluster, index: int) -> None:
        self.cluster, self.index = cluster, index
        self._copies = itertools.count(1)
        self.said = 0
        cluster.members[index].crash()

    def send(self, message: Message, receivers: Collection[Member] | None = None) -> None:
        """Say something to some, or to all."""
        self.cluster.watch.lied(self.index, message)
        self._post(seal(self.index, message, next(self._copies)), receivers)

    def forge(self, sender: int, message: Message) -> None:
        """Say something in another member's name."""
        self._post(self.forgery(sender, message), None)

    def forgery(self, sender: int, message: Message) -> bytes:
        """An envelope in another member's name."""
        return seal(sender, message, next(self._copies), forger=self.index)

    def _post(self, envelope: bytes, receivers: Collection[Member] | None) -> None:
        self.said += 1
        for receiver in self.cluster.members if receivers is None else receivers:
            self.cluster.deliver_to(receiver, envelope, self.index)


class Liar(Voice):
    """Lies at random, in the ways that were drawn for it."""

    def __init__(self, cluster: Cluster, index: int, draw: random.Random) -> None:
        super().__init__(cluster, index)
        self.draw = draw
        lies: list[Callable[[Agreement], None]] = [
            self.propose_two_blocks,
            self.propose_spoiled_copies,
            self.propose_out_of_turn,
            self.propose_again,
            self.vote_two_ways,
            self.vote_two_ways,
            self.vote_for_all,
            self.flood_rounds,
            self.flood_heights,
            self.sign,
            self.sign_falsely,
            self.forge_votes,
            self.forge_proof,
            self.request_blocks,
            self.beat,
        ]
        self.lies = [lie for lie in lies if draw.random() < 0.7] or lies

    def lie(self) -> None:
        """One lie, about what some honest member works on."""
        honest = [m for m in self.cluster.members if m.alive and m.round.height > 0]
        if honest:
            self.draw.choice(self.lies)(self.draw.choice(honest).round.agreement)

    def halves(self) -> tuple[list[Member], list[Member]]:
        """All members, on two sides."""
        members = self.draw.sample(self.cluster.members, len(self.cluster.members))
        cut = self.draw.randint(1, max(1, len(members) - 1))
        return members[:cut], members[cut:]

    def our_round(self, at: Agreement) -> int:
        """A round near theirs in which it is the liar's turn to propose."""
        n = self.cluster.quorum.members
        return at.round + (self.index - at.height - at.round) % n

    def some_hash(self, at: Agreement) -> str | None:
        """A block that was proposed, nil, or one that nobody knows."""
        known = [*at.ballots.blocks, None, self.new_hash(at.height)]
        return self.draw.choice(known)

    def new_hash(self, height: int) -> str:
        """A block of the liar's own."""
        return self.cluster.new_hash(height, self.index)

    # --- lies

    def propose_two_blocks(self, at: Agreement) -> None:
        """One to each side."""
        for half in self.halves():
            block_hash = self.new_hash(at.height)
            self.send(Proposal(at.height, self.our_round(at), block_hash, body_of(block_hash)), half)

    def propose_spoiled_copies(self, at: Agreement) -> None:
        """One header, two bodies."""
        block_hash, (good, bad) = self.new_hash(at.height), self.halves()
        body = body_of(block_hash)
        self.send(Proposal(at.height, self.our_round(at), block_hash, body), good)
        self.send(Proposal(at.height, self.our_round(at), block_hash, body + b"spoiled"), bad)

    def propose_out_of_turn(self, at: Agreement) -> None:
        """In the very round of the others, if it is not the liar's."""
        round_ = at.round if self.our_round(at) != at.round else at.round + 1
        block_hash = self.new_hash(at.height)
        self.send(Proposal(at.height, round_, block_hash, body_of(block_hash)))

    def propose_again(self, at: Agreement) -> None:
        """A locked block with its proof, in or out of turn, perhaps spoiled."""
        if at.lock is not None:
            body = at.lock.block + self.draw.choice((b"", b"spoiled"))
            round_ = max(self.our_round(at) + self.draw.randint(0, 1), at.lock.proof.round + 1)
            self.send(Proposal(at.height, round_, at.lock.block_hash, body, at.lock.proof))

    def vote_two_ways(self, at: Agreement) -> None:
        """In a round near theirs."""
        kind = self.draw.choice((Prevote, Precommit))
        round_ = max(0, at.round + self.draw.randint(-1, 1))
        for half in self.halves():
            self.send(kind(at.height, round_, self.some_hash(at)), half)

    def vote_for_all(self, at: Agreement) -> None:
        """Whatever block there is."""
        for block_hash in at.ballots.blocks:
            self.send(Prevote(at.height, at.round, block_hash))
            self.send(Precommit(at.height, at.round, block_hash))

    def flood_rounds(self, at: Agreement) -> None:
        """Proposals and votes for many rounds, up to the last that can be named."""
        start = self.draw.choice((0, at.round, at.round + 2, 1000, 9_999_000))
        for round_ in range(start, start + 12):
            self.send(Prevote(at.height, round_, self.some_hash(at)))
            self.send(Precommit(at.height, round_, self.some_hash(at)))
            block_hash = self.new_hash(at.height)
            self.send(Proposal(at.height, round_, block_hash, body_of(block_hash)))

    def flood_heights(self, at: Agreement) -> None:
        """Proposals and votes for heights to come."""
        for height in range(at.height, at.height + 6):
            block_hash = self.new_hash(height)
            for round_ in range(4):
                self.send(Proposal(height, round_, block_hash, body_of(block_hash)))
                self.send(Prevote(height, round_, block_hash))

    def sign(self, at: Agreement) -> None:
        """The decided block, for some."""
        if at.decision is not None:
            certificate = at.decision.certificate
            signature = signature_word(self.index, certificate.block_hash)
            self.send(
                BlockSignature(at.height, certificate.round, certificate.block_hash, signature, certificate),
                self.halves()[0],
            )

    def sign_falsely(self, at: Agreement) -> None:
        """The decided block, with what is no signature."""
        if at.decision is not None:
            certificate = at.decision.certificate
            self.send(BlockSignature(at.height, certificate.round, certificate.block_hash, b"false", certificate))

    def forge_votes(self, at: Agreement) -> None:
        """Votes of others, for any block."""
        kind, block_hash = self.draw.choice((Prevote, Precommit)), self.some_hash(at)
        for member in range(self.cluster.quorum.members):
            if member != self.index:
                self.forge(member, kind(at.height, at.round, block_hash))

    def forge_proof(self, at: Agreement) -> None:
        """A lock or a decision of a block of ours that nobody voted for."""
        block_hash, voters = self.new_hash(at.height), tuple(range(self.cluster.quorum.votes))
        body, round_ = body_of(block_hash), self.our_round(at)
        if round_ > 0:
            prevotes = tuple(self.forgery(n, Prevote(at.height, round_ - 1, block_hash)) for n in voters)
            lock = QuorumProof("prevote", at.height, round_ - 1, block_hash, voters, prevotes)
            self.send(Proposal(at.height, round_, block_hash, body, lock))
        precommits = tuple(self.forgery(n, Precommit(at.height, at.round, block_hash)) for n in voters)
        certificate = QuorumProof("precommit", at.height, at.round, block_hash, voters, precommits)
        signature = signature_word(self.index, block_hash)
        self.send(BlockSignature(at.height, at.round, block_hash, signature, certificate))

    def request_blocks(self, at: Agreement) -> None:
        """Every block of every member, and one that there is not."""
        for block_hash in [*at.ballots.blocks, self.cluster.new_hash(at.height, 0)]:
            for holder in range(self.cluster.quorum.members):
                self.send(BlockRequest(at.height, at.round, block_hash, holder))

    def beat(self, at: Agreement) -> None:
        """Somewhere, remembering something or nothing."""
        self.send(
            Heartbeat(
                height=at.height - self.draw.randint(0, 1),
                round=at.round,
                version="0",
                tip="0" * 64,
                state="Idle",
                time_ms=0,
                fresh=self.draw.random() < 0.5,
                serials=(),
                certificate=HEARTBEAT_CERTIFICATE,
            )
        )
