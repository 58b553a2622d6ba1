"""RPCs about the node itself, and the answers of a node without a wallet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fedsm.devnet.rpc_base import (
    INVALID_PARAMETER,
    Context,
    Registry,
    RpcError,
    hash_argument,
    integer,
)
from fedsm.devnet.rpc_blockchain import WARNING, find_block

if TYPE_CHECKING:
    from fedsm.devnet.chainstate import ChainState
    from fedsm.devnet.deployments import Deployment
    from fedsm.devnet.index import BlockEntry
    from fedsm.devnet.views import Json

REGISTRY = Registry()

NEVER_ENDS = 2**63 - 1
BURIED = {"bip34": 0, "bip66": 0, "bip65": 0, "csv": 1, "segwit": 0}
KEY_PAIR_SIZE = 33


@REGISTRY.method("uptime")
def uptime(context: Context) -> int:
    """Seconds since the node started."""
    return int(time.time() - context.node.started)


@REGISTRY.method("stop ( wait )", "wait:number?")
def stop(context: Context, wait: Any) -> str:  # noqa: ARG001 - nodes have it for tests of their own
    """End the node."""
    context.stop()
    return "Elements Core stopping"


@REGISTRY.method("getrpcinfo")
def getrpcinfo(context: Context) -> Json:
    """The calls under way and where the node logs."""
    now = time.monotonic()
    commands = [
        {"method": name, "duration": int((now - started) * 1_000_000)} for name, started in list(context.active)
    ]
    return {"active_commands": commands, "logpath": str(context.directory / "debug.log")}


@REGISTRY.method("setmocktime timestamp", "timestamp:number")
def setmocktime(context: Context, timestamp: Any) -> None:
    """Stop the node's clock at a time (seconds since the epoch); 0 lets it run again."""
    seconds = integer(timestamp, bits=64)
    if seconds < 0:
        raise RpcError(INVALID_PARAMETER, f"Mocktime must be in the range [0, 9223372036], not {seconds}.")
    context.node.clock.set(seconds or None)


@REGISTRY.method("getmininginfo")
def getmininginfo(context: Context) -> Json:
    """Height, mempool size and what the last block made here held."""
    node = context.node
    with node.lock:
        view: Json = {"blocks": node.chain.tip.height}
        if node.last_template is not None:
            view["currentblockweight"] = node.last_template.weight
            view["currentblocktx"] = len(node.last_template.block.transactions) - 1
        waiting = len(node.mempool.entries)
    return view | {"pooledtx": waiting, "chain": node.params.chain, "warnings": [WARNING]}


@REGISTRY.method('getindexinfo ( "index_name" )', "index_name:string?")
def getindexinfo(context: Context, index_name: str | None) -> Json:
    """The indexes that the node keeps: transactions by id."""
    if index_name not in (None, "", "txindex"):
        return {}
    with context.node.lock:
        return {"txindex": {"synced": True, "best_block_height": context.node.chain.tip.height}}


@REGISTRY.method("getpakinfo")
def getpakinfo(context: Context) -> Json:
    """The peg-out authorization keys of the chain's parameters."""
    space = context.node.params.extension_space
    keys: Json = {
        "online": [entry[:KEY_PAIR_SIZE].hex() for entry in space],
        "offline": [entry[KEY_PAIR_SIZE:].hex() for entry in space],
        "reject": not space,
    }
    return {"block_paklist": keys}


@REGISTRY.method('getdeploymentinfo ( "blockhash" )', "blockhash:string?")
def getdeploymentinfo(context: Context, blockhash: str | None) -> Json:
    """The state of rule changes as of a block, the tip by default."""
    with context.node.lock:
        chain = context.node.chain
        name = chain.tip.hash if blockhash is None else hash_argument(blockhash, "blockhash")
        entry = find_block(context, name)
        deployments = chain.deployments
        return {
            "hash": entry.hash,
            "height": entry.height,
            "deployments": {
                **{name: _buried(entry, height) for name, height in BURIED.items()},
                "dynafed": _bip9(chain, deployments.dynafed, entry),
                "testdummy": _bip9(chain, deployments.testdummy, entry),
                "taproot": _bip9(chain, deployments.taproot, entry),
            },
        }


def _buried(entry: BlockEntry, height: int) -> Json:
    return {"type": "buried", "active": entry.height + 1 >= height, "height": height}


def _bip9(chain: ChainState, deployment: Deployment, entry: BlockEntry) -> Json:
    deployments = chain.deployments
    state, following = deployments.state(deployment, entry.parent), deployments.state(deployment, entry)
    since = deployments.since(deployment, entry.parent)
    signalled = state in ("started", "locked_in")
    bip9: Json = {"bit": deployment.bit} if signalled else {}
    bip9 |= {
        "start_time": deployment.start,
        "timeout": NEVER_ENDS,
        "min_activation_height": 0,
        "status": state,
        "since": since,
        "status_next": following,
    }
    if signalled:
        bip9 |= _signals(chain, deployment, entry, counting=state == "started")
    view: Json = {"type": "bip9"}
    if "active" in (state, following):
        view["height"] = since if state == "active" else entry.height + 1
    return view | {"active": following == "active", "bip9": bip9}


def _signals(chain: ChainState, deployment: Deployment, entry: BlockEntry, *, counting: bool) -> Json:
    signals = chain.deployments.signals(deployment, entry)
    count = sum(signals)
    statistics: Json = {"period": deployment.period, "elapsed": len(signals), "count": count}
    if counting:
        statistics["threshold"] = deployment.threshold
        statistics["possible"] = deployment.period - deployment.threshold >= len(signals) - count
    return {"statistics": statistics, "signalling": "".join("#" if signal else "-" for signal in signals)}
