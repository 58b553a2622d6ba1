"""New blocks, made the way getnewblockhex makes them: same choice, same order, same bytes."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.header import NULL_ENTRY, BlockHeader, DynafedEntry, display_hash
from fedsm.chains.transaction import Transaction, explicit_value, parse_transaction
from fedsm.devnet import encoding, rules
from fedsm.devnet.block import COMMITMENT_PREFIX, ParsedBlock, merkle_root, witness_commitment
from fedsm.devnet.dynafed import current_parameters
from fedsm.devnet.policy import RELAY_FEE_RATE, fee_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.devnet.chainstate import ChainState
    from fedsm.devnet.mempool import Mempool, MempoolEntry
    from fedsm.devnet.params import ChainParams

OP_TRUE, OP_RETURN = b"\x51", b"\x6a"
FINAL = 0xFFFF_FFFF
RESERVED_WEIGHT = 8000  # kept free for the header, the transaction count and the coinbase


@dataclass(frozen=True)
class Template:
    """An unsigned block and its weight as the node estimates it (getmininginfo's currentblockweight)."""

    block: ParsedBlock
    weight: int


def new_block(
    chain: ChainState,
    mempool: Mempool,
    now: float,
    *,
    min_tx_age: int = 0,
    proposed: DynafedEntry = NULL_ENTRY,
    commitments: Sequence[bytes] = (),
) -> Template:
    """An unsigned block on top of the tip. Raises Rejection when its header would be invalid.

    ``min_tx_age`` in seconds keeps younger transactions out; ``proposed`` goes into a dynafed header;
    ``commitments`` are data that the coinbase carries in outputs of their own.
    """
    draft = _header(chain, now, proposed)
    weight = RESERVED_WEIGHT + _proof_weight(draft, chain.params)
    entries = choose(
        mempool, chain, rules.MOST_BLOCK_WEIGHT - weight, oldest=now - min_tx_age if min_tx_age else None
    )
    chosen = [entry.transaction for entry in entries]
    transactions = (_coinbase(chain, chosen, commitments), *chosen)
    root, _ = merkle_root([transaction.txid for transaction in transactions])
    header = replace(draft, merkle_root=display_hash(root))
    chain.rules.check_header(header, chain.tip, now)
    return Template(ParsedBlock(header, transactions), weight + sum(transaction.weight for transaction in chosen))


def choose(mempool: Mempool, chain: ChainState, left: int, *, oldest: float | None = None) -> list[MempoolEntry]:
    """The waiting transactions that go into a block, in block order: best fee rate with ancestors first.

    ``left`` is the weight they may have; those that came after ``oldest`` (seconds) are passed over.
    """
    chosen: dict[MempoolEntry, None] = {}
    heap = [(_rank(entry, chosen), entry.txid, entry) for entry in mempool.entries.values()]
    heapq.heapify(heap)
    while heap:
        rank, _, entry = heapq.heappop(heap)
        if entry in chosen or rank != _rank(entry, chosen):
            continue  # an ancestor was chosen since: a fresh item is in the heap
        if oldest is not None and entry.time > oldest:
            continue
        package = _missing(entry, chosen)
        size = sum(member.transaction.vsize for member in package)
        if sum(member.fee for member in package) < fee_for(size, RELAY_FEE_RATE):
            break
        if size * 4 >= left or not _all_final(package, chain):
            continue
        left -= sum(member.transaction.weight for member in package)
        chosen.update(dict.fromkeys(package))
        for changed in {kin for member in package for kin in member.descendants()} - chosen.keys():
            heapq.heappush(heap, (_rank(changed, chosen), changed.txid, changed))
    return list(chosen)


def _header(chain: ChainState, now: float, proposed: DynafedEntry) -> BlockHeader:
    """The header on top of the tip, but for the Merkle root."""
    tip, params = chain.tip, chain.params
    header = BlockHeader(
        version=chain.deployments.block_version(tip),
        previous=tip.hash,
        merkle_root="00" * 32,
        time=max(tip.median_time + 1, int(now)),
        height=tip.height + 1 if params.height_in_header else None,
        challenge=tip.header.challenge,
    )
    if not chain.deployments.dynafed_active(tip):
        return header
    current = current_parameters(tip, params)
    return replace(
        header, dynafed=True, height=header.height or 0, challenge=b"", current=current, proposed=proposed
    )


def _proof_weight(header: BlockHeader, params: ChainParams) -> int:
    """Weight that the node keeps free for script, parameters and signatures, which it cannot know yet."""
    if header.dynafed:
        size = len(header.current.serialize()) + len(header.proposed.serialize())
        return size * 4 + header.current.max_block_witness
    return (len(header.challenge) + params.max_block_sig_size) * 4


def _missing(entry: MempoolEntry, chosen: dict[MempoolEntry, None]) -> list[MempoolEntry]:
    """The entry with its ancestors that are not chosen yet, ancestors first."""
    package = [member for member in entry.ancestors() if member not in chosen]
    return sorted(package, key=lambda member: (len(member.ancestors()), member.txid))


def _rank(entry: MempoolEntry, chosen: dict[MempoolEntry, None]) -> float:
    """Negated fee rate: of the transaction or of its package, whichever is lower."""
    own = entry.fee / entry.transaction.vsize
    if not entry.parents:
        return -own
    package = [member for member in entry.ancestors() if member not in chosen]
    size = sum(member.transaction.vsize for member in package)
    return -min(own, sum(member.fee for member in package) / size) if size else -own


def _all_final(package: list[MempoolEntry], chain: ChainState) -> bool:
    height, median = chain.tip.height + 1, chain.tip.median_time
    return all(rules.is_final(member.transaction, height, median) for member in package)


def _coinbase(chain: ChainState, chosen: list[Transaction], commitments: Sequence[bytes]) -> Transaction:
    """Fees (or nothing) to anyone, data commitments before them, the witness commitment last."""
    asset = chain.params.policy_asset
    fees = sum(transaction.fees.get(asset, 0) for transaction in chosen)
    outputs = [(0, OP_RETURN + encoding.push(data)) for data in commitments]
    outputs.append((fees, OP_TRUE if fees else OP_RETURN))
    height = chain.tip.height + 1
    draft = _write_coinbase(height, asset, [*outputs, (0, COMMITMENT_PREFIX + bytes(32))])
    commitment = COMMITMENT_PREFIX + witness_commitment((draft, *chosen))
    return _write_coinbase(height, asset, [*outputs, (0, commitment)])


def _write_coinbase(height: int, asset: bytes, outputs: list[tuple[int, bytes]]) -> Transaction:
    stack = wally.tx_witness_stack_init(1)
    wally.tx_witness_stack_add(stack, bytes(32))
    handle = wally.tx_init(2, 0, 1, len(outputs))
    script_sig = encoding.push_number(height) + b"\x00"
    nothing = (None, None, None, None, None, None, None)
    wally.tx_add_elements_raw_input(handle, bytes(32), FINAL, FINAL, script_sig, stack, *nothing, 0)
    for satoshi, script in outputs:
        wally.tx_add_elements_raw_output(handle, script, asset, explicit_value(satoshi), None, None, None, 0)
    return parse_transaction(bytes(wally.tx_to_bytes(handle, wally.WALLY_TX_FLAG_USE_WITNESS)))
