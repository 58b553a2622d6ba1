"""A chain that does not exist yet: the options by which every member's node makes the same one."""

from __future__ import annotations

from fedsm.devnet.genesis import genesis_block
from fedsm.devnet.params import ChainParams, federation_params
from fedsm.errors import FedsmError
from fedsm.federation_file import FederationFile


def params_of(file: FederationFile) -> ChainParams:
    """The parameters of the new chain that a federation file describes.

    FedsmError when the file names none, or its genesis hash is not that of these parameters.
    """
    if file.name is None:
        raise FedsmError("the federation file is for a chain that exists: it has no name and options of a new one")
    params = _params(file)
    genesis = genesis_block(params).header.hash
    if genesis != file.chain:
        raise FedsmError(
            f"the federation file says that its chain is {file.chain}, but its keys, threshold, name and free "
            f"coins make {genesis}: it was changed"
        )
    return params


def genesis_of(file: FederationFile) -> str:
    """The genesis hash (display order) that Elements nodes make for the file's keys, threshold and name."""
    return genesis_block(_params(file)).header.hash


def _params(file: FederationFile) -> ChainParams:
    return federation_params(file.multisig, chain=file.name or "", initial_free_coins=file.free_coins or 0)


def elements_conf(params: ChainParams, rpc_port: int) -> str:
    """An elements.conf for a node of the chain. What stands above the section must be the same at all members."""
    return "\n".join(
        (
            f"chain={params.chain}",
            f"signblockscript={params.signblockscript.hex()}",
            f"con_max_block_sig_size={params.max_block_sig_size}",
            "con_blockheightinheader=1",
            f"initialfreecoins={params.initial_free_coins}",
            "validatepegin=0",
            "",
            "# This node's own: its ports, and the other members' nodes as addnode=HOST:PORT.",
            f"[{params.chain}]",
            f"rpcport={rpc_port}",
            "",
        )
    )
