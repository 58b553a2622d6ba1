"""The first block of an Ocean chain: a coinbase that commits to the parameters, and coins issued out of nothing."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fedsm.chains.header import BlockHeader, OceanHashes, display_hash, internal_hash
from fedsm.chains.transaction import (
    NULL_OUTPOINT,
    Issuance,
    TxInput,
    TxOutput,
    explicit_value,
    issued_assets,
)
from fedsm.devnet import encoding
from fedsm.devnet.block import ParsedBlock, merkle_root
from fedsm.devnet.ocean.writing import FINAL, write_transaction

if TYPE_CHECKING:
    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.ocean.params import OceanParams

OUTPUTS = 100  # in which the coins of an asset are given out
OP_RETURN = b"\x6a"
NO_NONCE = b"\x00"


def genesis_block(params: OceanParams) -> ParsedBlock:
    """The genesis block that oceand makes for these parameters."""
    transactions = [_commitment(params)]
    if params.initial_free_coins:
        contract = internal_hash(params.parent_genesis)
        transactions.append(_coins(params, 0, contract, params.initial_free_coins, params.free_coins_destination))
    for _, destination, contract in params.policy_issuances:
        index = len(transactions) - 1
        transactions.append(_coins(params, index, contract, params.policy_coins, destination))
    root, _ = merkle_root([transaction.txid for transaction in transactions])
    header = BlockHeader(
        version=1,
        previous="00" * 32,
        merkle_root=display_hash(root),
        time=params.genesis_time,
        height=0,
        challenge=params.signblockscript,
        ocean=OceanHashes(params.contract_hash, params.attestation_hash, "00" * 32),
    )
    return ParsedBlock(header, tuple(transactions))


def _commitment(params: OceanParams) -> Transaction:
    spending = TxInput(NULL_OUTPOINT, encoding.push(params.commitment), FINAL, None, is_pegin=False)
    scripts = [OP_RETURN]
    if params.issue_control_script:
        scripts.append(OP_RETURN + encoding.push(params.issue_control_script))
    nothing = (b"\x01" + bytes(32), explicit_value(0), NO_NONCE)
    return write_transaction([spending], [TxOutput(*nothing, script) for script in scripts], version=1)


def _coins(params: OceanParams, index: int, contract: bytes, amount: int, destination: bytes) -> Transaction:
    """An issuance in equal outputs; its outpoint is the commitment itself."""
    each = amount // OUTPUTS
    issuance = Issuance(bytes(32), contract, explicit_value(each * OUTPUTS), explicit_value(0))
    outpoint = params.commitment + struct.pack("<I", index)
    spending = TxInput(outpoint, b"", FINAL, issuance, is_pegin=False)
    _, asset, _ = issued_assets(spending, issuance)
    output = TxOutput(b"\x01" + asset, explicit_value(each), NO_NONCE, destination)
    return write_transaction([spending], [output] * OUTPUTS, version=1)
