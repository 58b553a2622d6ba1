"""Unspent outputs: the set of a chain, and views over it that can be thrown away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedsm.chains.transaction import Transaction, TxOutput

MEMPOOL_HEIGHT = 0x7FFF_FFFF  # "height" of a coin that an unconfirmed transaction makes


@dataclass(frozen=True)
class Coin:
    """An unspent output, the height of its block and whether a coinbase made it."""

    output: TxOutput
    height: int
    coinbase: bool


@dataclass
class Undo:
    """What one block did to the set: coins it spent and outpoints it made, in block order."""

    spent: list[tuple[bytes, Coin]] = field(default_factory=list)
    made: list[bytes] = field(default_factory=list)


class CoinSource(Protocol):
    """Where coins are looked up, by outpoint (36 bytes)."""

    def get(self, outpoint: bytes) -> Coin | None:
        """The coin, or ``None`` when it does not exist or is spent."""
        ...


class CoinView:
    """Changes on top of another source, kept apart until ``flush``."""

    def __init__(self, base: CoinSource) -> None:
        self.base = base
        self.changes: dict[bytes, Coin | None] = {}

    def get(self, outpoint: bytes) -> Coin | None:
        """The coin as the changes leave it."""
        return self.changes[outpoint] if outpoint in self.changes else self.base.get(outpoint)

    def apply(self, transaction: Transaction, height: int, undo: Undo) -> None:
        """Spend the inputs, which must exist, and add the spendable outputs; note both in ``undo``."""
        if not transaction.is_coinbase:
            for spending in transaction.inputs:
                coin = self.get(spending.outpoint)
                if coin is None:
                    raise KeyError(spending.outpoint.hex())
                undo.spent.append((spending.outpoint, coin))
                self.changes[spending.outpoint] = None
        self.add(transaction, height, undo)

    def add(self, transaction: Transaction, height: int, undo: Undo) -> None:
        """Add the spendable outputs alone, which is all that a genesis block does."""
        for outpoint, coin in new_coins(transaction, height):
            undo.made.append(outpoint)
            self.changes[outpoint] = coin


class CoinSet:
    """The unspent outputs of an active chain."""

    def __init__(self) -> None:
        self.coins: dict[bytes, Coin] = {}

    def get(self, outpoint: bytes) -> Coin | None:
        """The coin, or ``None``."""
        return self.coins.get(outpoint)

    def flush(self, view: CoinView) -> None:
        """Make a view's changes permanent."""
        for outpoint, coin in view.changes.items():
            if coin is None:
                self.coins.pop(outpoint, None)
            else:
                self.coins[outpoint] = coin

    def revert(self, undo: Undo) -> None:
        """Take back the block that ``undo`` describes, the last one applied."""
        for outpoint in undo.made:
            self.coins.pop(outpoint, None)
        made = set(undo.made)
        for outpoint, coin in undo.spent:
            if outpoint not in made:
                self.coins[outpoint] = coin


def new_coins(transaction: Transaction, height: int) -> Iterator[tuple[bytes, Coin]]:
    """The spendable outputs of a transaction, as coins by outpoint."""
    for index, output in enumerate(transaction.outputs):
        if not output.is_unspendable:
            yield transaction.outpoint(index), Coin(output, height, transaction.is_coinbase)
