"""JSON-RPC as Ocean speaks it: version 1.0 whatever is asked for, and one path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedsm.devnet.ocean import (
    rpc_assets,
    rpc_blocks,
    rpc_coins,
    rpc_network,
    rpc_signing,
    rpc_transactions,
    rpc_wallet,
)
from fedsm.devnet.rpc_base import METHOD_NOT_FOUND, RpcError
from fedsm.devnet.rpc_dispatch import Dispatcher

if TYPE_CHECKING:
    from fedsm.devnet.rpc_base import Registry


class OceanDispatcher(Dispatcher):
    """As Dispatcher. Without ``wallet_support`` the wallet's methods are not there at all."""

    no_object = "Parse error"

    def serves(self, path: str) -> bool:
        """Ocean has one wallet and so one path."""
        return path == "/"

    def _registries(self) -> list[Registry]:
        modules = [rpc_blocks, rpc_network, rpc_transactions, rpc_assets]
        wallet = [rpc_wallet, rpc_coins, rpc_signing]
        return [module.REGISTRY for module in [*modules, *(wallet if self.wallet_support else [])]]

    def _read(self, request: Any) -> Any:
        """The version asked for is ignored, and every answer has an id."""
        if not isinstance(request, dict):
            return request
        return {"id": None} | {name: value for name, value in request.items() if name != "jsonrpc"}

    def _unknown(self, path: str, name: str) -> RpcError:  # noqa: ARG002 - the same on all paths
        return RpcError(METHOD_NOT_FOUND, "Method not found")
