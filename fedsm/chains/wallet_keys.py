"""Which keys the node's wallet holds, asked in the ways of Elements and of Ocean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fedsm.chains.rpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fedsm.chains.rpc import RpcCaller

METHOD_NOT_FOUND = -32601


class WalletKey(NamedTuple):
    """The P2PKH address of a key on the node's chain, by the node's own rules, and whether the wallet holds it."""

    address: str
    held: bool


def wallet_keys(rpc: RpcCaller, public_keys: Iterable[bytes]) -> list[WalletKey]:
    """What the wallet knows of each key. Raises RpcError and RpcUnavailable as the node gives them."""
    try:
        return [_ask_elements(rpc, key) for key in public_keys]
    except RpcError as error:
        if error.code != METHOD_NOT_FOUND:
            raise
    return [_ask_ocean(rpc, key) for key in public_keys]


def _ask_elements(rpc: RpcCaller, public_key: bytes) -> WalletKey:
    described: Any = rpc.call("getdescriptorinfo", [f"pkh({public_key.hex()})"])
    derived: Any = rpc.call("deriveaddresses", [described["descriptor"]])
    info: Any = rpc.call("getaddressinfo", [derived[0]])
    return WalletKey(str(derived[0]), bool(info.get("ismine")))


def _ask_ocean(rpc: RpcCaller, public_key: bytes) -> WalletKey:
    """Ocean has neither descriptors nor getaddressinfo."""
    decoded: Any = rpc.call("decodescript", [(b"\x21" + public_key + b"\xac").hex()])
    address = str(decoded["addresses"][0])
    info: Any = rpc.call("validateaddress", [address])
    return WalletKey(address, bool(info.get("ismine")))
