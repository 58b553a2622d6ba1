"""The embedded chain: some nodes of one small chain in this process, each on its own RPC port.

    with Devnet(3, multisig) as devnet:
        devnet.services[0].url, devnet.services[0].credentials
        devnet.partition([0], [1, 2])

The nodes speak the JSON-RPC of Elements Core 28.99, or of Ocean 2.1.1.1, as far as a block-signing daemon needs it.
"""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from fedsm.chains.script import Multisig
from fedsm.demo.ports import free_ports
from fedsm.devnet.connect import ScriptCache
from fedsm.devnet.gossip import Network
from fedsm.devnet.node import Node
from fedsm.devnet.ocean.node import OceanNode
from fedsm.devnet.ocean.params import OceanParams
from fedsm.devnet.params import ChainParams, federation_params
from fedsm.devnet.rpc_server import HOST
from fedsm.devnet.service import NodeService, RpcSettings
from fedsm.devnet.store import BlockStore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self


class Devnet:
    """``nodes`` nodes of one chain, all linked with each other.

    ``federation`` is the block-signing multisig, for a chain with sensible defaults (``dynafed`` chooses its
    form), or complete ChainParams. With a ``datadir`` blocks are kept in ``<datadir>/node-<i>/<chain>/`` and a
    later Devnet goes on with them; else they live in memory and only cookies lie in a temporary directory.
    Node i serves RPC on ``base_port`` + i, or on free ports when ``base_port`` is 0. With OceanParams the nodes are
    Ocean's; ``rescan`` then has them look through blocks that are there already, as -rescan does.
    """

    def __init__(
        self,
        nodes: int,
        federation: Multisig | ChainParams,
        *,
        dynafed: bool = True,
        datadir: Path | None = None,
        base_port: int = 0,
        rpc: RpcSettings | None = None,
        transaction_delay_s: float = 0.0,
        require_standard: bool = True,
        rescan: bool = True,
    ) -> None:
        if nodes < 1:
            raise ValueError("a devnet needs at least one node")
        if isinstance(federation, Multisig):
            federation = federation_params(federation, dynafed=dynafed)
        self.params = federation
        self.network = Network(transaction_delay_s=transaction_delay_s)
        self.services: list[NodeService] = []
        self._number = nodes
        self._datadir = datadir
        self._base_port = base_port
        self._rpc = rpc or RpcSettings()
        self._require_standard = require_standard
        self._rescan = rescan
        self._cache = ScriptCache()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all nodes. Raises OSError when a port is taken, StoreError for another chain's datadir."""
        if self._datadir is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="fedsm-devnet-")
        try:
            for number in range(self._number):
                port = self._base_port + number if self._base_port else free_ports(1)[0]
                self.services.append(self._service(self._node(number), port))
        except BaseException:
            self.stop()
            raise
        for service in self.services:
            service.start()

    def stop(self) -> None:
        """Stop all nodes; cookies and temporary files go."""
        for service in self.services:
            service.stop()
        self.services.clear()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def restart(self, number: int) -> NodeService:
        """Stop a node and start it again on the same port; it keeps its blocks, waiting transactions and wallet."""
        old = self.services[number]
        port = old.port
        old.stop()
        node = self._node(number)
        if isinstance(node, OceanNode) and isinstance(old.node, OceanNode):
            node.wallet = old.node.wallet
        if self._datadir is None:
            entries = sorted(old.node.chain.entries.values(), key=lambda entry: entry.sequence)
            waiting = [entry.transaction for entry in old.node.mempool.in_order()]
            node.load([entry.block for entry in entries if entry.parent is not None and not entry.failed], waiting)
        self.services[number] = self._service(node, port)
        self.services[number].start()
        return self.services[number]

    def cut(self, one: int, other: int) -> None:
        """Cut the link between two nodes."""
        self.network.cut(one, other)

    def heal(self, one: int | None = None, other: int | None = None) -> None:
        """Mend the link between two nodes, without arguments every link."""
        if one is not None and other is not None:
            self.network.heal(one, other)
            return
        for pair in combinations(range(self._number), 2):
            self.network.heal(*pair)

    def partition(self, *groups: Iterable[int]) -> None:
        """Keep links within the groups only; nodes in no group stand alone."""
        group_of = {number: place for place, group in enumerate(groups) for number in group}
        for one, other in combinations(range(self._number), 2):
            together = one in group_of and group_of[one] == group_of.get(other)
            (self.network.heal if together else self.network.cut)(one, other)

    def set_clock(self, seconds: float | None) -> None:
        """Stop the clocks of all nodes at a time (seconds since the epoch); ``None`` lets them run."""
        for service in self.services:
            service.node.clock.set(seconds)

    def _node(self, number: int) -> Node:
        store = None
        if self._datadir is not None:
            store = BlockStore(self._directory(number), self.params)
        if isinstance(self.params, OceanParams):
            wallet = None if store is None else self._directory(number) / "wallet.json"
            return OceanNode(number, self.params, self._cache, store=store, wallet_file=wallet, rescan=self._rescan)
        return Node(number, self.params, self._cache, store=store, require_standard=self._require_standard)

    def _service(self, node: Node, port: int) -> NodeService:
        directory = self._directory(node.number)
        return NodeService(node, self.network, directory, self._rpc, self._addresses, port=port)

    def _directory(self, number: int) -> Path:
        base = self._datadir or Path(self._temporary.name if self._temporary is not None else tempfile.gettempdir())
        return base / f"node-{number}" / self.params.chain

    def _addresses(self) -> dict[int, str]:
        return {service.node.number: f"{HOST}:{service.port}" for service in self.services}
