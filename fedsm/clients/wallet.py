"""One client, whose keys are in the wallet of its Elements node: it pays to new addresses of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.chains.rpc import RpcError
from fedsm.clients.base import Payment
from fedsm.reissue.report import units

if TYPE_CHECKING:
    from fedsm.chains.rpc import RpcCaller


class WalletClient:
    """See Clients."""

    def __init__(self, rpc: RpcCaller) -> None:
        self._rpc = rpc

    def issue(self, satoshi: int) -> str:
        """By issueasset: no reissuance token, explicit amounts."""
        return str(self._rpc.call("issueasset", [units(satoshi), 0, False])["asset"])

    def pay(self, asset: str, satoshi: int) -> Payment:
        """By getnewaddress and sendtoaddress."""
        address = self._rpc.call("getnewaddress")
        params = [address, units(satoshi), "", "", False, None, None, "unset", False, asset]
        return Payment(asset, satoshi, str(self._rpc.call("sendtoaddress", params)))


def has_money(rpc: RpcCaller) -> bool:
    """Whether the node has a wallet with something in it."""
    try:
        return any(rpc.call("getbalance").values())
    except RpcError:
        return False
