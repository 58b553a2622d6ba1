"""Blocks, transactions and scripts as JSON, with the fields of the node's answers in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.header import display_hash
from fedsm.chains.transaction import issued_assets
from fedsm.devnet.confidential.rangeproof import read_range
from fedsm.devnet.rpc_base import coins
from fedsm.devnet.script_types import address_of, assembly, multisig_parts, script_type

if TYPE_CHECKING:
    from fedsm.chains.header import DynafedEntry
    from fedsm.chains.transaction import Issuance, OutputWitness, Transaction, TxInput, TxOutput
    from fedsm.devnet.chainstate import ChainState
    from fedsm.devnet.coins import Coin, Undo
    from fedsm.devnet.index import BlockEntry

Json = dict[str, object]
EXPLICIT = 1


def header_view(chain: ChainState, entry: BlockEntry) -> Json:
    """getblockheader: a block of the active chain has confirmations, another one -1."""
    header = entry.header
    active = chain.contains(entry)
    view: Json = {
        "hash": entry.hash,
        "confirmations": chain.tip.height - entry.height + 1 if active else -1,
        "height": entry.height,
        "version": header.version,
        "versionHex": f"{header.version:08x}",
        "merkleroot": header.merkle_root,
        "time": header.time,
        "mediantime": entry.median_time,
    }
    if header.dynafed:
        view["signblock_witness_hex"] = [item.hex() for item in header.witness]
        view["dynamic_parameters"] = {
            "current": parameters_view(header.current),
            "proposed": parameters_view(header.proposed),
        }
    else:
        view["signblock_witness_asm"] = assembly(header.solution)
        view["signblock_witness_hex"] = header.solution.hex()
        view["signblock_challenge"] = header.challenge.hex()
    view["nTx"] = len(entry.block.transactions)
    if entry.parent is not None:
        view["previousblockhash"] = entry.parent.hash
    if active and entry is not chain.tip:
        view["nextblockhash"] = chain.active[entry.height + 1].hash
    return view


def parameters_view(entry: DynafedEntry) -> Json:
    """One entry of a dynafed header."""
    view: Json = {"type": entry.kind}
    if entry.kind == "null":
        return view
    view["root"] = display_hash(entry.root())
    view["signblockscript"] = entry.signblockscript.hex()
    view["max_block_witness"] = entry.max_block_witness
    view["extra_root"] = display_hash(entry.extra_root())
    if entry.kind == "full":
        view["fedpeg_program"] = entry.fedpeg_program.hex()
        view["fedpegscript"] = entry.fedpegscript.hex()
        view["extension_space"] = [item.hex() for item in entry.extension_space]
    return view


def block_view(chain: ChainState, entry: BlockEntry, verbosity: int) -> Json:
    """getblock with verbosity 1 (transaction ids), 2 (transactions) or 3 (with the outputs they spend)."""
    block = entry.block
    view = header_view(chain, entry)
    view |= {"strippedsize": block.base_size, "size": block.size, "weight": block.weight}
    if verbosity < 2:
        view["tx"] = [display_hash(transaction.txid) for transaction in block.transactions]
    else:
        undo = entry.undo if verbosity > 2 else None
        view["tx"] = [transaction_view(transaction, undo=undo) for transaction in block.transactions]
    return view


def transaction_view(transaction: Transaction, *, with_hex: bool = True, undo: Undo | None = None) -> Json:
    """A decoded transaction, as getrawtransaction, decoderawtransaction and getblock print it."""
    spent = dict(undo.spent) if undo is not None else {}
    view: Json = {
        "txid": display_hash(transaction.txid),
        "hash": display_hash(transaction.wtxid),
        "wtxid": display_hash(transaction.wtxid),
        "withash": display_hash(transaction.witness_only_hash),
        "version": transaction.version,
        "size": len(transaction.raw),
        "vsize": transaction.vsize,
        "weight": transaction.weight,
        "locktime": transaction.locktime,
        "vin": [_input_view(transaction, index, spent) for index in range(len(transaction.inputs))],
        "vout": [_output_view(transaction, index) for index in range(len(transaction.outputs))],
        "fee": {display_hash(asset[1:]): coins(fee) for asset, fee in sorted(transaction.fees.items())},
    }
    if with_hex:
        view["hex"] = transaction.raw.hex()
    return view


def script_view(script: bytes, *, with_hex: bool = True) -> Json:
    """An output script in all the forms that nodes print."""
    view: Json = {"asm": assembly(script), "desc": descriptor(script)}
    if with_hex:
        view["hex"] = script.hex()
    address = address_of(script)
    if address is not None:
        view["address"] = address
    view["type"] = script_type(script)
    return view


def asset_view(output: TxOutput) -> Json:
    """Value, asset and nonce of an output; commitments where they are blinded."""
    view: Json = {}
    if output.satoshi is not None:
        view["value"] = coins(output.satoshi)
    else:
        view["valuecommitment"] = output.value.hex()
    if output.asset[0] == EXPLICIT:
        view["asset"] = display_hash(output.asset[1:])
    else:
        view["assetcommitment"] = output.asset.hex()
    view["commitmentnonce"] = output.nonce.hex() if output.nonce[0] else ""
    return view


def descriptor(script: bytes) -> str:
    """What is known of a script as an output descriptor with checksum (BIP 380)."""
    keys = multisig_parts(script)
    address = address_of(script)
    if keys is not None:
        body = f"multi({keys[0]},{','.join(key.hex() for key in keys[1])})"
    elif script_type(script) == "pubkey":
        body = f"pk({script[1:-1].hex()})"
    else:
        body = f"addr({address})" if address is not None else f"raw({script.hex()})"
    return f"{body}#{descriptor_checksum(body)}"


def with_checksum(body: str) -> str:
    """A descriptor followed by ``#`` and its checksum. Raises ValueError when it is none."""
    wally.descriptor_parse(body, None, wally.WALLY_NETWORK_LIQUID_REGTEST, 0)
    return f"{body}#{descriptor_checksum(body)}"


def descriptor_checksum(body: str) -> str:
    """The eight characters of BIP 380. libwally refuses to parse addr() of many a segwit address."""
    groups: list[int] = []
    symbols: list[int] = []
    for place, character in enumerate(body):
        index = _DESCRIPTOR_CHARACTERS.index(character)
        symbols.append(index & 31)
        groups.append(index >> 5)
        if place % 3 == 2 or place == len(body) - 1:
            symbols.append(sum(group * 3 ** (len(groups) - 1 - i) for i, group in enumerate(groups)))
            groups.clear()
    residue = 1
    for symbol in [*symbols, *[0] * 8]:
        top = residue >> 35
        residue = (residue & 0x7_FFFF_FFFF) << 5 ^ symbol
        for i, generator in enumerate(_DESCRIPTOR_GENERATORS):
            residue ^= generator if top >> i & 1 else 0
    residue ^= 1
    return "".join(_CHECKSUM_CHARACTERS[residue >> 5 * (7 - i) & 31] for i in range(8))


_DESCRIPTOR_CHARACTERS = (
    "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
)
_CHECKSUM_CHARACTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_DESCRIPTOR_GENERATORS = (0xF5DEE51989, 0xA9FDCA3312, 0x1BAB10E32D, 0x3706B1677A, 0x644D626FFD)


def _input_view(transaction: Transaction, index: int, spent: dict[bytes, Coin]) -> Json:
    spending, witness = transaction.inputs[index], transaction.input_witness[index]
    if transaction.is_coinbase:
        view: Json = {"coinbase": spending.script_sig.hex()}
    else:
        view = {
            "txid": display_hash(spending.outpoint[:32]),
            "vout": int.from_bytes(spending.outpoint[32:], "little"),
            "scriptSig": {"asm": assembly(spending.script_sig), "hex": spending.script_sig.hex()},
            "is_pegin": spending.is_pegin,
        }
    if spending.outpoint in spent:
        view["prevout"] = _prevout_view(spent[spending.outpoint])
    view["sequence"] = spending.sequence
    if witness.script:
        view["txinwitness"] = [item.hex() for item in witness.script]
    if spending.issuance is not None:
        view["issuance"] = issuance_view(spending, spending.issuance)
    return view


def _prevout_view(coin: Coin) -> Json:
    amount = coin.output.satoshi
    return {
        "generated": coin.coinbase,
        "height": coin.height,
        "value": coins(amount) if amount is not None else "<confidential>",
        "scriptPubKey": script_view(coin.output.script),
    }


def issuance_view(spending: TxInput, issuance: Issuance) -> Json:
    """What an input issues, in the fields that Elements and Ocean answer alike."""
    entropy, asset, token = issued_assets(spending, issuance)
    view: Json = {
        "assetBlindingNonce": display_hash(issuance.nonce),
        "assetEntropy": display_hash(entropy),
        "isreissuance": issuance.is_reissuance,
    }
    if not issuance.is_reissuance:
        view["token"] = display_hash(token)
    view["asset"] = display_hash(asset)
    for name, value in (("asset", issuance.amount), ("token", issuance.token_amount)):
        if value[0] == EXPLICIT:
            view[f"{name}amount"] = coins(int.from_bytes(value[1:], "big"))
        elif value[0]:
            view[f"{name}amountcommitment"] = value.hex()
    return view


def _output_view(transaction: Transaction, index: int) -> Json:
    output = transaction.outputs[index]
    view: Json = {}
    if output.satoshi is None:
        view |= _proofs_view(transaction.output_witness[index])
    view |= asset_view(output)
    view["commitmentnonce_fully_valid"] = _is_public_key(output.nonce)
    view["n"] = index
    view["scriptPubKey"] = script_view(output.script)
    return view


def _is_public_key(nonce: bytes) -> bool:
    if nonce[0] not in (2, 3):
        return False
    try:
        wally.ec_public_key_verify(nonce)
    except ValueError:
        return False
    return True


def _proofs_view(proofs: OutputWitness) -> Json:
    """What the proofs of a blinded amount tell of it."""
    view: Json = {}
    try:
        proven = read_range(proofs.range_proof)
    except ValueError:
        proven = None
    if proven is not None and proven.exponent < 0:
        view["value"] = coins(proven.least)
    elif proven is not None:
        view |= {"value-minimum": coins(proven.least), "value-maximum": coins(proven.most)}
    if proven is not None:
        view |= {"ct-exponent": proven.exponent, "ct-bits": proven.bits}
    if proofs.surjection_proof:
        view["surjectionproof"] = proofs.surjection_proof.hex()
    return view
