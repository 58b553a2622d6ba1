"""Which kind of clients a node's chain needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.chains.ocean import OceanChain
from fedsm.chains.selection import open_chain
from fedsm.clients.elements import ElementsTeller
from fedsm.clients.ocean import OceanTeller
from fedsm.clients.wallet import WalletClient, has_money

if TYPE_CHECKING:
    from fedsm.chains.rpc import RpcCaller
    from fedsm.clients.base import Clients
    from fedsm.clients.teller import Teller


def open_clients(rpc: RpcCaller) -> Clients:
    """Clients beside a node, whose wallet pays if it has money. Raises what the node gives, and ChainError."""
    teller = open_teller(rpc)
    return WalletClient(rpc) if isinstance(teller, ElementsTeller) and has_money(rpc) else teller


def open_teller(rpc: RpcCaller) -> Teller:
    """Two clients with keys of their own. Raises what the node gives, and ChainError."""
    return OceanTeller(rpc) if isinstance(open_chain(rpc), OceanChain) else ElementsTeller(rpc)
