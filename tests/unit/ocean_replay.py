"""Plays the recorded calls to Ocean nodes against devnet nodes, in order, each at its recorded time."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsm.chains.header import parse_block
from fedsm.devnet.block import read_block
from fedsm.devnet.connect import ScriptCache
from fedsm.devnet.gossip import Network
from fedsm.devnet.ocean.dispatch import OceanDispatcher
from fedsm.devnet.ocean.node import OceanNode
from fedsm.devnet.ocean.params import OceanParams
from fedsm.devnet.ocean.wallet import read_wif
from fedsm.devnet.rpc_base import Context
from tests.ocean_vectors import keys, recorded_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

NODES = 4
OPTIONS = ("initialfreecoins", "policycoins", "recordinflation")


def recorded_params() -> OceanParams:
    """The parameters of the recorded chain. The file behind the contract hash was not recorded, the hash was."""
    conf = [line for line in keys()["conf"].split() if line.partition("=")[0] in OPTIONS]
    contract = recorded_blocks()[0]["full"]["contract"]
    return replace(OceanParams.from_args([*keys()["args"], *conf]), contract_hash=contract)


class InstantNetwork(Network):
    """Links that deliver at once, in the thread of the sender."""

    def _post(self, target: int, work: Callable[[], None], delay_s: float = 0.0) -> None:  # noqa: ARG002
        work()


class Replay:
    """Nodes of the recorded chain: 0 to 2 hold the members' keys, 3 holds none."""

    def __init__(self) -> None:
        self.network = InstantNetwork()
        cache = ScriptCache()
        self.nodes = [OceanNode(number, recorded_params(), cache) for number in range(NODES)]
        for node, wif in zip(self.nodes, keys()["wif"], strict=False):
            node.wallet.import_key(secret_of(wif), "")
        self.dispatchers = [OceanDispatcher(self._context(node)) for node in self.nodes]
        for node in self.nodes:
            self.network.join(node)

    def close(self) -> None:
        for number in range(NODES):
            self.network.leave(number)

    def set_clock(self, seconds: float) -> None:
        for node in self.nodes:
            node.clock.set(seconds)

    def post(self, number: int, body: str) -> tuple[int, str]:
        """Status and body that node ``number`` answers a request with."""
        status, answer = self.dispatchers[number].answer("/", body.encode())
        return status, answer.decode()

    def call(self, number: int, method: str, params: list[Any]) -> tuple[int, Any]:
        """Status and decoded answer, its numbers exact."""
        status, body = self.post(number, json.dumps({"method": method, "params": params, "id": 1}))
        return status, json.loads(body, parse_float=Decimal)

    def play(self, row: dict[str, Any]) -> tuple[int, Any]:
        """One recorded call, made at its time."""
        self.set_clock(row["time"])
        if row["method"] == "getnewblockhex" and row["http"] == 200:
            self.set_clock(parse_block(bytes.fromhex(row["response"]["result"])).header.time)
        return self.call(row["node"], row["method"], row["params"])

    def mine(self, row: dict[str, Any]) -> str | None:
        """Have node 0 take in a block of which only the hex was recorded."""
        block = read_block(bytes.fromhex(row["hex"]), layout="ocean")
        self.set_clock(block.header.time)
        return self.nodes[0].submit(block)

    def _context(self, node: OceanNode) -> Context:
        addresses = {number: f"127.0.0.1:{28100 + number}" for number in range(NODES)}
        return Context(node, self.network, Path(), lambda: addresses, lambda: None, [])


def secret_of(wif: str) -> bytes:
    """The secret key in a recorded WIF."""
    secret = read_wif(wif)
    assert secret is not None
    return secret


def recorded_answer(row: dict[str, Any]) -> Any:
    """The recorded answer with exact numbers. (The recorder has turned them into floats: 1e-05 is 0.00001000.)"""
    return json.loads(json.dumps(row["response"]), parse_float=Decimal)
