"""A cast of daemons that only exist as log lines, and nodes that hold a recorded chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from fedsm.chains.rpc import NodeRpc
from fedsm.demo.cast import Cast
from fedsm.demo.nodes import NodeAddress
from tests.elements_stand_in import StandIn


@dataclass
class FakeDaemon:
    """A process that runs until it is told not to; notes what is done to it."""

    running: bool = False
    exit_status: int | None = None
    history: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.running = True
        self.history.append("start")

    def kill(self) -> None:
        self.running = False
        self.history.append("kill")

    def terminate(self) -> None:
        self.running = False
        self.history.append("terminate")


class FakeCast:
    """Members whose lines the test writes. Waiting makes time pass: ``pass_time`` is called until it is over."""

    def __init__(self, members: int, pass_time: Callable[[FakeCast], bool] = lambda _cast: False) -> None:
        self.daemons = [FakeDaemon() for _ in range(members)]
        self.log: list[list[dict[str, Any]]] = [[] for _ in range(members)]
        self._pass_time = pass_time

    def start(self) -> None:
        for daemon in self.daemons:
            daemon.start()

    def say(self, by: int, event: str, **fields: Any) -> None:
        self.log[by].append({"event": event, **fields})

    def lines(self, member: int, event: str | None = None) -> list[dict[str, Any]]:
        return [line for line in self.log[member] if event is None or line["event"] == event]

    def wait_for(self, condition: Callable[[], bool], _limit_s: float) -> bool:
        while not condition():
            if not self._pass_time(self):
                return False
        return True

    def accept(self, height: int, *, slot_ms: int = 0, took_ms: int = 0, round_: int | None = 0) -> None:
        """All members up log an accepted block."""
        for member, daemon in enumerate(self.daemons):
            if daemon.running:
                accepted_ms = slot_ms + took_ms + member
                self.say(
                    member, "block_accepted",
                    height=height, hash=f"{height:064x}", round=round_,
                    slot_ms=slot_ms, accepted_ms=accepted_ms, latency_ms=accepted_ms - slot_ms,
                )  # fmt: skip

    @property
    def as_cast(self) -> Cast:
        return cast(Cast, self)


@dataclass
class FakeNode:
    """A node that holds these headers (hex) from height 1 on, and ``branches`` besides its best chain."""

    headers: list[str]
    branches: int = 0

    def rpc(self) -> NodeRpc:
        node = StandIn(
            getblockcount=len(self.headers),
            getblockhash=str,
            getblockheader=lambda height, _verbose: self.headers[int(height) - 1],
            getchaintips=[{}] * (1 + self.branches),
        )
        return cast(NodeRpc, node)

    @property
    def as_address(self) -> NodeAddress:
        return cast(NodeAddress, self)
