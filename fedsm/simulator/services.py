"""A member's node and signer: the simplest honest ones, with the ways to fail that a member's attributes name.

A node knows its chain and accepts what is valid; a block's body is the text of its hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signers.guard_codes import GuardError
from states.effects import CombineBlock, RequestBlock, SignDigest, SubmitBlock, ValidateBlock
from states.events import (
    BlockBuilt,
    BlockCombined,
    BlockJudged,
    BlockSubmitted,
    DigestSigned,
    Event,
    Outcome,
    Verdict,
)

if TYPE_CHECKING:
    from fedsm.simulator.cluster import Cluster
    from fedsm.simulator.member import Member

Order = RequestBlock | ValidateBlock | SignDigest | CombineBlock | SubmitBlock


def answer_of(cluster: Cluster, member: Member, order: Order) -> Event:
    """What node or signer say to an order of the machines, and do about it."""
    match order:
        case RequestBlock():
            return _build(cluster, member, order)
        case ValidateBlock():
            return _judge(cluster, member, order)
        case SignDigest():
            return _sign(cluster, member, order)
        case CombineBlock(height, block_hash, block, signatures):
            cluster.watch.combined(height, block_hash, signatures)
            return BlockCombined(height, block_hash, block)
        case SubmitBlock(height, block_hash):
            outcome = _submit(cluster, member, order)
            member.submissions.append((height, outcome))
            return BlockSubmitted(height, block_hash, outcome, "why")


def body_of(block_hash: str) -> bytes:
    """The body that belongs to a block's hash."""
    return block_hash.encode()


def _build(cluster: Cluster, member: Member, order: RequestBlock) -> BlockBuilt:
    if member.node_down or order.parent != member.chain[-1]:
        return BlockBuilt(order.height, order.round, None, None, "no block")
    block_hash = cluster.new_hash(order.height, member.index)
    return BlockBuilt(order.height, order.round, block_hash, body_of(block_hash))


def _judge(cluster: Cluster, member: Member, order: ValidateBlock) -> BlockJudged:
    is_refused = member.rejects_all or order.block_hash in member.rejects
    is_bad = is_refused or order.height != len(member.chain) or order.block != body_of(order.block_hash)
    verdict: Verdict = "unavailable" if member.node_down else "invalid" if is_bad else "valid"
    judged = BlockJudged(order.height, order.block_hash, order.timely, verdict, "why")
    cluster.watch.judged(member.index, judged)
    return judged


def _sign(cluster: Cluster, member: Member, order: SignDigest) -> DigestSigned:
    if member.signer_down:
        return DigestSigned(order.height, order.block_hash, None, "unavailable: no token")
    try:
        signature = member.store.sign(order.height, order.block_hash, order.block)
    except GuardError as error:
        member.check_refusal(error)
        return DigestSigned(order.height, order.block_hash, None, str(error))
    cluster.watch.signed(member.index, order.height, order.block_hash, signature)
    return DigestSigned(order.height, order.block_hash, signature)


def _submit(cluster: Cluster, member: Member, order: SubmitBlock) -> Outcome:
    if member.node_down:
        return "unavailable"
    if member.refuses_submission or order.block != body_of(order.block_hash) or order.height > len(member.chain):
        return "rejected"
    if order.height < len(member.chain):
        return "duplicate" if member.chain[order.height] == order.block_hash else "fork"
    if cluster.first_block_time is None:
        cluster.first_block_time = cluster.now_ms // 1000
    member.chain.append(order.block_hash)
    cluster.at(1, member.tell_tip)
    return "accepted"
