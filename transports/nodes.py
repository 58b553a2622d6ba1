"""The --nodes list: where each member's daemon listens, "host:port,host:port,...", entry i for member i."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from transports.base import TransportError
from transports.limits import MAX_MEMBERS

# A host name as resolvers take it: RFC 1123 labels, and the underscore that container names have.
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


@dataclass(frozen=True)
class NodeAddress:
    """One entry. ``host`` is a name, an IPv4 address, an IPv6 address without brackets, or "*"."""

    host: str
    port: int

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host

    @property
    def is_wildcard(self) -> bool:
        """Whether the host stands for all interfaces: only for listening, nobody can connect to it."""
        return self.host in ("*", "0.0.0.0", "::")  # noqa: S104 - the operator asks for it

    @property
    def endpoint(self) -> str:
        """Where to connect, for ZeroMQ and for people: tcp://host:port."""
        return f"tcp://[{self.host}]:{self.port}" if self.is_ipv6 else f"tcp://{self.host}:{self.port}"

    @property
    def listening_endpoint(self) -> str:
        """Where to bind. An address is bound exactly and localhost stays local; any other name means all
        interfaces, because the name that peers use may lead to an address that this host does not have."""
        if self.host == "localhost":
            return f"tcp://127.0.0.1:{self.port}"
        if self.is_ipv6 or _is_ipv4(self.host):
            return self.endpoint
        return f"tcp://*:{self.port}"


def parse_nodes(text: str, own: int) -> tuple[NodeAddress, ...]:
    """Read a --nodes list for the member with number ``own``.

    Raises TransportError that names the entry: one that is empty or malformed, a port outside 1 to 65535, an
    address named twice, a wildcard that is not the own entry, too many entries, or ``own`` beyond the last.
    """
    entries = text.split(",") if text.strip() else []
    if not entries:
        raise TransportError("--nodes is empty: it needs host:port for every member, separated by commas")
    if len(entries) > MAX_MEMBERS:
        raise TransportError(f"--nodes has {len(entries)} entries, a federation at most {MAX_MEMBERS} members")
    if not 0 <= own < len(entries):
        raise TransportError(f"--nodes has entries 0 to {len(entries) - 1}, none for this member's id {own}")
    addresses: list[NodeAddress] = []
    for number, entry in enumerate(entries):
        address = _parse_entry(number, entry.strip())
        if address in addresses:
            raise TransportError(f"entries {addresses.index(address)} and {number} of --nodes are both {entry}")
        if address.is_wildcard and number != own:
            raise TransportError(
                f"entry {number} of --nodes, {entry}, is no address to connect to: only this member's own entry "
                f"({own}) may be a wildcard"
            )
        addresses.append(address)
    return tuple(addresses)


def _parse_entry(number: int, entry: str) -> NodeAddress:
    where = f"entry {number} of --nodes"
    if not entry:
        raise TransportError(f"{where} is empty")
    host, colon, port_text = entry.rpartition(":")
    if not colon or not host:
        raise TransportError(f"{where}, {entry!r}, is not host:port")
    if not re.fullmatch(r"[0-9]{1,5}", port_text) or not 1 <= int(port_text) <= 65535:
        raise TransportError(f"{where}, {entry!r}, has no port between 1 and 65535")
    return NodeAddress(_parse_host(host, f"{where}, {entry!r},"), int(port_text))


def _parse_host(host: str, where: str) -> str:
    if host == "*":
        return host
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise TransportError(f"{where} has no IPv6 address in its brackets") from None
    if ":" in host:
        raise TransportError(f"{where} is not host:port (an IPv6 address goes in brackets: [::1]:1500)")
    if _is_ipv4(host):
        return host
    labels = host.removesuffix(".").split(".")
    # A name whose last label is a number is a mistyped IPv4 address.
    if len(host) > 253 or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        raise TransportError(f"{where} has no valid host name or address")
    return host.lower()


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
