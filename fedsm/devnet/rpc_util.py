"""RPCs about scripts, addresses, descriptors and assets; none of them looks at the chain's state but one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wallycore as wally

from fedsm.chains.header import display_hash, internal_hash
from fedsm.devnet.rpc_base import (
    INVALID_ADDRESS_OR_KEY,
    INVALID_PARAMETER,
    Context,
    Registry,
    RpcError,
    coins,
    expect,
    from_hex,
    hash_argument,
    hex_argument,
    integer,
)
from fedsm.devnet.script_types import (
    BECH32,
    BLECH32,
    BLINDED_PREFIX,
    address_of,
    multisig_parts,
    script_of,
    script_type,
)
from fedsm.devnet.views import asset_view, descriptor, script_view, with_checksum

if TYPE_CHECKING:
    from fedsm.devnet.views import Json

REGISTRY = Registry()

BAD_CHECKSUM = "Invalid checksum or length of Base58 address (P2PKH or P2SH)"
BAD_ENCODING = "Invalid or unsupported Segwit (Bech32) or Base58 encoding."
BASE58 = frozenset("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
MOST_P2SH = 520  # bytes of a redeem script (BIP 16)
MOST_KEYS = 20


@REGISTRY.method(
    'createmultisig nrequired ["key",...] ( "address_type" )',
    "nrequired:number",
    "keys:array",
    "address_type:string?",
)
def createmultisig(context: Context, nrequired: Any, keys: list[Any], address_type: str | None) -> Json:  # noqa: ARG001
    """Script, address and descriptor of an M-of-N multisig (legacy, p2sh-segwit or bech32)."""
    needed = integer(nrequired)
    public_keys = [_public_key(expect(key, "string")) for key in keys]
    kind = "legacy" if address_type is None else address_type
    if kind not in ("legacy", "p2sh-segwit", "bech32"):
        raise RpcError(INVALID_ADDRESS_OR_KEY, f"Unknown address type '{kind}'")
    if needed < 1:
        message = "a multisignature address must require at least one key to redeem"
        raise RpcError(INVALID_PARAMETER, message)
    if len(public_keys) < needed:
        counts = f"got {len(public_keys)} keys, but need at least {needed} to redeem"
        raise RpcError(INVALID_PARAMETER, f"not enough keys supplied ({counts})")
    if len(public_keys) > MOST_KEYS:
        detail = f"(> {MOST_KEYS}) \nReduce the number"
        raise RpcError(
            INVALID_PARAMETER, f"Number of keys involved in the multisignature address creation {detail}"
        )
    script = b"".join(
        [_small(needed), *(bytes([len(key)]) + key for key in public_keys), _small(len(keys)), b"\xae"]
    )
    if kind == "legacy" and len(script) > MOST_P2SH:
        raise RpcError(INVALID_PARAMETER, f"redeemScript exceeds size limit: {len(script)} > {MOST_P2SH}")
    program = _p2wsh(script)
    output = {"legacy": _p2sh(script), "p2sh-segwit": _p2sh(program), "bech32": program}[kind]
    form = {"legacy": "sh({})", "p2sh-segwit": "sh(wsh({}))", "bech32": "wsh({})"}[kind]
    body = f"multi({needed},{','.join(key.hex() for key in public_keys)})"
    return {
        "address": address_of(output),
        "redeemScript": script.hex(),
        "descriptor": with_checksum(form.format(body)),
    }


@REGISTRY.method('decodescript "hexstring"', "hexstring:string")
def decodescript(context: Context, hexstring: str) -> Json:  # noqa: ARG001
    """A script in hex, decoded, with the addresses that would wrap it."""
    script = hex_argument(hexstring, "argument")
    view = script_view(script, with_hex=False)
    kind = script_type(script)
    if kind in ("nulldata", "scripthash", "witness_v1_taproot", "witness_unknown"):
        return view
    if "[error]" in str(view["asm"]) or "OP_INVALIDOPCODE" in str(view["asm"]):
        return view
    view["p2sh"] = address_of(_p2sh(script))
    if not kind.startswith("witness"):
        view["segwit"] = _segwit_view(script)
    return view


@REGISTRY.method('validateaddress "address"', "address:string")
def validateaddress(context: Context, address: str) -> Json:  # noqa: ARG001
    """Whether an address is one of this chain, and what it stands for."""
    found = script_of(address)
    if found is None:
        error = BAD_CHECKSUM if set(address) <= BASE58 else BAD_ENCODING
        return {
            "isvalid": False,
            "isvalid_parent": False,
            "error_locations": [],
            "error": error,
            "error_parent": error,
        }
    script, key = found
    kind = script_type(script)
    view: Json = {
        "isvalid": True,
        "isvalid_parent": False,
        "address": address,
        "scriptPubKey": script.hex(),
        "isscript": kind in ("scripthash", "witness_v0_scripthash"),
        "iswitness": kind.startswith("witness"),
    }
    if kind.startswith("witness"):
        view |= {"witness_version": script[0] and script[0] - 0x50, "witness_program": script[2:].hex()}
    return view | {"confidential_key": key.hex() if key else "", "unconfidential": address_of(script)}


@REGISTRY.method('createblindedaddress "address" "blinding_key"', "address:string", "blinding_key:string")
def createblindedaddress(context: Context, address: str, blinding_key: str) -> str:  # noqa: ARG001
    """The confidential address of an address and a blinding public key."""
    found = script_of(address)
    if found is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Invalid Bitcoin address or script")
    if found[1] is not None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Not an unblinded address")
    if len(blinding_key) != 66:
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Invalid hexadecimal key length, must be length 66.")
    key = from_hex(blinding_key)
    if key is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Invalid hexadecimal for key")
    if address.lower().startswith(f"{BECH32}1"):
        return str(wally.confidential_addr_from_addr_segwit(address, BECH32, BLECH32, key))
    return str(wally.confidential_addr_from_addr(address, BLINDED_PREFIX[0], key))


@REGISTRY.method('getdescriptorinfo "descriptor"', "descriptor:string")
def getdescriptorinfo(context: Context, text: str) -> Json:  # noqa: ARG001
    """A descriptor with its checksum, and what it is good for."""
    body = text.partition("#")[0]
    full = _descriptor(text)
    return {
        "descriptor": full,
        "checksum": full.rpartition("#")[2],
        "isrange": "*" in body,
        "issolvable": not body.startswith(("addr(", "raw(")),
        "hasprivatekeys": False,
    }


@REGISTRY.method('deriveaddresses "descriptor" ( range )', "descriptor:string", "range:?")
def deriveaddresses(context: Context, text: str, span: Any) -> list[str]:  # noqa: ARG001
    """The address of a descriptor without a range."""
    if "#" not in text:
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Missing checksum")
    _descriptor(text)
    address = address_of(_descriptor_script(text.partition("#")[0]))
    if address is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Descriptor does not have a corresponding address")
    return [address]


@REGISTRY.method(
    'calculateasset "txid" vout ( "asset_entropy" blind_reissuance )',
    "txid:string",
    "vout:number",
    "asset_entropy:string?",
    "blind_reissuance:bool?",
)
def calculateasset(context: Context, txid: str, vout: Any, contract: str | None, blind: bool | None) -> Json:  # noqa: ARG001
    """The asset, its reissuance token and its entropy that an issuance on an outpoint makes."""
    name = internal_hash(hash_argument(txid, "txid"))
    seed = bytes(32) if contract is None else internal_hash(hash_argument(contract, "asset_entropy"))
    entropy = bytes(wally.tx_elements_issuance_generate_entropy(name, integer(vout), seed))
    flags = 0 if blind is False else wally.WALLY_TX_FLAG_BLINDED_INITIAL_ISSUANCE
    return {
        "asset_tag": display_hash(bytes(wally.tx_elements_issuance_calculate_asset(entropy))),
        "reissuance_asset_tag": display_hash(
            bytes(wally.tx_elements_issuance_calculate_reissuance_token(entropy, flags))
        ),
        "final_asset_entropy": display_hash(entropy),
    }


@REGISTRY.method('scantxoutset "action" ( [scanobjects,...] )', "action:string", "scanobjects:array?")
def scantxoutset(context: Context, action: str, objects: list[Any] | None) -> Json | bool | None:
    """The confirmed unspent outputs of descriptors (start); status and abort find nothing under way."""
    if action in ("status", "abort"):
        return None if action == "status" else False
    if action != "start":
        raise RpcError(INVALID_PARAMETER, f"Invalid action '{action}'")
    if objects is None:
        raise RpcError(-1, "scanobjects argument is required for the start action")
    wanted = {_descriptor_script(expect(text, "string").partition("#")[0]) for text in objects}
    with context.node.lock:
        chain = context.node.chain
        found = sorted((key, coin) for key, coin in chain.coins.coins.items() if coin.output.script in wanted)
        policy = chain.params.policy_asset
        total = sum(coin.output.satoshi or 0 for _, coin in found if coin.output.asset == policy)
        unspents = [
            {
                "txid": display_hash(key[:32]),
                "vout": int.from_bytes(key[32:], "little"),
                "scriptPubKey": coin.output.script.hex(),
                "desc": descriptor(coin.output.script),
                **_scanned_amount(asset_view(coin.output)),
                "coinbase": coin.coinbase,
                "height": coin.height,
                "blockhash": chain.active[coin.height].hash,
                "confirmations": chain.tip.height - coin.height + 1,
            }
            for key, coin in found
        ]
        return {
            "success": True,
            "txouts": len(chain.coins.coins),
            "height": chain.tip.height,
            "bestblock": chain.tip.hash,
            "unspents": unspents,
            "total_unblinded_bitcoin_amount": coins(total),
        }


@REGISTRY.method("dumpassetlabels")
def dumpassetlabels(context: Context) -> Json:
    """Assets that have a name."""
    return {"bitcoin": display_hash(context.node.params.pegged_asset)}


def _scanned_amount(view: Json) -> Json:
    """scantxoutset calls the value of an output its amount."""
    names = {"value": "amount", "valuecommitment": "amountcommitment"}
    return {names.get(name, name): value for name, value in view.items() if name != "commitmentnonce"}


def _segwit_view(script: bytes) -> Json:
    """How a script would be wrapped in a witness program; keys become key hashes."""
    kind = script_type(script)
    program = _p2wsh(script)
    if kind == "pubkey":
        program = b"\x00\x14" + bytes(wally.hash160(script[1:-1]))
    elif kind == "pubkeyhash":
        program = b"\x00\x14" + script[3:23]
    view = script_view(program)
    if multisig_parts(script) is not None:
        view["desc"] = with_checksum(f"wsh({descriptor(script).partition('#')[0]})")
    return view | {"p2sh-segwit": address_of(_p2sh(program))}


def _public_key(text: str) -> bytes:
    key = from_hex(text)
    if key is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, f'Pubkey "{text}" must be a hex string')
    if len(key) not in (33, 65):
        raise RpcError(INVALID_ADDRESS_OR_KEY, f'Pubkey "{text}" must have a length of either 33 or 65 bytes')
    try:
        wally.ec_public_key_verify(key) if len(key) == 33 else None
    except ValueError:
        raise RpcError(INVALID_ADDRESS_OR_KEY, f'Pubkey "{text}" must be cryptographically valid.') from None
    return key


def _descriptor(text: str) -> str:
    """A descriptor with the right checksum; a wrong one given is an error."""
    body, _, checksum = text.partition("#")
    try:
        full = with_checksum(body)
    except ValueError:
        raise RpcError(INVALID_ADDRESS_OR_KEY, f"'{body}' is not a valid descriptor function") from None
    right = full.rpartition("#")[2]
    if checksum and checksum != right:
        message = f"Provided checksum '{checksum}' does not match computed checksum '{right}'"
        raise RpcError(INVALID_ADDRESS_OR_KEY, message)
    return full


def _descriptor_script(body: str) -> bytes:
    """The output script of a descriptor without ranges; addresses are read by this chain's rules."""
    _descriptor(body)
    if body.startswith("addr("):
        found = script_of(body[5:-1])
        if found is None:
            raise RpcError(INVALID_ADDRESS_OR_KEY, "Address is not valid")
        return found[0]
    parsed = wally.descriptor_parse(body, None, wally.WALLY_NETWORK_LIQUID_REGTEST, 0)
    return bytes(wally.descriptor_to_script(parsed, 0, 0, 0, 0, 0, 0))


def _p2wsh(script: bytes) -> bytes:
    return b"\x00\x20" + bytes(wally.sha256(script))


def _p2sh(script: bytes) -> bytes:
    return b"\xa9\x14" + bytes(wally.hash160(script)) + b"\x87"


def _small(number: int) -> bytes:
    return bytes([0x50 + number]) if number <= 16 else bytes([1, number])
