"""New blocks, made the way Ocean's getnewblockhex makes them: same choice, same order, same bytes."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fedsm.chains.header import BlockHeader, OceanHashes, display_hash
from fedsm.chains.transaction import NULL_OUTPOINT, TxInput, TxOutput, explicit_value
from fedsm.devnet import encoding, rules
from fedsm.devnet.block import COMMITMENT_PREFIX, ParsedBlock, merkle_root, witness_commitment
from fedsm.devnet.ocean.writing import FINAL, with_script_witness, write_transaction
from fedsm.devnet.script_types import multisig_parts

if TYPE_CHECKING:
    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.chainstate import ChainState
    from fedsm.devnet.mempool import Mempool, MempoolEntry
    from fedsm.devnet.ocean.params import OceanParams

OP_TRUE, OP_RETURN = b"\x51", b"\x6a"
RESERVED_WEIGHT = 4000  # kept free for the coinbase
MOST_TEMPLATE_WEIGHT = rules.MOST_BLOCK_WEIGHT - 4000
SIGNATURE_WEIGHT = 74 * 4
ZERO_NONCE = b"\x00"
EXTRA_NONCE = b"\x01\x01"  # nodes count from one for each template


@dataclass(frozen=True)
class OceanTemplate:
    """An unsigned block; ``weight`` and ``size`` are what getmininginfo tells of it."""

    block: ParsedBlock
    weight: int
    size: int


def new_block(
    chain: ChainState, params: OceanParams, mempool: Mempool, now: float, *, min_tx_age: int = 0
) -> OceanTemplate:
    """An unsigned block on the tip, with transactions at least ``min_tx_age`` seconds old. Raises Rejection."""
    tip = chain.tip
    weight = RESERVED_WEIGHT + len(tip.header.challenge) * 4
    parts = multisig_parts(tip.header.challenge)
    weight += parts[0] * SIGNATURE_WEIGHT if parts is not None else 0
    entries = choose(mempool, chain, MOST_TEMPLATE_WEIGHT - weight, oldest=int(now) - min_tx_age)
    chosen = [entry.transaction for entry in entries]
    transactions = (_coinbase(chain, params, chosen), *chosen)
    root, _ = merkle_root([transaction.txid for transaction in transactions])
    header = BlockHeader(
        version=chain.deployments.block_version(tip),
        previous=tip.hash,
        merkle_root=display_hash(root),
        time=max(tip.median_time + 1, int(now)),
        height=tip.height + 1,
        challenge=tip.header.challenge,
        ocean=OceanHashes(params.contract_hash, "00" * 32, params.mapping_hash),
    )
    block = ParsedBlock(header, transactions)
    chain.check_proposal(block, now)
    return OceanTemplate(
        block,
        weight + sum(transaction.weight for transaction in chosen),
        1000 + sum(len(transaction.raw) for transaction in chosen),
    )


def choose(mempool: Mempool, chain: ChainState, left: int, *, oldest: float) -> list[MempoolEntry]:
    """The waiting transactions that go into a block, in block order: best package fee rate first, then lowest txid.

    ``left`` is the weight they may have; those that came after ``oldest`` (seconds) are passed over with all that
    build on them, which is kinder than Ocean, whose search may leave a package half looked at.
    """
    chosen: dict[MempoolEntry, None] = {}
    heap = [(_rank(entry, chosen), entry.txid[::-1], entry) for entry in mempool.entries.values()]
    heapq.heapify(heap)
    while heap:
        rank, _, entry = heapq.heappop(heap)
        if entry in chosen or rank != _rank(entry, chosen):
            continue  # an ancestor was chosen since: a fresh item is in the heap
        package = _missing(entry, chosen)
        if any(member.time > oldest for member in package):
            continue
        weight = sum(member.transaction.weight for member in package)
        if weight >= left or not all(_is_final(member, chain) for member in package):
            continue
        left -= weight
        chosen.update(dict.fromkeys(package))
        for changed in {kin for member in package for kin in member.descendants()} - chosen.keys():
            heapq.heappush(heap, (_rank(changed, chosen), changed.txid[::-1], changed))
    return list(chosen)


def _missing(entry: MempoolEntry, chosen: dict[MempoolEntry, None]) -> list[MempoolEntry]:
    package = [member for member in entry.ancestors() if member not in chosen]
    return sorted(package, key=lambda member: (len(member.ancestors()), member.txid[::-1]))


def _rank(entry: MempoolEntry, chosen: dict[MempoolEntry, None]) -> float:
    """Negated fee rate of the transaction with what it builds on and is not chosen yet."""
    package = [member for member in entry.ancestors() if member not in chosen]
    size = sum(member.transaction.vsize for member in package)
    return -sum(member.fee for member in package) / size if size else 0.0


def _is_final(entry: MempoolEntry, chain: ChainState) -> bool:
    return rules.is_final(entry.transaction, chain.tip.height + 1, chain.tip.median_time)


def _coinbase(chain: ChainState, params: OceanParams, chosen: list[Transaction]) -> Transaction:
    """The fees of each asset to the script that must have them, or nothing; the witness commitment last."""
    fees: dict[bytes, int] = {}
    for transaction in chosen:
        for asset, fee in (transaction.fees or {transaction.outputs[0].asset: 0}).items():
            fees[asset] = fees.get(asset, 0) + fee
    outputs = [
        _fee_output(params, asset, fee) for asset, fee in sorted(fees.items(), key=lambda item: item[0][:0:-1])
    ]
    outputs = outputs or [_fee_output(params, params.policy_asset, 0)]
    number = encoding.push_number(chain.tip.height + 1)
    spending = TxInput(NULL_OUTPOINT, number + EXTRA_NONCE, FINAL, None, is_pegin=False)
    draft_input = TxInput(NULL_OUTPOINT, number + b"\x00", FINAL, None, is_pegin=False)
    place = TxOutput(params.policy_asset, explicit_value(0), ZERO_NONCE, COMMITMENT_PREFIX + bytes(32))
    draft = write_transaction([draft_input], [*outputs, place])
    script = COMMITMENT_PREFIX + witness_commitment((draft, *chosen))
    final = write_transaction([spending], [*outputs, replace(place, script=script)])
    return with_script_witness(final, (bytes(32),))


def _fee_output(params: OceanParams, asset: bytes, fee: int) -> TxOutput:
    if not fee:
        return TxOutput(params.policy_asset, explicit_value(0), ZERO_NONCE, OP_RETURN)
    return TxOutput(asset, explicit_value(fee), ZERO_NONCE, params.mandatory_coinbase or OP_TRUE)
