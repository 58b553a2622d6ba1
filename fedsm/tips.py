"""Follows the node's best block by long poll, in a thread of its own with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from fedsm.chains.base import ChainError, ChainProfile, FederationScript, Tip
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.log import Logger

# A reorganisation to a block at the same height does not end a wait for the next height; this bounds how long
# it goes unseen.
POLL_MS = 5_000
BACKOFF_START_S = 0.1
BACKOFF_MAX_S = 2.0


class TipNews(NamedTuple):
    """The node's best block, who signs the next one, and the time of block 1 in seconds (None: no block yet)."""

    tip: Tip
    federation: FederationScript
    first_block_time: int | None


class TipFollower:
    """Calls ``deliver`` with each new best block, beginning with the present one.

    While the node is away or syncing it says so once, waits, and goes on by itself. A chain that cannot be
    worked with any more (its signers changed to a script that is not known here) is delivered as the ChainError
    that says so, and ends the following. ``trouble`` is why there is no news just now, if so.
    """

    def __init__(self, chain: ChainProfile, deliver: Callable[[TipNews | ChainError], None], log: Logger) -> None:
        self._chain = chain
        self._deliver = deliver
        self._log = log
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tip", daemon=True)
        self._last: str | None = None
        self._first_block_time: int | None = None
        self._trouble = ""
        self.trouble = ""

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def close(self) -> None:
        """Stop; a long poll under way is left to end by itself."""
        self._stop.set()

    def _follow(self) -> None:
        backoff_s = BACKOFF_START_S
        tip: Tip | None = None
        while not self._stop.is_set():
            try:
                tip = self._next_tip(tip)
                if tip is not None:
                    self._announce(tip)
            except ChainError as error:
                self._deliver(error)
                return
            except (RpcUnavailable, RpcError) as error:
                if self._stop.is_set():
                    return  # the connection was closed under us
                self._say("node_unavailable", str(error), about=str(error))
                tip = None
                self._stop.wait(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
            else:
                backoff_s = BACKOFF_START_S

    def _next_tip(self, known: Tip | None) -> Tip | None:
        """The tip after ``known``, or whatever is the tip when a poll ends without one."""
        if known is None:
            return self._chain.tip()
        return self._chain.wait_for_height(known.height + 1, POLL_MS) or self._chain.tip()

    def _announce(self, tip: Tip) -> None:
        if tip.syncing:
            self._say("node_syncing", f"at height {tip.height}, headers are ahead")
            self._stop.wait(BACKOFF_START_S)
            return
        if self._trouble:
            self._trouble = self.trouble = ""
            self._log.info("node_back", height=tip.height)
        if tip.block_hash == self._last:
            return
        if self._first_block_time is None and tip.height >= 1:
            self._first_block_time = self._chain.first_block_time()
        federation = self._chain.federation()
        self._last = tip.block_hash
        self._deliver(TipNews(tip, federation, self._first_block_time))

    def _say(self, event: str, detail: str, *, about: str = "") -> None:
        """Log a trouble, unless it is still the one that was logged last (the same event and ``about``)."""
        self.trouble = detail
        if self._trouble != event + about:
            self._trouble = event + about
            self._log.warning(event, detail=detail)
