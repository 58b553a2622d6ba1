"""What every client can do, whoever holds the keys."""

from __future__ import annotations

from typing import NamedTuple, Protocol

SATOSHI = 10**8


class ClientError(Exception):
    """Nothing can be issued or paid; the message says what is missing, in one line."""


class Payment(NamedTuple):
    """A payment that the node took: ``satoshi`` of an asset (id as displayed)."""

    asset: str
    satoshi: int
    txid: str


class Clients(Protocol):
    """Some clients who trade assets among themselves.

    Methods raise ClientError, and RpcError or RpcUnavailable as the node gives them; then nothing was paid as far
    as is known, and the next call may be made at any time.
    """

    def issue(self, satoshi: int) -> str:
        """Issue a new asset with explicit amounts to the first client; its id as displayed."""

    def pay(self, asset: str, satoshi: int) -> Payment:
        """Have the next client in turn pay so much, or what it has, to the one after it."""
