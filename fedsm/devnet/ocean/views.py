"""Blocks, transactions and scripts as JSON, with the fields of Ocean's answers in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.header import display_hash
from fedsm.chains.transaction import issued_assets
from fedsm.devnet import encoding
from fedsm.devnet.encoding import Flags, ScriptFailure
from fedsm.devnet.rpc_base import coins
from fedsm.devnet.script_types import P2PKH_PREFIX, address_of, assembly, multisig_parts, script_type
from fedsm.devnet.views import issuance_view

if TYPE_CHECKING:
    from fedsm.chains.transaction import Issuance, Transaction, TxInput, TxOutput
    from fedsm.devnet.chainstate import ChainState
    from fedsm.devnet.index import BlockEntry

Json = dict[str, object]
Labels = dict[bytes, str]
EXPLICIT = 1
_SIGHASHES = {
    1: "ALL",
    2: "NONE",
    3: "SINGLE",
    0x81: "ALL|ANYONECANPAY",
    0x82: "NONE|ANYONECANPAY",
    0x83: "SINGLE|ANYONECANPAY",
}


def header_view(chain: ChainState, entry: BlockEntry) -> Json:
    """getblockheader: a block of the active chain has confirmations, another one -1."""
    start = _start_view(chain, entry)
    return start | {"merkleroot": entry.header.merkle_root} | _end_view(chain, entry)


def block_view(chain: ChainState, entry: BlockEntry, labels: Labels | None) -> Json:
    """getblock: with transaction ids, or with ``labels`` of assets with whole transactions."""
    block = entry.block
    start = _start_view(chain, entry)
    sizes: Json = {"strippedsize": block.base_size, "size": block.size, "weight": block.weight}
    ids: list[object] = [display_hash(transaction.txid) for transaction in block.transactions]
    if labels is not None:
        ids = [transaction_view(transaction, labels) for transaction in block.transactions]
    confirmations = {name: start.pop(name) for name in ("hash", "confirmations")}
    return (
        confirmations
        | sizes
        | start
        | {"merkleroot": entry.header.merkle_root, "tx": ids}
        | _end_view(chain, entry)
    )


def chainwork(height: int) -> str:
    """Every block is worth one, the genesis block included."""
    return f"{height + 1:064x}"


def transaction_view(transaction: Transaction, labels: Labels) -> Json:
    """A decoded transaction, as getrawtransaction, decoderawtransaction and getblock print it."""
    return {
        "txid": display_hash(transaction.txid),
        "hash": display_hash(transaction.wtxid),
        "withash": display_hash(transaction.witness_only_hash),
        "size": len(transaction.raw),
        "vsize": transaction.vsize,
        "version": transaction.version,
        "locktime": transaction.locktime,
        "vin": [_input_view(transaction, index, labels) for index in range(len(transaction.inputs))],
        "vout": [_output_view(output, index, labels) for index, output in enumerate(transaction.outputs)],
    }


def script_view(script: bytes, *, with_hex: bool = True) -> Json:
    """An output script in all the forms that nodes print."""
    view: Json = {"asm": assembly(script)}
    if with_hex:
        view["hex"] = script.hex()
    parts = multisig_parts(script)
    if parts is not None:
        addresses = [_key_address(key) for key in parts[1]]
        return view | {"reqSigs": parts[0], "type": "multisig", "addresses": addresses}
    kind = script_type(script)
    address = _key_address(script[1:-1]) if kind == "pubkey" else address_of(script)
    if address is None or kind.startswith("witness"):
        return view | {"type": kind}
    return view | {"reqSigs": 1, "type": kind, "addresses": [address]}


def script_sig_assembly(script: bytes) -> str:
    """A scriptSig in words, sighash types of signatures told by name."""
    words = []
    try:
        for opcode, data in encoding.opcodes(script):
            if opcode > 0x4E or len(data) <= 4:
                words.append(assembly(bytes([opcode]) + data if opcode <= 0x4B else bytes([opcode])))
            else:
                words.append(_with_sighash(data))
    except ValueError:
        words.append("[error]")
    return " ".join(words)


def _with_sighash(data: bytes) -> str:
    try:
        encoding.check_signature_encoding(data, Flags.STRICTENC)
    except (ScriptFailure, IndexError):
        return data.hex()
    name = _SIGHASHES.get(data[-1])
    return data.hex() if name is None else f"{data[:-1].hex()}[{name}]"


def _key_address(key: bytes) -> str:
    return str(wally.base58check_from_bytes(P2PKH_PREFIX + bytes(wally.hash160(key))))


def _start_view(chain: ChainState, entry: BlockEntry) -> Json:
    header = entry.header
    return {
        "hash": entry.hash,
        "confirmations": chain.tip.height - entry.height + 1 if chain.contains(entry) else -1,
        "height": entry.height,
        "version": header.version if header.version < 1 << 31 else header.version - (1 << 32),
        "versionHex": f"{header.version:08x}",
    }


def _end_view(chain: ChainState, entry: BlockEntry) -> Json:
    header = entry.header
    view: Json = {
        "time": header.time,
        "mediantime": entry.median_time,
        "nonce": 1,
        "bits": assembly(header.challenge),
        "difficulty": 1,
        "chainwork": chainwork(entry.height),
    }
    if header.ocean is not None:
        view["contracthash"] = header.ocean.contract
        view["attestationhash"] = header.ocean.attestation
        view["mappinghash"] = header.ocean.mapping
    if entry.parent is not None:
        view["previousblockhash"] = entry.parent.hash
    if chain.contains(entry) and entry is not chain.tip:
        view["nextblockhash"] = chain.active[entry.height + 1].hash
    return view


def _input_view(transaction: Transaction, index: int, labels: Labels) -> Json:
    spending, witness = transaction.inputs[index], transaction.input_witness[index]
    if transaction.is_coinbase:
        view: Json = {"coinbase": spending.script_sig.hex()}
    else:
        view = {
            "txid": display_hash(spending.outpoint[:32]),
            "vout": int.from_bytes(spending.outpoint[32:], "little"),
            "scriptSig": {"asm": script_sig_assembly(spending.script_sig), "hex": spending.script_sig.hex()},
            "is_pegin": spending.is_pegin,
        }
    if transaction.has_witness:
        view["scriptWitness"] = [item.hex() for item in witness.script]
        view["pegin_witness"] = [item.hex() for item in witness.pegin]
    if spending.issuance is not None:
        view["issuance"] = _issuance_view(spending, spending.issuance, labels)
    return view | {"sequence": spending.sequence}


def _issuance_view(spending: TxInput, issuance: Issuance, labels: Labels) -> Json:
    view = issuance_view(spending, issuance)
    _, asset, _ = issued_assets(spending, issuance)
    if asset in labels:
        view["assetlabel"] = labels[asset]
    return view


def _output_view(output: TxOutput, index: int, labels: Labels) -> Json:
    view: Json = {}
    if output.satoshi is not None:
        view["value"] = coins(output.satoshi)
    else:
        view["amountcommitment"] = output.value.hex()
    if output.asset[0] == EXPLICIT:
        view["asset"] = display_hash(output.asset[1:])
        if output.asset[1:] in labels:
            view["assetlabel"] = labels[output.asset[1:]]
    else:
        view["assetcommitment"] = output.asset.hex()
    return view | {"n": index, "scriptPubKey": script_view(output.script)}
