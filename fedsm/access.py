"""Opens the connection to the member's node that a configuration describes."""

from __future__ import annotations

from fedsm.chains.rpc import NodeRpc
from fedsm.config import NodeAccess
from fedsm.errors import FedsmError


def open_rpc(access: NodeAccess) -> NodeRpc:
    """The node's RPC; nothing is sent yet. FedsmError when credentials are missing or the address is none."""
    by_password = access.user is not None or access.password is not None
    if access.cookie_file is not None and by_password:
        raise FedsmError("--rpccookiefile and --rpcuser, --rpcpassword exclude each other: give one or the other")
    if access.cookie_file is None and (access.user is None or access.password is None):
        raise FedsmError("the node needs --rpcuser and --rpcpassword, or --rpccookiefile")
    try:
        return NodeRpc(
            access.url,
            user=access.user,
            password=access.password,
            cookie_file=access.cookie_file,
            wallet=access.wallet,
        )
    except ValueError:
        raise FedsmError(f"--rpcconnect {access.host} is not a host name or address") from None
