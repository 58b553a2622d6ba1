"""The first block of a chain, as Elements custom chains make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.header import BlockHeader, display_hash
from fedsm.chains.transaction import Transaction, explicit_value, parse_transaction
from fedsm.chains.transactions import ISSUANCE_BIT
from fedsm.devnet.block import ParsedBlock, merkle_root

if TYPE_CHECKING:
    from fedsm.devnet.params import ChainParams

GENESIS_TIME = 1_296_688_602  # 2 February 2011, inherited from Bitcoin's regtest
OP_TRUE = b"\x51"
OP_RETURN = b"\x6a"
FINAL = 0xFFFF_FFFF


def genesis_block(params: ChainParams) -> ParsedBlock:
    """The genesis block: a coinbase that commits to the chain's parameters, and the free coins if any."""
    transactions = [_commitment(params)]
    if params.initial_free_coins:
        transactions.append(_free_coins(params))
    root, _ = merkle_root([transaction.txid for transaction in transactions])
    header = BlockHeader(
        version=1,
        previous="00" * 32,
        merkle_root=display_hash(root),
        time=GENESIS_TIME,
        height=0 if params.height_in_header else None,
        challenge=params.signblockscript,
    )
    return ParsedBlock(header, tuple(transactions))


def _commitment(params: ChainParams) -> Transaction:
    handle = wally.tx_init(1, 0, 1, 1)
    script_sig = b"\x20" + params.commitment
    wally.tx_add_elements_raw_input(
        handle, bytes(32), FINAL, FINAL, script_sig, None, None, None, None, None, None, None, None, 0
    )
    no_asset, no_value = b"\x01" + bytes(32), explicit_value(0)
    wally.tx_add_elements_raw_output(handle, OP_RETURN, no_asset, no_value, None, None, None, 0)
    return _finish(handle)


def _free_coins(params: ChainParams) -> Transaction:
    """An issuance out of nothing: its outpoint is the commitment itself."""
    amount = explicit_value(params.initial_free_coins)
    contract = bytes.fromhex(params.parent_genesis)[::-1]
    handle = wally.tx_init(1, 0, 1, 1)
    issuance = (bytes(32), contract, amount, explicit_value(0))
    wally.tx_add_elements_raw_input(
        handle, params.commitment, ISSUANCE_BIT, FINAL, None, None, *issuance, None, None, None, 0
    )
    wally.tx_add_elements_raw_output(handle, OP_TRUE, params.policy_asset, amount, None, None, None, 0)
    return _finish(handle)


def _finish(handle: object) -> Transaction:
    return parse_transaction(bytes(wally.tx_to_bytes(handle, wally.WALLY_TX_FLAG_USE_WITNESS)))
