"""Checks of the member's node and its chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fedsm.chains.base import ChainError, ChainIdentity, ChainProfile, FederationScript
from fedsm.chains.rpc import RpcCaller, RpcError, RpcUnavailable
from fedsm.chains.selection import open_chain
from fedsm.config import DaemonConfig
from fedsm.errors import FedsmError
from fedsm.observe.status import Check
from fedsm.preflight import check_federation_file, quorum_of, witness_scripts

UNKNOWN = "not known without the node"


@dataclass(frozen=True)
class FoundChain:
    """A chain that can be worked with, and what the node says about it."""

    chain: ChainProfile
    identity: ChainIdentity
    federation: FederationScript


def find_chain(config: DaemonConfig, rpc: RpcCaller) -> FoundChain | str:
    """The chain, or why the node does not tell."""
    scripts = witness_scripts(config)
    try:
        chain = open_chain(rpc, config.chain, witness_scripts=scripts, hash_policy=config.hash_policy)
        return FoundChain(chain, chain.identify(), chain.federation())
    except (RpcUnavailable, RpcError, ChainError) as error:
        return str(error)


def node_checks(config: DaemonConfig, rpc: RpcCaller, found: FoundChain | str) -> Iterator[Check]:
    """Whether the node can be asked, has all blocks, and is on the federation's chain."""
    if isinstance(found, str):
        yield Check("node", ok=False, detail=found)
        yield Check("synced", ok=False, detail=UNKNOWN)
        yield Check("chain", ok=False, detail=UNKNOWN)
        return
    detail = f"{config.node.url} answers, version {found.identity.version}, chain {found.identity.chain_name}"
    yield Check("node", ok=True, detail=detail)
    yield _synced(found.chain, rpc)
    yield _chain(config, found)


def _synced(chain: ChainProfile, rpc: RpcCaller) -> Check:
    try:
        tip = chain.tip()
        connections = rpc.call("getconnectioncount")
    except (RpcUnavailable, RpcError, ChainError) as error:
        return Check("synced", ok=False, detail=str(error))
    if tip.syncing:
        return Check("synced", ok=False, detail=f"at height {tip.height}, it knows of later blocks: wait for them")
    if connections == 0:
        return Check("synced", ok=False, detail=f"height {tip.height}, and no other node is connected: addnode")
    return Check("synced", ok=True, detail=f"height {tip.height}, {connections} other nodes")


def _chain(config: DaemonConfig, found: FoundChain) -> Check:
    try:
        check_federation_file(config.federation, found.identity, found.federation)
        quorum = quorum_of(config, found.federation)
    except FedsmError as error:
        return Check("chain", ok=False, detail=str(error))
    numbers = f"{quorum.threshold}-of-{quorum.members}, Q = {quorum.votes}, genesis {found.identity.genesis}"
    file = "as in the federation file" if config.federation is not None else "no federation file to compare with"
    return Check("chain", ok=True, detail=f"{numbers}, {file}")
