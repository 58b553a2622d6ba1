"""Traffic for a demo: payments between test addresses, a few for every block."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.transaction import explicit_value, parse_transaction
from fedsm.devnet.ocean import payments as ocean
from fedsm.devnet.ocean.params import OceanParams
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.coins import Coin
    from fedsm.devnet.network import Devnet
    from fedsm.devnet.node import Node

SECRET = hashlib.sha256(b"fedsm devnet funds").digest()
PUBLIC_KEY = bytes(wally.ec_public_key_from_private_key(SECRET))
SCRIPT = b"\x00\x14" + bytes(wally.hash160(PUBLIC_KEY))  # P2WPKH of the key above
OP_TRUE = b"\x51"
OUTPUT_VALUE = 1_000_000  # satoshi of each test coin
FEE = 100  # satoshi of a payment: well above the relay minimum
FEE_PER_OUTPUT = 20  # satoshi; a new output takes 66 bytes at 0.1 satoshi each
SPARE = 10  # test coins made beyond those that one block needs
WAIT_MS = 500
WITNESS = wally.WALLY_TX_FLAG_USE_WITNESS


class Payments:
    """Sends ``per_block`` payments after every new block, in a thread of its own.

    The first money comes from the chain's free coins, which anyone can spend.
    """

    def __init__(self, devnet: Devnet, per_block: int) -> None:
        self._devnet = devnet
        self._per_block = per_block
        self._next = ocean.next_payments if isinstance(devnet.params, OceanParams) else next_payments
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="payments", daemon=True)

    def start(self) -> None:
        """Begin with the payments for the next block."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        node, tip = self._node(0), None
        while not self._ended.is_set():
            if node.chain.tip is not tip:
                with node.lock:
                    tip = node.chain.tip
                    transactions = self._next(node, self._per_block)
                self._send(transactions, tip.height)
            node.wait(lambda entry, known=tip: entry is not known, WAIT_MS)  # type: ignore[misc]
            node = self._node(0)  # another one after a restart

    def _send(self, transactions: list[Transaction], height: int) -> None:
        """Hand payments to one node after the other, so that they travel."""
        for position, transaction in enumerate(transactions):
            try:
                self._node(height + position).add_transaction(transaction, own=True)
            except Rejection:
                continue  # the coin is gone: another branch of the chain has spent it

    def _node(self, number: int) -> Node:
        services = self._devnet.services
        return services[number % len(services)].node


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
    sources = [
        item
        for item in free
        if item[1].output.script == OP_TRUE and _is_ripe(item[1], height, node.chain.rules.maturity)
    ]
    richest = max(sources, key=lambda item: _worth(item[1]), default=None)
    needed = (number + SPARE) * (OUTPUT_VALUE + FEE_PER_OUTPUT) + 2 * FEE
    if richest is None or _worth(richest[1]) < needed:
        return [_pay(*item) for item in own]
    return [_split(*richest, number + SPARE)]


def _worth(coin: Coin) -> int:
    return coin.output.satoshi or 0


def _is_ripe(coin: Coin, height: int, maturity: int) -> bool:
    return not coin.coinbase or height + 1 - coin.height >= maturity


def _split(outpoint: bytes, coin: Coin, number: int) -> Transaction:
    """Turn part of an anyone-can-spend coin into ``number`` test coins."""
    fee = FEE + FEE_PER_OUTPUT * number
    rest = _worth(coin) - number * OUTPUT_VALUE - fee
    outputs = [*[(SCRIPT, OUTPUT_VALUE)] * number, (OP_TRUE, rest), (b"", fee)]
    return _finish(_build(outpoint, coin, outputs))


def _pay(outpoint: bytes, coin: Coin) -> Transaction:
    """Pay a test coin to the test address again."""
    handle = _build(outpoint, coin, [(SCRIPT, _worth(coin) - FEE), (b"", FEE)])
    code = b"\x76\xa9" + SCRIPT[1:] + b"\x88\xac"  # BIP 143: a key hash stands for a P2PKH script
    sighash = wally.WALLY_SIGHASH_ALL
    digest = wally.tx_get_elements_signature_hash(handle, 0, code, coin.output.value, sighash, WITNESS)
    compact = wally.ec_sig_from_bytes(SECRET, digest, wally.EC_FLAG_ECDSA | wally.EC_FLAG_GRIND_R)
    stack = wally.tx_witness_stack_init(2)
    wally.tx_witness_stack_add(stack, bytes(wally.ec_sig_to_der(compact)) + bytes([sighash]))
    wally.tx_witness_stack_add(stack, PUBLIC_KEY)
    wally.tx_set_input_witness(handle, 0, stack)
    return _finish(handle)


def _build(outpoint: bytes, coin: Coin, outputs: list[tuple[bytes, int]]) -> object:
    handle = wally.tx_init(2, 0, 1, len(outputs))
    index = int.from_bytes(outpoint[32:], "little")
    nothing = (None, None, None, None, None, None, None, None, None)
    wally.tx_add_elements_raw_input(handle, outpoint[:32], index, 0xFFFF_FFFF, *nothing, 0)
    for script, satoshi in outputs:
        wally.tx_add_elements_raw_output(
            handle, script or None, coin.output.asset, explicit_value(satoshi), None, None, None, 0
        )
    return handle


def _finish(handle: object) -> Transaction:
    return parse_transaction(bytes(wally.tx_to_bytes(handle, WITNESS)))
