"""The nodes under a demo or test federation: the embedded chain, or real Elements nodes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fedsm.chains.rpc import NodeRpc, RpcError, RpcUnavailable
from fedsm.chains.script import Multisig
from fedsm.demo.ports import free_ports
from fedsm.errors import FedsmError

START_S = 60.0
CHAIN_NAME = "fedsmdemo"
DYNAFED_NEVER = "dynafed:1000000:::"


@dataclass(frozen=True)
class NodeAddress:
    """Where a node's RPC is and the cookie file that opens it."""

    port: int
    cookie_file: Path

    def rpc(self) -> NodeRpc:
        """A connection to the node."""
        return NodeRpc(f"http://127.0.0.1:{self.port}", cookie_file=self.cookie_file)


class Nodes(Protocol):
    """A running set of nodes, one per member."""

    addresses: list[NodeAddress]

    def start(self) -> None:
        """Start all nodes and wait until they answer."""

    def close(self) -> None:
        """End all nodes."""


class DevnetNodes:
    """The embedded chain in a process of its own: ``fedsm devnet``."""

    def __init__(
        self,
        multisig: Multisig,
        directory: Path,
        *,
        dynafed: bool,
        chain: str = CHAIN_NAME,
        transactions: int = 0,
        flavour: str = "elements",
    ) -> None:
        self._command = [
            *(sys.executable, "-m", "fedsm", "devnet", "--json"),
            *("--signblockscript", multisig.script.hex()),
            *("--datadir", str(directory)),
            *("--chain", chain),
            *("--flavour", flavour),
            *("--transactions", str(transactions)),
            "--dynafed" if dynafed else "--no-dynafed",
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.addresses: list[NodeAddress] = []

    def start(self) -> None:
        """Start the process; its first line tells the nodes' addresses."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)  # noqa: S603
        line = self._process.stdout.readline() if self._process.stdout is not None else b""
        try:
            nodes: list[dict[str, Any]] = json.loads(line)["nodes"]
        except (ValueError, KeyError):
            raise FedsmError("the devnet did not start") from None
        self.addresses = [NodeAddress(node["port"], Path(node["cookie"])) for node in nodes]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            if self._process.stdout is not None:
                self._process.stdout.close()


def find_elementsd() -> str | None:
    """The elementsd to use: $ELEMENTSD, or the one on PATH."""
    return os.environ.get("ELEMENTSD") or shutil.which("elementsd")


class ElementsNodes:
    """Real Elements nodes on loopback, each connected to all others."""

    def __init__(
        self,
        multisig: Multisig,
        directory: Path,
        *,
        dynafed: bool,
        chain: str = CHAIN_NAME,
        wallet_options: tuple[str, ...] = ("-disablewallet",),
    ) -> None:
        binary = find_elementsd()
        if binary is None:
            raise FedsmError("no elementsd: put it on PATH or name it in the variable ELEMENTSD")
        self._binary = binary
        self._directory = directory
        self._count = multisig.n
        ports = free_ports(2 * multisig.n)
        self._p2p_ports = ports[multisig.n :]
        self.addresses = [
            NodeAddress(port, directory / f"node-{i}" / chain / ".cookie")
            for i, port in enumerate(ports[: multisig.n])
        ]
        self._common = [
            f"-chain={chain}",
            f"-signblockscript={multisig.script.hex()}",
            f"-con_max_block_sig_size={multisig.worst_case_size(dynafed=True)}",
            "-con_blockheightinheader=1",
            "-initialfreecoins=2100000000000000",
            "-fdefaultconsistencychecks=0",
            "-validatepegin=0",
            *wallet_options,
            "-listenonion=0",
            "-dnsseed=0",
            "-discover=0",
            *([] if dynafed else [f"-evbparams={DYNAFED_NEVER}"]),
        ]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start every node."""
        for index in range(self._count):
            self.start_node(index, wait=False)
        for index in range(self._count):
            self._wait_for(index)

    def start_node(self, index: int, *, wait: bool = True) -> None:
        """Start one node (again)."""
        directory = self._directory / f"node-{index}"
        directory.mkdir(parents=True, exist_ok=True)
        peers = [f"-addnode=127.0.0.1:{port}" for i, port in enumerate(self._p2p_ports) if i != index]
        command = [
            self._binary,
            *self._common,
            f"-datadir={directory}",
            f"-rpcport={self.addresses[index].port}",
            "-rpcbind=127.0.0.1",
            "-rpcallowip=127.0.0.1",
            f"-bind=127.0.0.1:{self._p2p_ports[index]}",
            *peers,
        ]
        self._processes[index] = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if wait:
            self._wait_for(index)

    def stop_node(self, index: int) -> None:
        """Shut one node down."""
        process = self._processes.pop(index, None)
        if process is not None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Shut all nodes down."""
        for process in self._processes.values():
            process.terminate()
        for index in list(self._processes):
            self.stop_node(index)

    def _wait_for(self, index: int) -> None:
        end = time.monotonic() + START_S
        rpc = self.addresses[index].rpc()
        while True:
            try:
                rpc.call("getblockcount")
            except (RpcUnavailable, RpcError) as error:
                if time.monotonic() > end or self._processes[index].poll() is not None:
                    raise FedsmError(f"elementsd node {index} did not start: {error}") from None
                time.sleep(0.05)
            else:
                return
