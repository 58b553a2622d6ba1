"""The embedded chain: loopback nodes that a block-signing daemon cannot tell from Elements Core."""

from __future__ import annotations

from fedsm.devnet.network import Devnet
from fedsm.devnet.params import ChainParams, federation_params
from fedsm.devnet.service import NodeService, RpcSettings

__all__ = ["ChainParams", "Devnet", "NodeService", "RpcSettings", "federation_params"]
