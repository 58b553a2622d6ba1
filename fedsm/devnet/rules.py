"""Consensus rules for blocks and transactions, in the order in which nodes apply them.

Every function raises Rejection with the node's reason code, or returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.chains.header import internal_hash
from fedsm.chains.transaction import NULL_OUTPOINT
from fedsm.devnet import encoding
from fedsm.devnet.amounts import MOST_MONEY
from fedsm.devnet.block import COMMITMENT_PREFIX, merkle_root, witness_commitment
from fedsm.devnet.dynafed import check_dynafed_header
from fedsm.devnet.proof import has_valid_proof
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from fedsm.chains.header import BlockHeader
    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.block import ParsedBlock
    from fedsm.devnet.deployments import Deployments
    from fedsm.devnet.index import BlockEntry
    from fedsm.devnet.params import ChainParams

MOST_BLOCK_WEIGHT = 4_000_000
FUTURE_LIMIT = 2 * 60 * 60  # seconds that a block's time may be ahead of the node's clock
OLDEST_VERSION = 4  # versions before BIP 65 are refused from the start
LOCKTIME_THRESHOLD = 500_000_000
FINAL = 0xFFFF_FFFF
RESERVED_SIZE = 32  # of the coinbase witness item that goes into the commitment (BIP 141)


def check_proof(header: BlockHeader, params: ChainParams) -> None:
    """The block signature fits the script that the header names."""
    if not has_valid_proof(header, params):
        raise Rejection("block-proof-invalid", "proof of work failed")


def check_header(
    header: BlockHeader, tip: BlockEntry, params: ChainParams, deployments: Deployments, now: float
) -> None:
    """A header on top of ``tip``: challenge, time, height, version, dynafed parameters."""
    dynafed = deployments.dynafed_active(tip)
    if not dynafed and header.challenge != tip.header.challenge:
        raise Rejection("bad-diffbits", "incorrect proof of work")
    if header.time <= tip.median_time:
        raise Rejection("time-too-old", "block's timestamp is too early")
    if params.height_in_header and header.height != tip.height + 1:
        raise Rejection("bad-header-height")
    if header.time > now + FUTURE_LIMIT:
        raise Rejection("time-too-new", "block timestamp too far in the future")
    if header.version < OLDEST_VERSION:
        raise Rejection(f"bad-version(0x{header.version:08x})", f"rejected nVersion=0x{header.version:08x} block")
    if dynafed:
        check_dynafed_header(header, tip, params)


def check_block(block: ParsedBlock) -> None:
    """What a block shows by itself: Merkle root, size, coinbase first, sane transactions."""
    root, doubled = merkle_root([transaction.txid for transaction in block.transactions])
    if root != internal_hash(block.header.merkle_root):
        raise Rejection("bad-txnmrklroot", "hashMerkleRoot mismatch", mutated=True)
    if doubled:
        raise Rejection("bad-txns-duplicate", "duplicate transaction", mutated=True)
    if not block.transactions or block.base_size * 4 > MOST_BLOCK_WEIGHT:
        raise Rejection("bad-blk-length", "size limits failed")
    if not block.transactions[0].is_coinbase:
        raise Rejection("bad-cb-missing", "first tx is not coinbase")
    if any(transaction.is_coinbase for transaction in block.transactions[1:]):
        raise Rejection("bad-cb-multiple", "more than one coinbase")
    for transaction in block.transactions:
        check_transaction(transaction)


def check_contents(block: ParsedBlock, tip: BlockEntry) -> None:
    """What a block must be on top of ``tip``: final transactions, coinbase height, witness commitment."""
    height, median = tip.height + 1, tip.median_time
    if not all(is_final(transaction, height, median) for transaction in block.transactions):
        raise Rejection("bad-txns-nonfinal", "non-final transaction")
    coinbase = block.transactions[0]
    if not coinbase.inputs[0].script_sig.startswith(encoding.push_number(height)):
        raise Rejection("bad-cb-height", "block height mismatch in coinbase")
    witness = coinbase.input_witness[0]
    if witness.amount_proof or witness.token_proof or witness.pegin:
        raise Rejection("bad-cb-witness", "Coinbase has invalid input witness data.", mutated=True)
    _check_commitment(block)
    if block.weight > MOST_BLOCK_WEIGHT:
        raise Rejection("bad-blk-weight", "weight limit failed")


def check_transaction(transaction: Transaction) -> None:
    """What a transaction shows by itself."""
    if not transaction.inputs:
        raise Rejection("bad-txns-vin-empty")
    if not transaction.outputs:
        raise Rejection("bad-txns-vout-empty")
    _check_output_amounts(transaction)
    outpoints = [spending.outpoint for spending in transaction.inputs]
    if len(set(outpoints)) != len(outpoints):
        raise Rejection("bad-txns-inputs-duplicate")
    if transaction.is_coinbase:
        if not 2 <= len(transaction.inputs[0].script_sig) <= 100:
            raise Rejection("bad-cb-length")
        if any(output.is_fee for output in transaction.outputs):
            raise Rejection("bad-cb-fee")
    elif NULL_OUTPOINT in outpoints:
        raise Rejection("bad-txns-prevout-null")


def is_final(transaction: Transaction, height: int, median_time: int) -> bool:
    """Whether a transaction's locktime lets it into a block of this height (BIP 113: median of its parent)."""
    limit = height if transaction.locktime < LOCKTIME_THRESHOLD else median_time
    return transaction.locktime < limit or all(spending.sequence == FINAL for spending in transaction.inputs)


def _check_output_amounts(transaction: Transaction) -> None:
    total = 0
    for output in transaction.outputs:
        if output.satoshi is None:
            continue
        if output.satoshi < 0:
            raise Rejection("bad-txns-vout-negative")
        if output.satoshi > MOST_MONEY:
            raise Rejection("bad-txns-vout-toolarge")
        total += output.satoshi
        if total > MOST_MONEY:
            raise Rejection("bad-txns-txouttotal-toolarge")


def _check_commitment(block: ParsedBlock) -> None:
    """BIP 141: the last commitment output of the coinbase, if any, covers all witnesses."""
    coinbase = block.transactions[0]
    found = [output.script for output in coinbase.outputs if output.script.startswith(COMMITMENT_PREFIX)]
    scripts = [script for script in found if len(script) >= 38]
    if not scripts:
        if any(transaction.has_witness for transaction in block.transactions):
            raise Rejection("unexpected-witness", "unexpected witness data found", mutated=True)
        return
    reserved = coinbase.input_witness[0].script
    if [len(item) for item in reserved] != [RESERVED_SIZE]:
        raise Rejection("bad-witness-nonce-size", "invalid witness reserved value size", mutated=True)
    if scripts[-1][6:38] != witness_commitment(block.transactions, reserved[0]):
        raise Rejection("bad-witness-merkle-match", "witness merkle commitment mismatch", mutated=True)
