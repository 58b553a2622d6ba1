"""Payments on an interval, in a thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from secrets import randbelow
from typing import TYPE_CHECKING

from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.clients.base import SATOSHI, ClientError, Payment

if TYPE_CHECKING:
    from fedsm.clients.base import Clients

MOST_UNITS = 10
KEPT = 1000


class Traffic(threading.Thread):
    """Pays 1 to 10 units of each asset every ``interval_s`` seconds, until ``stop``.

    ``payments`` holds the last 1000 that were made. What a node refuses, or is not there to take, is left out;
    ``trouble`` says why the last one was (empty: it was not).
    """

    def __init__(self, clients: Clients, assets: Sequence[str], interval_s: float) -> None:
        super().__init__(name="payments", daemon=True)
        self._clients = clients
        self._assets = assets
        self._interval_s = interval_s
        self._ended = threading.Event()
        self.payments: deque[Payment] = deque(maxlen=KEPT)
        self.trouble = ""

    def run(self) -> None:
        """The thread's work; call ``start``."""
        while not self._ended.is_set():
            for asset in self._assets:
                self._pay(asset)
            self._ended.wait(self._interval_s)

    def stop(self) -> None:
        """Ask the thread to end; ``join`` waits for it."""
        self._ended.set()

    def stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._ended.is_set()

    def _pay(self, asset: str) -> None:
        try:
            self.payments.append(self._clients.pay(asset, (1 + randbelow(MOST_UNITS)) * SATOSHI))
            self.trouble = ""
        except (ClientError, RpcError, RpcUnavailable) as error:
            self.trouble = str(error)
