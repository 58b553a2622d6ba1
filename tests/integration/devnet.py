"""The embedded chain inside the test's process, where single nodes can be stopped and started."""

from __future__ import annotations

from pathlib import Path

from fedsm.chains.script import Multisig
from fedsm.demo.nodes import CHAIN_NAME, NodeAddress
from fedsm.devnet.network import Devnet
from fedsm.devnet.ocean.params import ocean_params
from fedsm.devnet.params import ChainParams, federation_params


class TestDevnet:
    """Devnet nodes with the interface of ElementsNodes."""

    __test__ = False

    def __init__(
        self,
        multisig: Multisig,
        directory: Path,
        *,
        dynafed: bool,
        chain: str = CHAIN_NAME,
        flavour: str = "elements",
    ) -> None:
        directory.mkdir(parents=True)
        params: ChainParams = federation_params(multisig, dynafed=dynafed, chain=chain)
        if flavour == "ocean":
            params = ocean_params(multisig, chain=chain)
        self._devnet = Devnet(multisig.n, params, datadir=directory)
        self.addresses: list[NodeAddress] = []

    def start(self) -> None:
        self._devnet.start()
        for service in self._devnet.services:
            assert service.cookie_file is not None
            self.addresses.append(NodeAddress(service.port, service.cookie_file))

    def stop_node(self, index: int) -> None:
        self._devnet.services[index].stop()

    def start_node(self, index: int) -> None:
        self._devnet.restart(index)

    def close(self) -> None:
        self._devnet.stop()
