"""Times the calls of the member's node."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from fedsm.chains.rpc import RpcCaller, RpcError, RpcUnavailable

# It takes as long as the next block does, and says nothing of the node.
LONG_POLLS = frozenset({"waitforblockheight", "waitfornewblock", "waitforblock"})

CallMade = Callable[[str, str, float], None]


class TimedRpc:
    """A node; ``call_made`` is told each call: method, "ok", "error" or why it was unavailable, and seconds."""

    def __init__(self, rpc: RpcCaller, call_made: CallMade) -> None:
        self._rpc = rpc
        self._call_made = call_made

    def call(self, method: str, params: Sequence[object] = (), *, timeout_ms: int | None = None) -> Any:
        """The result of one call, as NodeRpc.call gives it."""
        begun, outcome = time.monotonic(), "ok"
        try:
            return self._rpc.call(method, params, timeout_ms=timeout_ms)
        except RpcError:
            outcome = "error"
            raise
        except RpcUnavailable as error:
            outcome = error.kind
            raise
        finally:
            if method not in LONG_POLLS:
                self._call_made(method, outcome, time.monotonic() - begun)
