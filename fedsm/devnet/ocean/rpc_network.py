"""Ocean's RPCs about the node and its links. A node's P2P address is its RPC address here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fedsm.devnet import rpc_network as elements
from fedsm.devnet.ocean.arguments import expect, text
from fedsm.devnet.ocean.mempool import RELAY_FEE_RATE
from fedsm.devnet.rpc_base import INVALID_PARAMETER, Context, Registry, RpcError, coins, integer

if TYPE_CHECKING:
    from fedsm.devnet.views import Json

REGISTRY = Registry()

VERSION = 2_010_101
SUBVERSION = "/Satoshi:2.1.1.1/"
PROTOCOL = 70_015
SERVICES = "0000000000000009"


@REGISTRY.method("getnetworkinfo")
def getnetworkinfo(context: Context) -> Json:
    """Software, services and connections of the node."""
    number, rate = context.node.number, coins(RELAY_FEE_RATE)
    return {
        "version": VERSION,
        "subversion": SUBVERSION,
        "protocolversion": PROTOCOL,
        "localservices": SERVICES,
        "localrelay": True,
        "timeoffset": 0,
        "networkactive": context.network.is_active(number),
        "connections": len(context.network.peers(number)),
        "networks": [_reachability(name) for name in ("ipv4", "ipv6", "onion")],
        "relayfee": rate,
        "incrementalfee": rate,
        "localaddresses": [],
        "warnings": "",
    }


@REGISTRY.method("getconnectioncount")
def getconnectioncount(context: Context) -> int:
    """The number of linked nodes."""
    return len(context.network.peers(context.node.number))


@REGISTRY.method("getpeerinfo")
def getpeerinfo(context: Context) -> list[Json]:
    """The linked nodes; their id is their number in this network."""
    addresses = context.addresses()
    return [_peer_view(context, peer, addresses[peer]) for peer in context.network.peers(context.node.number)]


@REGISTRY.method("setnetworkactive true|false", "state:")
def setnetworkactive(context: Context, state: Any) -> bool:
    """Cut the node off from all others, or let it back in."""
    active: bool = expect(state, "bool")
    context.network.set_active(context.node.number, active)
    return active


@REGISTRY.method('addnode "node" "add|remove|onetry"', "node:", "command:")
def addnode(context: Context, node: Any, command: Any) -> None:
    """Link with a node (add, onetry), or take it off the list of added nodes (remove)."""
    elements.addnode(context, text(node), text(command), None)


@REGISTRY.method('disconnectnode "node" ', "address:")
def disconnectnode(context: Context, address: Any) -> None:
    """Cut the link to a node; it stays cut until addnode mends it."""
    elements.disconnectnode(context, text(address), None)


@REGISTRY.method("ping")
def ping(context: Context) -> None:
    """Ask the peers for an answer, to measure how long they take."""


@REGISTRY.method("stop")
def stop(context: Context) -> str:
    """End the node."""
    context.stop()
    return "Ocean server stopping"


@REGISTRY.method("setmocktime timestamp", "timestamp:")
def setmocktime(context: Context, timestamp: Any) -> None:
    """Stop the node's clock at a time (seconds since the epoch); 0 lets it run again."""
    seconds = integer(timestamp, bits=64)
    if seconds < 0:
        raise RpcError(INVALID_PARAMETER, "timestamp must not be negative")
    context.node.clock.set(seconds or None)


def _reachability(name: str) -> Json:
    reachable = name in ("ipv4", "ipv6")
    return {
        "name": name,
        "limited": not reachable,
        "reachable": reachable,
        "proxy": "",
        "proxy_randomize_credentials": False,
    }


def _peer_view(context: Context, peer: int, address: str) -> Json:
    """By convention the node with the higher number connects to the other one."""
    now = int(time.time())
    return {
        "id": peer,
        "addr": address,
        "services": SERVICES,
        "relaytxes": True,
        "lastsend": now,
        "lastrecv": now,
        "bytessent": 0,
        "bytesrecv": 0,
        "conntime": int(context.node.started),
        "timeoffset": 0,
        "pingtime": 0.0002,
        "minping": 0.0002,
        "version": PROTOCOL,
        "subver": SUBVERSION,
        "inbound": peer > context.node.number,
        "addnode": False,
        "startingheight": 0,
        "banscore": 0,
        "synced_headers": -1,
        "synced_blocks": -1,
        "inflight": [],
        "whitelisted": False,
        "bytessent_per_msg": {},
        "bytesrecv_per_msg": {},
    }
