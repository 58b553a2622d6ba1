"""The metrics that are read off the status when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from fedsm.observe.status import Member, Status
from fedsm.version import commit
from states.table import REISSUANCE_STATES, ROUND_STATES


class Gauges(Collector):
    """Makes metrics of the status that ``status`` gives."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily | InfoMetricFamily]:
        """All of them; most only once the node has answered."""
        status = self._status()
        yield _info(status)
        yield _gauge("fedsm_ready", "1 if every check of /ready is ok.", float(status.ready))
        checks = GaugeMetricFamily("fedsm_check_ok", "1 if the named check of /ready is ok.", labels=["check"])
        for check in status.checks:
            checks.add_metric([check.name], float(check.ok))
        yield checks
        if status.phase == "running":
            yield from _of_federation(status)
            yield from _of_round(status)
            yield from _of_peers([member for member in status.peers if not member.ours])
            yield _refused(status)
            yield from _of_reissuance(status)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: names are not checked for being taken, which would need a status."""
        yield from ()


def _info(status: Status) -> InfoMetricFamily:
    values = {
        "version": status.version,
        "commit": commit(),
        "member": str(status.member),
        "chain": status.chain,
        "genesis": status.genesis,
        "public_key": status.public_key,
        "federation": status.federation,
    }
    return InfoMetricFamily("fedsm", "Which daemon this is.", value=values)


def _of_federation(status: Status) -> Iterator[GaugeMetricFamily]:
    yield _gauge("fedsm_members", "N, the members of the federation.", status.members)
    yield _gauge("fedsm_threshold", "M, the signatures that a block needs.", status.threshold)
    yield _gauge("fedsm_quorum", "Q, the votes that decide a block.", status.quorum)
    yield _gauge("fedsm_interval_seconds", "The block interval.", status.interval_ms / 1000)
    up = sum(member.up for member in status.peers)
    spare = up - max(status.quorum, status.threshold)
    yield _gauge("fedsm_spare_members", "Members that may still go down before blocks stop.", spare)


def _of_round(status: Status) -> Iterator[GaugeMetricFamily]:
    yield _gauge("fedsm_height", "The height being worked on: our node's tip + 1.", status.height)
    yield _gauge("fedsm_round", "The round of that height.", status.round)
    lag = next((member.lag for member in status.peers if member.ours), 0)
    yield _gauge("fedsm_height_lag", "Blocks that we are behind the highest member heard.", lag)
    tip = "When our node's tip became known (Unix time)."
    yield _gauge("fedsm_last_block_timestamp_seconds", tip, status.tip_at_ms / 1000)
    states = GaugeMetricFamily("fedsm_state", "1 for the present state of the round machine.", labels=["state"])
    for state in ROUND_STATES:
        states.add_metric([state], float(state == status.state))
    yield states


def _of_peers(peers: list[Member]) -> Iterator[GaugeMetricFamily]:
    def family(name: str, text: str, value: Callable[[Member], float], *, heard: bool = True) -> GaugeMetricFamily:
        made = GaugeMetricFamily(name, text, labels=["peer"])
        for peer in peers:
            if peer.silent_ms is not None or not heard:
                made.add_metric([str(peer.member)], value(peer))
        return made

    yield family("fedsm_peer_up", "1 while a member's heartbeats come in.", lambda p: float(p.up), heard=False)
    silent = "Seconds since a member's last heartbeat."
    yield family("fedsm_peer_last_seen_seconds", silent, lambda p: (p.silent_ms or 0) / 1000)
    skew = "A member's clock minus ours, and the way of its message."
    yield family("fedsm_peer_clock_skew_seconds", skew, lambda p: p.skew_ms / 1000)
    lag = "Blocks that a member is behind the highest one heard."
    yield family("fedsm_peer_height_lag", lag, lambda p: p.lag)
    signed = "The last height of which a member's signature was heard."
    yield family("fedsm_peer_last_signed_height", signed, lambda p: p.signed or 0)


def _refused(status: Status) -> CounterMetricFamily:
    family = CounterMetricFamily(
        "fedsm_messages_refused", "Received messages that were not believed, by reason.", labels=["reason"]
    )
    for reason, count in sorted(status.refused.items()):
        family.add_metric([reason], count)
    return family


def _of_reissuance(status: Status) -> Iterator[GaugeMetricFamily]:
    """Nothing without a schedule."""
    if status.reissuance is None:
        return
    text = "Assets of the present period of the reissuance schedule, by the state of their machine."
    assets = GaugeMetricFamily("fedsm_reissuance_assets", text, labels=["state"])
    now = [it.state for it in status.reissuance.assets if it.due_height == status.reissuance.due_height]
    for state in REISSUANCE_STATES:
        assets.add_metric([state], now.count(state))
    yield assets
    due = "The height at which the present period of the reissuance schedule began."
    yield _gauge("fedsm_reissuance_due_height", due, status.reissuance.due_height)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
