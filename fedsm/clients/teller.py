"""Clients with keys of their own: who has which coins, and the transactions between them."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import wallycore as wally

from fedsm.chains.rpc import RpcError
from fedsm.chains.transaction import ELEMENTS, Transaction, parse_transaction
from fedsm.clients.base import ClientError, Payment
from fedsm.clients.holder import Coin, Holder
from fedsm.reissue.blinding import add_explicit
from signers.software import generate_key

if TYPE_CHECKING:
    from fedsm.chains.rpc import RpcCaller
    from fedsm.reissue.custody import Custody, ScriptKind

VERSION = 2
SEQUENCE = 0xFFFF_FFFE
ALREADY_IN_CHAIN = -27  # JSON-RPC error code of sendrawtransaction
MOST_COINS = 10  # that a payment spends; it makes one of them
KEPT = 30  # transactions: nodes take chains of up to 25 that wait for a block


class Pays(NamedTuple):
    """An output: asset (32 bytes, internal order), satoshi, script; without a script it is the fee."""

    asset: bytes
    satoshi: int
    script: bytes | None


class Teller(ABC):
    """See Clients. Used from one thread.

    The transactions spend each other's outputs without waiting for blocks. If the node has forgotten some of those
    that wait, it is given them again.
    """

    kind: ScriptKind

    def __init__(self, rpc: RpcCaller, secrets: Sequence[bytes] | None = None) -> None:
        self._rpc = rpc
        self.holders = [Holder.of(secret, self.kind) for secret in secrets or (generate_key(), generate_key())]
        self._turn = itertools.cycle(range(len(self.holders)))
        self._recent: deque[bytes] = deque(maxlen=KEPT)
        self._doubtful: bytes | None = None

    def issue(self, satoshi: int) -> str:
        """An asset without reissuance token."""
        return self.issue_with_token(satoshi, None)[::-1].hex()

    @abstractmethod
    def issue_with_token(self, satoshi: int, custody: Custody | None) -> bytes:
        """Issue an asset (returned in internal order) to the first holder.

        With a ``custody`` its reissuance token goes there, and what pays for reissuances.
        """

    @abstractmethod
    def address(self, holder: int) -> str:
        """The address of a holder."""

    def _fee(self, payer: Holder) -> tuple[list[Coin], list[Pays]]:  # noqa: ARG002 - of use where there are fees
        """The payer's coins that a payment spends for its fee, and the outputs that come of them."""
        return [], []

    def pay(self, asset: str, satoshi: int) -> Payment:
        """The holders take turns; one that has nothing of the asset is left out."""
        self._settle()
        name = bytes.fromhex(asset)[::-1]
        for _ in self.holders:
            number = next(self._turn)
            if self.holders[number].of_asset(name):
                return self._pay(number, (number + 1) % len(self.holders), name, satoshi)
        raise ClientError(f"nobody has anything of asset {asset}")

    def _pay(self, payer: int, payee: int, asset: bytes, satoshi: int) -> Payment:
        giver, taker = self.holders[payer], self.holders[payee]
        spent = giver.of_asset(asset)[:MOST_COINS]
        held = sum(coin.satoshi for coin in spent)
        paid = min(satoshi, held)
        fee_coins, fee_outputs = self._fee(giver)
        outputs = [Pays(asset, paid, taker.script)]
        if held > paid:
            outputs.append(Pays(asset, held - paid, giver.script))
        spent += fee_coins
        data = unsigned(spent, [*outputs, *fee_outputs])
        sent = self._submit(giver.sign(data, spent))
        return Payment(asset[::-1].hex(), paid, sent.txid[::-1].hex())

    # --- the node

    def _settle(self) -> None:
        """The node did not answer when it was last given a transaction: did it take it?"""
        if self._doubtful is not None:
            with suppress(RpcError):
                self._submit(self._doubtful)
            self._doubtful = None

    def _submit(self, data: bytes) -> Transaction:
        """Give a transaction to the node, and the coins to their new holders."""
        transaction = parse_transaction(data)
        self._doubtful = data
        try:
            self._send(data)
        except RpcError:
            self._doubtful = None
            raise
        self._doubtful = None
        self._recent.append(data)
        self._book(transaction)
        return transaction

    def _send(self, data: bytes) -> None:
        try:
            self._rpc.call("sendrawtransaction", [data.hex()])
        except RpcError as error:
            if error.code == ALREADY_IN_CHAIN:
                return
            for earlier in self._recent:
                with suppress(RpcError):
                    self._rpc.call("sendrawtransaction", [earlier.hex()])
            self._rpc.call("sendrawtransaction", [data.hex()])

    def _book(self, transaction: Transaction) -> None:
        spent = {spending.outpoint for spending in transaction.inputs}
        for holder in self.holders:
            holder.coins = [coin for coin in holder.coins if coin.outpoint not in spent]
            holder.coins += [
                Coin(transaction.outpoint(index), output.asset[1:], output.satoshi)
                for index, output in enumerate(transaction.outputs)
                if output.script == holder.script and output.satoshi
            ]


def unsigned(coins: Sequence[Coin], outputs: Sequence[Pays]) -> bytes:
    """A transaction that spends these coins, not signed yet."""
    handle = wally.tx_init(VERSION, 0, len(coins), len(outputs))
    for coin in coins:
        index = int.from_bytes(coin.outpoint[32:], "little")
        wally.tx_add_elements_raw_input(handle, coin.outpoint[:32], index, SEQUENCE, *(None,) * 9, 0)
    for output in outputs:
        add_explicit(handle, *output)
    return bytes(wally.tx_to_bytes(handle, wally.WALLY_TX_FLAG_USE_WITNESS | ELEMENTS))
