"""RPCs about the chain, its blocks and unspent outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedsm.chains.header import display_hash, internal_hash
from fedsm.devnet.dynafed import full_parameters
from fedsm.devnet.rpc_base import (
    INVALID_ADDRESS_OR_KEY,
    INVALID_PARAMETER,
    MISC_ERROR,
    Context,
    Registry,
    RpcError,
    hash_argument,
    integer,
)
from fedsm.devnet.script_types import assembly
from fedsm.devnet.views import asset_view, block_view, header_view, script_view

if TYPE_CHECKING:
    from fedsm.devnet.chainstate import ChainState
    from fedsm.devnet.index import BlockEntry
    from fedsm.devnet.views import Json

REGISTRY = Registry()

WARNING = "This is a pre-release test build - use at your own risk - do not use for mining or merchant applications"
VALID_EPOCHS = 2  # epochs for which a peg script stays valid (total_valid_epochs)
PEGIN_DEPTH = 8
TARGET_LIMIT = "7f" + "ff" * 31


@REGISTRY.method("getblockchaininfo")
def getblockchaininfo(context: Context) -> Json:
    """The state of the chain; current_* describe the block that comes next."""
    node = context.node
    with node.lock:
        chain, tip = node.chain, node.chain.tip
        return {
            "chain": chain.params.chain,
            "blocks": tip.height,
            "headers": tip.height,
            "bestblockhash": tip.hash,
            "time": tip.header.time,
            "mediantime": tip.median_time,
            "verificationprogress": 1 if tip.height else 0,
            "initialblockdownload": node.downloading,
            "size_on_disk": chain.disk_size,
            "pruned": False,
            "trim_headers": False,
            **_federation_view(chain),
            "warnings": [WARNING],
        }


def _federation_view(chain: ChainState) -> Json:
    params, tip = chain.params, chain.tip
    if not chain.deployments.dynafed_active(tip):
        return {
            "current_signblock_asm": assembly(params.signblockscript),
            "current_signblock_hex": params.signblockscript.hex(),
            "max_block_witness": params.max_block_sig_size,
            "extension_space": [entry.hex() for entry in params.extension_space],
        }
    entry = full_parameters(tip, params)
    return {
        "current_params_root": display_hash(entry.root()),
        "current_signblock_asm": assembly(entry.signblockscript),
        "current_signblock_hex": entry.signblockscript.hex(),
        "max_block_witness": entry.max_block_witness,
        "current_fedpeg_program": entry.fedpeg_program.hex(),
        "current_fedpeg_script": entry.fedpegscript.hex(),
        "extension_space": [item.hex() for item in entry.extension_space],
        "epoch_length": params.epoch_length,
        "total_valid_epochs": VALID_EPOCHS,
        "epoch_age": tip.height % params.epoch_length,
    }


@REGISTRY.method("getblockcount")
def getblockcount(context: Context) -> int:
    """Height of the tip."""
    with context.node.lock:
        return context.node.chain.tip.height


@REGISTRY.method("getbestblockhash")
def getbestblockhash(context: Context) -> str:
    """Hash of the tip."""
    with context.node.lock:
        return context.node.chain.tip.hash


@REGISTRY.method("getblockhash height", "height:number")
def getblockhash(context: Context, height: Any) -> str:
    """Hash of the block at a height of the active chain."""
    number = integer(height)
    with context.node.lock:
        if not 0 <= number <= context.node.chain.tip.height:
            raise RpcError(INVALID_PARAMETER, "Block height out of range")
        return context.node.chain.active[number].hash


@REGISTRY.method('getblockheader "blockhash" ( verbose )', "blockhash:string", "verbose:bool?")
def getblockheader(context: Context, blockhash: str, verbose: bool | None) -> Json | str:
    """A block header, decoded or in hex."""
    name = hash_argument(blockhash, "hash")
    with context.node.lock:
        entry = find_block(context, name)
        if verbose is False:
            return entry.header.serialize().hex()
        return header_view(context.node.chain, entry)


@REGISTRY.method('getblock "blockhash" ( verbosity )', "blockhash:string", "verbosity:?")
def getblock(context: Context, blockhash: str, verbosity: Any) -> Json | str:
    """A block: 0 in hex, 1 with transaction ids, 2 with transactions, 3 also with the outputs they spend."""
    name = hash_argument(blockhash, "blockhash")
    depth = _verbosity(verbosity, 1)
    with context.node.lock:
        entry = find_block(context, name)
        if depth <= 0:
            return entry.block.serialize().hex()
        return block_view(context.node.chain, entry, depth)


@REGISTRY.method("getchaintips")
def getchaintips(context: Context) -> list[Json]:
    """The ends of all branches of the block tree."""
    with context.node.lock:
        chain = context.node.chain
        return [
            {
                "height": entry.height,
                "hash": entry.hash,
                "branchlen": entry.height - chain.fork_point(entry).height,
                "status": status,
            }
            for entry, status in chain.tips()
        ]


@REGISTRY.method("getsidechaininfo")
def getsidechaininfo(context: Context) -> Json:
    """What ties the chain to its parent chain."""
    params = context.node.params
    with context.node.lock:
        pegs = _valid_pegs(context.node.chain)
    return {
        "fedpegscript": params.fedpegscript.hex(),
        "current_fedpeg_programs": [program.hex() for program, _ in pegs],
        "current_fedpegscripts": [script.hex() for _, script in pegs],
        "pegged_asset": display_hash(params.pegged_asset),
        "min_peg_diff": TARGET_LIMIT,
        "parent_blockhash": params.parent_genesis,
        "parent_chain_has_pow": True,
        "enforce_pak": params.enforce_pak,
        "pegin_confirmation_depth": PEGIN_DEPTH,
    }


@REGISTRY.method("waitfornewblock ( timeout )", "timeout:number?")
def waitfornewblock(context: Context, timeout: Any) -> Json:
    """Wait for a tip other than the present one; timeout in milliseconds, 0 for none."""
    node = context.node
    milliseconds = _timeout(timeout)
    with node.lock:
        present = node.chain.tip
    return _tip_view(node.wait(lambda tip: tip is not present, milliseconds))


@REGISTRY.method('waitforblock "blockhash" ( timeout )', "blockhash:string", "timeout:number?")
def waitforblock(context: Context, blockhash: str, timeout: Any) -> Json:
    """Wait for a certain block to be the tip; timeout in milliseconds, 0 for none."""
    name = hash_argument(blockhash, "blockhash")
    return _tip_view(context.node.wait(lambda tip: tip.hash == name, _timeout(timeout)))


@REGISTRY.method("waitforblockheight height ( timeout )", "height:number", "timeout:number?")
def waitforblockheight(context: Context, height: Any, timeout: Any) -> Json:
    """Wait for the chain to be at least that high; timeout in milliseconds, 0 for none."""
    wanted = integer(height)
    return _tip_view(context.node.wait(lambda tip: tip.height >= wanted, _timeout(timeout)))


@REGISTRY.method('gettxout "txid" n ( include_mempool )', "txid:string", "n:number", "include_mempool:bool?")
def gettxout(context: Context, txid: str, n: Any, include_mempool: bool | None) -> Json | None:
    """An unspent output, null when there is none; the mempool counts unless told otherwise."""
    name, index = hash_argument(txid, "txid"), integer(n, signed=False)
    outpoint = internal_hash(name) + index.to_bytes(4, "little")
    node = context.node
    with node.lock:
        mempool, tip = node.mempool, node.chain.tip
        if include_mempool is False:
            coin = node.chain.coins.get(outpoint)
        else:
            coin = None if mempool.is_spent(outpoint) else mempool.get(outpoint)
    if coin is None:
        return None
    return {
        "bestblock": tip.hash,
        "confirmations": max(tip.height - coin.height + 1, 0),
        **asset_view(coin.output),
        "scriptPubKey": script_view(coin.output.script),
        "coinbase": coin.coinbase,
    }


def find_block(context: Context, name: str) -> BlockEntry:
    """The block by hash, in any branch. Raises RpcError."""
    entry = context.node.chain.entries.get(name)
    if entry is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Block not found")
    return entry


def _valid_pegs(chain: ChainState) -> list[tuple[bytes, bytes]]:
    """Peg programs and scripts that pegs into the next block may use, newest first."""
    params, tip = chain.params, chain.tip
    length, pegs = params.epoch_length, []
    if tip.height % length == length - 1:
        following = full_parameters(tip, params)
        pegs.append((following.fedpeg_program, following.fedpegscript))
    start = tip.height - tip.height % length
    for height in range(start, max(start - VALID_EPOCHS * length, -1), -length):
        header = chain.active[height].header
        own = (header.current.fedpeg_program, header.current.fedpegscript)
        pegs.append(own if header.dynafed else (params.fedpeg_program, params.fedpegscript))
    return pegs[:VALID_EPOCHS]


def _verbosity(value: Any, default: int) -> int:
    if value is None:
        return default
    return int(value) if isinstance(value, bool) else integer(value)


def _timeout(value: Any) -> int:
    milliseconds = 0 if value is None else integer(value)
    if milliseconds < 0:
        raise RpcError(MISC_ERROR, "Negative timeout")
    return milliseconds


def _tip_view(entry: BlockEntry) -> Json:
    return {"hash": entry.hash, "height": entry.height}
