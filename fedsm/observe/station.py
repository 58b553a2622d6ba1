"""The one place that a web server or command asks about a daemon: its status, readiness, liveness and metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest

from fedsm.chains.base import ChainIdentity
from fedsm.chains.rpc import RpcCaller
from fedsm.clock import Clock
from fedsm.log import Logger
from fedsm.observe.board import Board
from fedsm.observe.checks import checks_of, is_turning
from fedsm.observe.gauges import Gauges
from fedsm.observe.meter import Meter
from fedsm.observe.observer import Observer
from fedsm.observe.status import Check, HeightDetail, Link, Status
from fedsm.observe.timed_rpc import TimedRpc
from fedsm.peers import Peers
from fedsm.reissue.curve import SupplyCurve
from fedsm.trace import Trace
from fedsm.version import __version__
from states.round import Settings
from transports.base import LinkStatus


@dataclass(frozen=True)
class About:
    """What a daemon learned before its engine began: chain, block-signing key, the federation file's digest.

    ``refused`` counts the messages that were not believed, by reason, ``supply`` reads how the supply of reissued
    assets grew (it may take a second); both callable from any thread.
    """

    identity: ChainIdentity
    public_key: bytes
    federation: str
    refused: Callable[[], dict[str, int]]
    supply: Callable[[], tuple[SupplyCurve, ...]] = tuple


@dataclass(frozen=True)
class Probes:
    """What is asked of the parts of a running daemon. Each may be called from any thread.

    ``turned_ms`` is when the engine's loop last turned, by the steady clock; ``node_trouble`` is empty while the
    node answers.
    """

    turned_ms: Callable[[], int]
    node_trouble: Callable[[], str]
    links: Callable[[], tuple[LinkStatus, ...]]


@dataclass(frozen=True)
class _Running:
    about: About
    board: Board
    meter: Meter
    probes: Probes | None = None


class Station:
    """What may be known of one daemon, from its start on. Every method may be called from any thread."""

    def __init__(self, member: int, clock: Clock, log: Logger) -> None:
        self._member = member
        self._clock = clock
        self._log = log
        self._started_at_ms = clock.wall_ms()
        self._waiting = "starting"
        self._running: _Running | None = None
        self._registry = CollectorRegistry()
        self._registry.register(Gauges(self.status))

    # --- told by the daemon

    def waiting(self, reason: str) -> None:
        """The node does not answer yet."""
        self._waiting = f"waiting for the node: {reason}"

    def timed(self, rpc: RpcCaller) -> RpcCaller:
        """The node, its calls timed once the daemon runs."""
        return TimedRpc(rpc, self._call_made)

    def observing(self, trace: Trace, settings: Settings, peers: Peers, about: About) -> Trace:
        """A trace to give to the engine in place of ``trace``: it tells this station of every step."""
        board = Board(settings, peers, __version__)
        meter = Meter(settings.member, settings.quorum)
        self._member = settings.member
        self._running = _Running(about, board, meter)
        return Observer(trace, board, meter, self._clock, self._log)

    def runs(self, probes: Probes) -> None:
        """The engine is about to turn."""
        if self._running is not None:
            running = self._running
            self._running = _Running(running.about, running.board, running.meter, probes)

    # --- asked by others

    @property
    def moment(self) -> object:
        """Something that is another whenever the machines have moved."""
        running = self._running
        return self._waiting if running is None else running.board.now

    def is_alive(self) -> bool:
        """Whether the daemon is at work: waiting for its node, or its engine turns."""
        running = self._running
        if running is None or running.probes is None:
            return True
        return is_turning(self._clock.steady_ms() - running.probes.turned_ms())

    def metrics(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        running = self._running
        text = generate_latest(self._registry)
        return text if running is None else text + generate_latest(running.meter.registry)

    def height(self, number: int) -> HeightDetail | None:
        """All that is known of a height; None if it is too far away."""
        running = self._running
        return None if running is None else running.board.height(number)

    def supply(self) -> tuple[SupplyCurve, ...]:
        """How the supply of reissued assets grew. May take a second."""
        running = self._running
        return () if running is None else running.about.supply()

    def status(self) -> Status:
        """The status document."""
        running = self._running
        if running is None or running.probes is None:
            check = Check("node", ok=False, detail=self._waiting)
            return Status(
                version=__version__,
                member=self._member,
                phase="waiting",
                now_ms=self._clock.wall_ms(),
                started_at_ms=self._started_at_ms,
                ready=False,
                checks=(check,),
            )
        return self._full(running, running.probes)

    def _full(self, running: _Running, probes: Probes) -> Status:
        board, about = running.board, running.about
        quorum, now, steady_ms = board.settings.quorum, board.now, self._clock.steady_ms()
        members = board.members(steady_ms)
        checks = tuple(checks_of(now, members, quorum, steady_ms - probes.turned_ms(), probes.node_trouble()))
        return Status(
            version=__version__,
            member=self._member,
            phase="running",
            now_ms=self._clock.wall_ms(),
            started_at_ms=self._started_at_ms,
            ready=all(check.ok for check in checks),
            checks=checks,
            chain=about.identity.chain_name,
            genesis=about.identity.genesis,
            members=quorum.members,
            threshold=quorum.threshold,
            quorum=quorum.votes,
            interval_ms=board.settings.schedule.interval_ms,
            public_key=about.public_key.hex(),
            federation=about.federation,
            state=now.standing.state,
            agreement=now.standing.agreement,
            since_ms=now.since_ms,
            height=now.standing.height,
            round=now.standing.round,
            slot_ms=now.slot_ms,
            tip=now.tip,
            tip_at_ms=now.tip_at_ms,
            peers=members,
            blocks=board.blocks(),
            edges=board.edges(),
            notices=board.notices(),
            links=tuple(
                Link(it.member, it.address, it.connected, it.since_ms, it.round_trip_ms) for it in probes.links()
            ),
            refused=about.refused(),
            reissuance=now.reissuance,
        )

    def _call_made(self, method: str, outcome: str, seconds: float) -> None:
        running = self._running
        if running is not None:
            running.meter.call_made(method, outcome, seconds)
