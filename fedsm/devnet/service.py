"""A node with its RPC server, its directory and its cookie: what a process of elementsd would be."""

from __future__ import annotations

import os
import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedsm.devnet.ocean.dispatch import OceanDispatcher
from fedsm.devnet.ocean.params import OceanParams
from fedsm.devnet.rpc_base import Context
from fedsm.devnet.rpc_dispatch import Dispatcher
from fedsm.devnet.rpc_server import HOST, RpcServer, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fedsm.devnet.gossip import Network
    from fedsm.devnet.node import Node

COOKIE_USER = "__cookie__"


@dataclass(frozen=True)
class RpcSettings:
    """How nodes serve RPC. Without a password each node makes itself a cookie at every start."""

    user: str | None = None
    password: str | None = None
    threads: int = 16
    work_queue: int = 64
    idle_timeout_s: float = 30.0
    wallet_support: bool = True


class NodeService:
    """A running node. ``directory`` is its data directory for the chain; the cookie lies there."""

    def __init__(
        self,
        node: Node,
        network: Network,
        directory: Path,
        settings: RpcSettings,
        addresses: Callable[[], dict[int, str]],
        *,
        port: int = 0,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.node = node
        self.network = network
        self._stopped = threading.Lock()
        self._running = True
        self.cookie_file = None if settings.password else directory / ".cookie"
        self._secret = _secret(settings)
        context = Context(node, network, directory, addresses, self._stop_soon, [])
        self.server = RpcServer(
            dispatcher_of(context, wallet_support=settings.wallet_support),
            self._secret,
            port=port,
            queue=WorkQueue(settings.threads, settings.work_queue),
            idle_timeout_s=settings.idle_timeout_s,
        )
        if self.cookie_file is not None:
            _write_owner_only(self.cookie_file, self._secret)

    @property
    def port(self) -> int:
        """The RPC port."""
        return self.server.port

    @property
    def url(self) -> str:
        """The RPC address, without credentials."""
        return f"http://{HOST}:{self.port}"

    @property
    def credentials(self) -> tuple[str, str]:
        """User and password of this run."""
        user, _, password = self._secret.partition(":")
        return user, password

    def start(self) -> None:
        """Serve RPC and join the network."""
        self.server.start()
        self.network.join(self.node)

    def stop(self) -> None:
        """Leave the network, answer who waits, close the port and remove the cookie. Safe to call again."""
        with self._stopped:
            if not self._running:
                return
            self._running = False
            self.network.leave(self.node.number)
            self.node.stop()
            self.server.stop()
            if self.cookie_file is not None:
                self.cookie_file.unlink(missing_ok=True)

    @property
    def running(self) -> bool:
        """False once the node has been told to stop."""
        return self._running

    def _stop_soon(self) -> None:
        """Stop in a thread of its own, so that the RPC that asked for it gets its answer."""
        threading.Thread(target=self.stop, daemon=True).start()


def dispatcher_of(context: Context, *, wallet_support: bool) -> Dispatcher:
    """What answers the requests to a node of this kind of chain."""
    kind = OceanDispatcher if isinstance(context.node.params, OceanParams) else Dispatcher
    return kind(context, wallet_support=wallet_support)


def _secret(settings: RpcSettings) -> str:
    if settings.password:
        return f"{settings.user or ''}:{settings.password}"
    return f"{COOKIE_USER}:{secrets.token_hex(32)}"


def _write_owner_only(path: Path, text: str) -> None:
    """Write next to the file and move it there, so that no reader sees half of it."""
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    draft.replace(path)
