"""Test payments on an Ocean chain, out of the coins that anyone can spend."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fedsm.chains.transaction import TxInput, TxOutput, explicit_value
from fedsm.devnet.ocean.signing import SIGHASHES, InputSigner, sign_input, with_script_sig
from fedsm.devnet.ocean.wallet import Keys
from fedsm.devnet.ocean.writing import FINAL, write_transaction

if TYPE_CHECKING:
    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.coins import Coin
    from fedsm.devnet.node import Node

KEYS = Keys()
SCRIPT = KEYS.add(hashlib.sha256(b"fedsm devnet funds").digest()).script
OP_TRUE = b"\x51"
ZERO_NONCE = b"\x00"
OUTPUT_VALUE = 1_000_000  # satoshi of each test coin
FEE = 100  # satoshi of a payment; Ocean asks for none
SPARE = 10  # test coins made beyond those that one block needs


def next_payments(node: Node, number: int) -> list[Transaction]:
    """Up to ``number`` payments from the test coins; while there are too few, one that makes more of them."""
    asset, height = node.params.policy_asset, node.chain.tip.height
    free = [
        (outpoint, coin)
        for outpoint, coin in node.chain.coins.coins.items()
        if coin.output.asset == asset and not node.mempool.is_spent(outpoint)
    ]
    own = [item for item in free if item[1].output.script == SCRIPT and _worth(item[1]) > 2 * FEE]
    if len(own) >= number:
        return [_pay(*item) for item in own[:number]]
    maturity = node.chain.rules.maturity
    ripe = [item for item in free if not item[1].coinbase or height + 1 - item[1].height >= maturity]
    sources = [item for item in ripe if item[1].output.script == OP_TRUE]
    richest = max(sources, key=lambda item: _worth(item[1]), default=None)
    if richest is None or _worth(richest[1]) < (number + SPARE) * OUTPUT_VALUE + 2 * FEE:
        return [_pay(*item) for item in own]
    return [_split(*richest, number + SPARE)]


def _worth(coin: Coin) -> int:
    return coin.output.satoshi or 0


def _split(outpoint: bytes, coin: Coin, number: int) -> Transaction:
    """Turn part of an anyone-can-spend coin into ``number`` test coins."""
    rest = _worth(coin) - number * OUTPUT_VALUE - FEE
    return _build(outpoint, coin, [*[(SCRIPT, OUTPUT_VALUE)] * number, (OP_TRUE, rest), (b"", FEE)])


def _pay(outpoint: bytes, coin: Coin) -> Transaction:
    """Pay a test coin to the test address again."""
    unsigned = _build(outpoint, coin, [(SCRIPT, _worth(coin) - FEE), (b"", FEE)])
    signer = InputSigner(unsigned, 0, coin.output, KEYS, SIGHASHES["ALL"])
    return with_script_sig(unsigned, 0, sign_input([unsigned], signer))


def _build(outpoint: bytes, coin: Coin, outputs: list[tuple[bytes, int]]) -> Transaction:
    spending = TxInput(outpoint, b"", FINAL, None, is_pegin=False)
    asset = coin.output.asset
    vout = [TxOutput(asset, explicit_value(satoshi), ZERO_NONCE, script) for script, satoshi in outputs]
    return write_transaction([spending], vout)
