"""A member that says whatever can be said with its own key, to whomever it likes; and knows all that is said."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

from fedsm.simulator.cluster import Cluster
from fedsm.simulator.member import Member
from fedsm.simulator.wire import seal
from states.agreement import Agreement
from states.messages import (
    BlockRequest,
    BlockSignature,
    Heartbeat,
    IdentityCertificate,
    Message,
    Precommit,
    Prevote,
    Proposal,
)

HEARTBEAT_CERTIFICATE = IdentityCertificate(0, bytes(32), 1, bytes(64))


class Liar:
    """Speaks as ``index``, whose machines do not run. Proofs it sends are real ones: others would not get in."""

    def __init__(self, cluster: Cluster, index: int, seed: int) -> None:
        self.cluster, self.index = cluster, index
        self.random = random.Random(seed)
        self.copies = itertools.count(1)
        cluster.members[index].crash()
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
            self.request_blocks,
            self.beat,
        ]
        self.lies = [lie for lie in lies if self.random.random() < 0.8]

    def lie(self) -> None:
        """One lie, about what some honest member works on."""
        honest = [m for m in self.cluster.members if m.alive and m.round.height > 0]
        if honest and self.lies:
            self.random.choice(self.lies)(self.random.choice(honest).round.agreement)

    def send(self, message: Message, receivers: list[Member] | None = None) -> None:
        envelope = seal(self.index, message, next(self.copies))
        self.cluster.watch.lied(self.index, message)
        for receiver in self.cluster.members if receivers is None else receivers:
            self.cluster.deliver_to(receiver, envelope)

    def halves(self) -> tuple[list[Member], list[Member]]:
        members = self.random.sample(self.cluster.members, len(self.cluster.members))
        cut = self.random.randint(1, len(members) - 1)
        return members[:cut], members[cut:]

    def our_round(self, at: Agreement) -> int:
        """A round near theirs in which it is the liar's turn to propose."""
        n = self.cluster.quorum.members
        return at.round + (self.index - at.height - at.round) % n

    def some_hash(self, at: Agreement) -> str | None:
        known = [*at.ballots.blocks, None, self.cluster.new_hash(at.height, self.index)]
        return self.random.choice(known)

    # --- lies

    def propose_two_blocks(self, at: Agreement) -> None:
        for half in self.halves():
            block_hash = self.cluster.new_hash(at.height, self.index)
            self.send(Proposal(at.height, self.our_round(at), block_hash, block_hash.encode()), half)

    def propose_spoiled_copies(self, at: Agreement) -> None:
        """One header, two bodies."""
        block_hash = self.cluster.new_hash(at.height, self.index)
        good, bad = self.halves()
        body = block_hash.encode()
        self.send(Proposal(at.height, self.our_round(at), block_hash, body), good)
        self.send(Proposal(at.height, self.our_round(at), block_hash, body + b"spoiled"), bad)

    def propose_out_of_turn(self, at: Agreement) -> None:
        block_hash = self.cluster.new_hash(at.height, self.index)
        self.send(Proposal(at.height, self.our_round(at) + 1, block_hash, block_hash.encode()))

    def propose_again(self, at: Agreement) -> None:
        """A locked block with its proof, in or out of turn, perhaps spoiled."""
        if at.lock is not None:
            body = at.lock.block + self.random.choice((b"", b"spoiled"))
            round_ = max(self.our_round(at) + self.random.randint(0, 1), at.lock.proof.round + 1)
            self.send(Proposal(at.height, round_, at.lock.block_hash, body, at.lock.proof))

    def vote_two_ways(self, at: Agreement) -> None:
        kind = self.random.choice((Prevote, Precommit))
        round_ = max(0, at.round + self.random.randint(-1, 1))
        for half in self.halves():
            self.send(kind(at.height, round_, self.some_hash(at)), half)

    def vote_for_all(self, at: Agreement) -> None:
        for block_hash in at.ballots.blocks:
            self.send(Prevote(at.height, at.round, block_hash))
            self.send(Precommit(at.height, at.round, block_hash))

    def flood_rounds(self, at: Agreement) -> None:
        start = self.random.choice((0, at.round, at.round + 2, 1000, 9_999_000))
        for round_ in range(start, start + 12):
            self.send(Prevote(at.height, round_, self.some_hash(at)))
            self.send(Precommit(at.height, round_, self.some_hash(at)))
            block_hash = self.cluster.new_hash(at.height, self.index)
            self.send(Proposal(at.height, round_, block_hash, block_hash.encode()))

    def flood_heights(self, at: Agreement) -> None:
        for height in range(at.height, at.height + 6):
            block_hash = self.cluster.new_hash(height, self.index)
            for round_ in range(4):
                self.send(Proposal(height, round_, block_hash, block_hash.encode()))
                self.send(Prevote(height, round_, block_hash))

    def sign(self, at: Agreement) -> None:
        if at.decision is not None:
            certificate = at.decision.certificate
            signature = f"{self.index}:{certificate.block_hash}".encode()
            self.send(
                BlockSignature(at.height, certificate.round, certificate.block_hash, signature, certificate),
                self.halves()[0],
            )

    def request_blocks(self, at: Agreement) -> None:
        for block_hash in [*at.ballots.blocks, self.cluster.new_hash(at.height, 0)]:
            for holder in range(self.cluster.quorum.members):
                self.send(BlockRequest(at.height, at.round, block_hash, holder))

    def beat(self, at: Agreement) -> None:
        self.send(
            Heartbeat(
                height=at.height - self.random.randint(0, 1),
                round=at.round,
                version="0",
                tip="0" * 64,
                state="Idle",
                time_ms=0,
                fresh=self.random.random() < 0.5,
                serials=(),
                certificate=HEARTBEAT_CERTIFICATE,
            )
        )
