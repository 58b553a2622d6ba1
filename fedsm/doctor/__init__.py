"""Examines what a daemon needs: its node, key, guard, machine and peers. Each check is ok or says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from fedsm.access import open_rpc
from fedsm.config import DaemonConfig
from fedsm.doctor.machine import machine_checks
from fedsm.doctor.member import member_checks
from fedsm.doctor.node import find_chain, node_checks
from fedsm.doctor.peers import peer_checks
from fedsm.errors import FedsmError
from fedsm.observe.status import Check, Status
from fedsm.web.client import DaemonAddress, fetch_status

__all__ = ["examine"]


def examine(config: DaemonConfig) -> Iterator[Check]:
    """All checks of the daemon that is configured so. FedsmError when the configuration contradicts itself."""
    running = _running(config)
    with closing(open_rpc(config.node)) as rpc:
        found = find_chain(config, rpc)
        yield from node_checks(config, rpc, found)
        yield from member_checks(config, rpc, found)
    yield from machine_checks(config, running)
    yield from peer_checks(config, found, running)


def _running(config: DaemonConfig) -> Status | None:
    """The status of the daemon with this configuration, if it runs and serves it."""
    if config.http is None:
        return None
    address = DaemonAddress(config.http.host, config.http.port_of(config.member), config.http.token)
    try:
        status = fetch_status(address)
    except FedsmError:
        return None
    return status if status.phase == "running" and status.member == config.member else None
