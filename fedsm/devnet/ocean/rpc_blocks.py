"""Ocean's RPCs about the chain and for making, judging and signing blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from fedsm.chains.reader import DecodeError
from fedsm.devnet.block import ParsedBlock, read_block
from fedsm.devnet.ocean.arguments import expect, loose_hash, text, whole
from fedsm.devnet.ocean.proof import combine, sign
from fedsm.devnet.ocean.template import new_block
from fedsm.devnet.ocean.views import block_view, chainwork, header_view
from fedsm.devnet.policy import check_standard
from fedsm.devnet.rejection import Rejection
from fedsm.devnet.rpc_base import (
    DESERIALIZATION_ERROR,
    INVALID_ADDRESS_OR_KEY,
    INVALID_PARAMETER,
    INVALID_PARAMS,
    MISC_ERROR,
    VERIFY_ERROR,
    Context,
    Registry,
    RpcError,
    from_hex,
)

if TYPE_CHECKING:
    from fedsm.devnet.index import BlockEntry
    from fedsm.devnet.ocean.node import OceanNode
    from fedsm.devnet.views import Json

REGISTRY = Registry()

NEVER_ENDS = 999_999_999_999


def node_of(context: Context) -> OceanNode:
    """The node behind a call."""
    return cast("OceanNode", context.node)


@REGISTRY.method("getblockchaininfo")
def getblockchaininfo(context: Context) -> Json:
    """The state of the chain."""
    node = node_of(context)
    with node.lock:
        tip, window = node.chain.tip, node.params.confirmation_window
        since = window if tip.height + 1 >= window else 0  # csv and segwit are active without ever being voted for
        fork = {"status": "active", "startTime": 0, "timeout": NEVER_ENDS, "since": since}
        return {
            "chain": node.params.chain,
            "blocks": tip.height,
            "headers": tip.height,
            "bestblockhash": tip.hash,
            "difficulty": 1,
            "mediantime": tip.median_time,
            "verificationprogress": 1,
            "chainwork": chainwork(tip.height),
            "pruned": False,
            "bip9_softforks": {"csv": fork, "segwit": fork},
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


@REGISTRY.method("getblockhash height", "height:")
def getblockhash(context: Context, height: Any) -> str:
    """Hash of the block at a height of the active chain."""
    number = whole(height)
    with context.node.lock:
        if not 0 <= number <= context.node.chain.tip.height:
            raise RpcError(INVALID_PARAMETER, "Block height out of range")
        return context.node.chain.active[number].hash


@REGISTRY.method('getblockheader "hash" ( verbose )', "blockhash:", "verbose:?")
def getblockheader(context: Context, blockhash: Any, verbose: Any) -> Json | str:
    """A block header, decoded or in hex."""
    name = loose_hash(text(blockhash))
    decoded = True if verbose is None else expect(verbose, "bool")
    with context.node.lock:
        entry = _find(context, name)
        return header_view(context.node.chain, entry) if decoded else entry.header.serialize().hex()


@REGISTRY.method('getblock "blockhash" ( verbosity )', "blockhash:", "verbosity:?")
def getblock(context: Context, blockhash: Any, verbosity: Any) -> Json | str:
    """A block: 0 or false in hex, 1 or true with transaction ids, 2 with transactions."""
    name = loose_hash(text(blockhash))
    depth = 1 if verbosity is None else int(verbosity) if isinstance(verbosity, bool) else whole(verbosity)
    node = node_of(context)
    with node.lock:
        entry = _find(context, name)
        if depth <= 0:
            return entry.block.serialize().hex()
        return block_view(node.chain, entry, node.params.labels if depth > 1 else None)


@REGISTRY.method("getchaintips")
def getchaintips(context: Context) -> list[Json]:
    """The ends of all branches of the block tree, highest first."""
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


@REGISTRY.method("waitfornewblock (timeout)", "timeout:?")
def waitfornewblock(context: Context, timeout: Any) -> Json:
    """Wait for a tip other than the present one; timeout in milliseconds, 0 for none."""
    node = context.node
    with node.lock:
        present = node.chain.tip
    return _tip_view(node.wait(lambda tip: tip is not present, _timeout(timeout)))


@REGISTRY.method("waitforblock <blockhash> (timeout)", "blockhash:", "timeout:?")
def waitforblock(context: Context, blockhash: Any, timeout: Any) -> Json:
    """Wait for a certain block to be the tip; timeout in milliseconds, 0 for none."""
    name = loose_hash(text(blockhash))
    return _tip_view(context.node.wait(lambda tip: tip.hash == name, _timeout(timeout)))


@REGISTRY.method("waitforblockheight <height> (timeout)", "height:", "timeout:?")
def waitforblockheight(context: Context, height: Any, timeout: Any) -> Json:
    """Wait for the chain to be at least that high; timeout in milliseconds, 0 for none."""
    wanted = whole(height)
    return _tip_view(context.node.wait(lambda tip: tip.height >= wanted, _timeout(timeout)))


@REGISTRY.method("getnewblockhex", "required_age:?")
def getnewblockhex(context: Context, required_age: Any) -> str:
    """A new unsigned block on top of the tip, with the waiting transactions of at least that age (seconds)."""
    age = 0 if required_age is None else whole(required_age)
    if age < 0:
        raise RpcError(INVALID_PARAMS, "required_wait must be non-negative.")
    node = node_of(context)
    with node.lock:
        try:
            template = new_block(node.chain, node.params, node.mempool, node.clock.now(), min_tx_age=age)
        except Rejection as rejection:
            message = f"CreateNewBlock: TestBlockValidity failed: {rejection.reason} (code 16)"
            raise RpcError(MISC_ERROR, message) from None
        node.last_block = template
    return template.block.serialize().hex()


@REGISTRY.method('testproposedblock "blockhex"', "blockhex:", "acceptnonstd:?")
def testproposedblock(context: Context, blockhex: Any, acceptnonstd: Any) -> None:
    """Check a block proposal, signed or not: it must build on the tip and break no rule."""
    block = _decode(context, blockhex)
    _check_proposal(context, block)
    if acceptnonstd is not None and not expect(acceptnonstd, "bool"):
        _require_standard(context, block)


@REGISTRY.method('signblock "blockhex"', "blockhex:")
def signblock(context: Context, blockhex: Any) -> str:
    """The signatures of the wallet's keys for a block proposal, as a scriptSig; the proposal is checked first."""
    block = _decode(context, blockhex)
    _check_proposal(context, block)
    node = node_of(context)
    with node.lock:
        locked = node.wallet.is_locked(node.clock.now())
        return sign(block.header, {} if locked else node.wallet.by_public_key()).hex()


@REGISTRY.method('submitblock "hexdata" ( "jsonparametersobject" )', "hexdata:", "parameters:?")
def submitblock(context: Context, hexdata: Any, parameters: Any) -> str | None:  # noqa: ARG001 - BIP 22 has it
    """Take in a signed block; the result is null or the reason why it is not the new tip."""
    block = _decode(context, hexdata)
    if not block.transactions or not block.transactions[0].is_coinbase:
        raise RpcError(DESERIALIZATION_ERROR, "Block does not start with a coinbase")
    return context.node.submit(block)


@REGISTRY.method('combineblocksigs "blockhex" ["signature",...]', "blockhex:", "signatures:")
def combineblocksigs(context: Context, blockhex: Any, signatures: Any) -> Json:
    """Merge signatures, each a scriptSig, into a block until they suffice; what is none for it is left out."""
    block = _decode(context, blockhex)
    header, complete = block.header, False
    for signature in expect(signatures, "array"):
        script_sig = from_hex(text(signature))
        if not script_sig:
            continue
        header, complete = combine(header, [script_sig])
        if complete:
            break
    return {"hex": ParsedBlock(header, block.transactions).serialize().hex(), "complete": complete}


@REGISTRY.method("getmininginfo")
def getmininginfo(context: Context) -> Json:
    """Height, mempool size and what the last block made here held."""
    node = node_of(context)
    with node.lock:
        last = node.last_block
        return {
            "blocks": node.chain.tip.height,
            "currentblocksize": last.size if last is not None else 0,
            "currentblockweight": last.weight if last is not None else 0,
            "currentblocktx": len(last.block.transactions) - 1 if last is not None else 0,
            "difficulty": 1,
            "errors": "",
            "networkhashps": 0,
            "pooledtx": len(node.mempool.entries),
            "chain": node.params.chain,
        }


@REGISTRY.method("getcontracthash ( blockheight )", "blockheight:?")
def getcontracthash(context: Context, blockheight: Any) -> str:  # noqa: ARG001 - the contract never changes here
    """The hash of the terms and conditions that this node writes into blocks."""
    return node_of(context).params.contract_hash


@REGISTRY.method("getmappinghash ( blockheight )", "blockheight:?")
def getmappinghash(context: Context, blockheight: Any) -> str:
    """The mapping hash of a block, the tip by default."""
    with context.node.lock:
        chain = context.node.chain
        height = chain.tip.height if blockheight is None else whole(blockheight)
        if not 0 <= height <= chain.tip.height:
            raise RpcError(INVALID_PARAMETER, "Block height out of range")
        ocean = chain.active[height].header.ocean
    return "00" * 32 if ocean is None else ocean.mapping


def _find(context: Context, name: str) -> BlockEntry:
    entry = context.node.chain.entries.get(name)
    if entry is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Block not found")
    return entry


def _decode(context: Context, blockhex: Any) -> ParsedBlock:
    """The block in hex, with whatever follows it ignored. Raises RpcError."""
    data = from_hex(text(blockhex))
    try:
        if not data:
            raise DecodeError("no bytes")
        return read_block(data, layout=context.node.params.layout)
    except DecodeError:
        raise RpcError(DESERIALIZATION_ERROR, "Block decode failed") from None


def _check_proposal(context: Context, block: ParsedBlock) -> None:
    node = context.node
    with node.lock:
        if node.chain.knows(block.hash):
            raise RpcError(VERIFY_ERROR, "already have block")
        if block.header.previous != node.chain.tip.hash:
            raise RpcError(VERIFY_ERROR, "proposal was not based on our best chain")
        try:
            node.propose(block)
        except Rejection as rejection:
            raise RpcError(VERIFY_ERROR, rejection.reason) from None


def _require_standard(context: Context, block: ParsedBlock) -> None:
    for transaction in block.transactions[1:]:
        try:
            check_standard(transaction, context.node.params.policy_asset)
        except Rejection as rejection:
            message = f"Block proposal included a non-standard transaction: {rejection.reason}"
            raise RpcError(VERIFY_ERROR, message) from None


def _timeout(value: Any) -> int:
    return 0 if value is None else whole(value)


def _tip_view(entry: BlockEntry) -> Json:
    return {"hash": entry.hash, "height": entry.height}
