"""RPCs about the node's links and software. A node's P2P address is its RPC address here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fedsm.devnet.policy import RELAY_FEE_RATE
from fedsm.devnet.rpc_base import (
    INVALID_PARAMS,
    MISC_ERROR,
    NODE_ALREADY_ADDED,
    NODE_NOT_ADDED,
    NODE_NOT_CONNECTED,
    Context,
    Registry,
    RpcError,
    coins,
    integer,
)
from fedsm.devnet.rpc_blockchain import WARNING

if TYPE_CHECKING:
    from fedsm.devnet.views import Json

REGISTRY = Registry()

VERSION = 289_900
SUBVERSION = "/Elements Core:28.99.0/"
PROTOCOL = 70_016
SERVICES = "0000000000000c09"
SERVICE_NAMES = ["NETWORK", "WITNESS", "NETWORK_LIMITED", "P2P_V2"]
ADDNODE_USAGE = 'addnode "node" "command" ( v2transport )'


@REGISTRY.method("getnetworkinfo")
def getnetworkinfo(context: Context) -> Json:
    """Software, services and connections of the node."""
    number = context.node.number
    connections = len(context.network.peers(number))
    inbound = _inbound(context)
    rate = coins(RELAY_FEE_RATE)
    return {
        "version": VERSION,
        "subversion": SUBVERSION,
        "protocolversion": PROTOCOL,
        "localservices": SERVICES,
        "localservicesnames": SERVICE_NAMES,
        "localrelay": True,
        "timeoffset": 0,
        "networkactive": context.network.is_active(number),
        "connections": connections,
        "connections_in": inbound,
        "connections_out": connections - inbound,
        "networks": [_reachability(name) for name in ("ipv4", "ipv6", "onion", "i2p", "cjdns")],
        "relayfee": rate,
        "incrementalfee": rate,
        "localaddresses": [],
        "warnings": [WARNING],
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


@REGISTRY.method("setnetworkactive state", "state:bool")
def setnetworkactive(context: Context, state: bool) -> bool:
    """Cut the node off from all others, or let it back in."""
    context.network.set_active(context.node.number, state)
    return state


@REGISTRY.method('disconnectnode ( "address" nodeid )', "address:string?", "nodeid:number?")
def disconnectnode(context: Context, address: str | None, nodeid: Any) -> None:
    """Cut the link to a node, given by address or by id; it stays cut until addnode mends it."""
    if (not address) == (nodeid is None):
        raise RpcError(INVALID_PARAMS, "Only one of address and nodeid should be provided.")
    peer = _number_of(context, address) if address else integer(nodeid)
    if peer not in context.network.peers(context.node.number):
        raise RpcError(NODE_NOT_CONNECTED, "Node not found in connected nodes")
    context.network.cut(context.node.number, peer)


@REGISTRY.method(ADDNODE_USAGE, "node:string", "command:string", "v2transport:bool?")
def addnode(context: Context, node: str, command: str, v2transport: bool | None) -> None:  # noqa: ARG001
    """Link with a node (add, onetry), or take it off the list of added nodes (remove)."""
    added = context.network.added.setdefault(context.node.number, set())
    if command == "remove":
        if node not in added:
            detail = "Node could not be removed. It has not been added previously."
            raise RpcError(NODE_NOT_ADDED, f"Error: {detail}")
        added.discard(node)
        return
    if command not in ("add", "onetry"):
        raise RpcError(MISC_ERROR, f"{ADDNODE_USAGE}\n\ncommand is add, remove or onetry\n")
    if command == "add":
        if node in added:
            raise RpcError(NODE_ALREADY_ADDED, "Error: Node already added")
        added.add(node)
    peer = _number_of(context, node)
    if peer is not None:
        context.network.heal(context.node.number, peer)


@REGISTRY.method('getaddednodeinfo ( "node" )', "node:string?")
def getaddednodeinfo(context: Context, node: str | None) -> list[Json]:
    """The nodes that addnode add has put on the list."""
    added = sorted(context.network.added.get(context.node.number, set()))
    if node is not None:
        if node not in added:
            raise RpcError(NODE_NOT_ADDED, "Error: Node has not been added.")
        added = [node]
    peers = context.network.peers(context.node.number)
    return [_added_view(address, linked=_number_of(context, address) in peers) for address in added]


@REGISTRY.method("ping")
def ping(context: Context) -> None:
    """Ask the peers for an answer, to measure how long they take."""


def _number_of(context: Context, address: str) -> int | None:
    return next((number for number, own in context.addresses().items() if own == address), None)


def _inbound(context: Context) -> int:
    """By convention the node with the higher number connects to the other one."""
    return sum(peer > context.node.number for peer in context.network.peers(context.node.number))


def _reachability(name: str) -> Json:
    reachable = name in ("ipv4", "ipv6")
    return {
        "name": name,
        "limited": not reachable,
        "reachable": reachable,
        "proxy": "",
        "proxy_randomize_credentials": False,
    }


def _added_view(address: str, *, linked: bool) -> Json:
    addresses = [{"address": address, "connected": "outbound"}] if linked else []
    return {"addednode": address, "connected": linked, "addresses": addresses}


def _peer_view(context: Context, peer: int, address: str) -> Json:
    inbound, now = peer > context.node.number, int(time.time())
    return {
        "id": peer,
        "addr": address,
        "network": "not_publicly_routable",
        "services": SERVICES,
        "servicesnames": SERVICE_NAMES,
        "relaytxes": True,
        "lastsend": now,
        "lastrecv": now,
        "last_transaction": 0,
        "last_block": 0,
        "bytessent": 0,
        "bytesrecv": 0,
        "conntime": int(context.node.started),
        "timeoffset": 0,
        "pingtime": 0.0002,
        "minping": 0.0002,
        "version": PROTOCOL,
        "subver": SUBVERSION,
        "inbound": inbound,
        "bip152_hb_to": False,
        "bip152_hb_from": False,
        "startingheight": 0,
        "presynced_headers": -1,
        "synced_headers": -1,
        "synced_blocks": -1,
        "inflight": [],
        "addr_relay_enabled": True,
        "addr_processed": 0,
        "addr_rate_limited": 0,
        "permissions": [],
        "minfeefilter": coins(RELAY_FEE_RATE),
        "connection_type": "inbound" if inbound else "manual",
        "transport_protocol_type": "v2",
        "session_id": "",
    }
