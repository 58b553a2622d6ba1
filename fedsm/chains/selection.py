"""Which profile a node's chain needs: as the operator says, or found out from the node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fedsm.chains.base import ChainError
from fedsm.chains.elements import ElementsChain
from fedsm.chains.ocean import HashPolicy, OceanChain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.chains.base import ChainProfile
    from fedsm.chains.rpc import RpcCaller

ChainKind = Literal["auto", "elements", "ocean"]


def open_chain(
    rpc: RpcCaller,
    kind: ChainKind = "auto",
    *,
    witness_scripts: Sequence[bytes] = (),
    hash_policy: HashPolicy = "node",
) -> ChainProfile:
    """The profile for the node behind ``rpc``, which must answer.

    ``witness_scripts`` and ``hash_policy`` are for ElementsChain and OceanChain. Raises ChainError when the node's
    chain is not of the ``kind`` that was asked for, and what the node gives.
    """
    found = _ask(rpc)
    if kind not in ("auto", found):
        raise ChainError(f"--chain {kind}: the node's chain is of the kind {found}")
    if found == "ocean":
        return OceanChain(rpc, hash_policy=hash_policy)
    return ElementsChain(rpc, witness_scripts=witness_scripts)


def _ask(rpc: RpcCaller) -> Literal["elements", "ocean"]:
    """Only Ocean's headers have a contract hash."""
    header = rpc.call("getblockheader", [rpc.call("getblockhash", [0])])
    return "ocean" if isinstance(header, dict) and "contracthash" in header else "elements"
