"""RPCs of Ocean's wallet about its keys and addresses, as far as block signing and reissuance need them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import wallycore as wally

from fedsm.devnet.ocean.arguments import expect, text, whole
from fedsm.devnet.ocean.rpc_blocks import node_of
from fedsm.devnet.ocean.wallet import WIF_PREFIX, read_wif
from fedsm.devnet.rpc_base import (
    INVALID_ADDRESS_OR_KEY,
    MISC_ERROR,
    TYPE_ERROR,
    Context,
    Registry,
    RpcError,
    from_hex,
)
from fedsm.devnet.script_types import BLINDED_PREFIX, address_of, script_of, script_type
from signers.ecdsa import bitcoin_message_digest

if TYPE_CHECKING:
    from fedsm.devnet.ocean.node import OceanNode
    from fedsm.devnet.ocean.wallet import KeyPair
    from fedsm.devnet.views import Json

REGISTRY = Registry()

WALLET_VERSION = 130_000
KEYPOOL_SIZE = 20
RECOVERABLE = wally.EC_FLAG_ECDSA | wally.EC_FLAG_RECOVERABLE
NO_BLINDER = "00" * 32
BAD_ADDRESS = "Invalid Bitcoin address"
UNLOCK_NEEDED, WRONG_PASSPHRASE, WRONG_STATE = -13, -14, -15
ENCRYPTED = (
    "wallet encrypted; Ocean server stopping, restart to run with encrypted wallet. The keypool has been flushed "
    "and a new HD seed was generated (if you are using HD). You need to make a new backup."
)


@REGISTRY.method('getnewaddress ( "account" )', "account:?")
def getnewaddress(context: Context, account: Any) -> str:
    """The P2PKH address of a new key."""
    node = node_of(context)
    with node.lock:
        return node.wallet.new_key("" if account is None else text(account)).address


@REGISTRY.method('importprivkey "bitcoinprivkey" ( "label" ) ( rescan )', "bitcoinprivkey:", "label:?", "rescan:?")
def importprivkey(context: Context, bitcoinprivkey: Any, label: Any, rescan: Any) -> None:
    """Add a key to the wallet."""
    wif, name = text(bitcoinprivkey), "" if label is None else text(label)
    scan = True if rescan is None else expect(rescan, "bool")
    node = node_of(context)
    ensure_unlocked(node)
    secret = read_wif(wif)
    if secret is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, "Invalid private key encoding")
    with node.lock:
        try:
            node.wallet.import_key(secret, name)
        except ValueError:
            raise RpcError(INVALID_ADDRESS_OR_KEY, "Private key outside allowed range") from None
        if scan:
            node.rescan()


@REGISTRY.method('dumpprivkey "address"', "address:")
def dumpprivkey(context: Context, address: Any) -> str:
    """The secret key of an address, in wallet import format."""
    ensure_unlocked(node_of(context))
    pair = _key_of(node_of(context), address)
    if pair is None:
        raise RpcError(-4, f"Private key for address {text(address)} is not known")
    return str(wally.base58check_from_bytes(bytes([WIF_PREFIX]) + pair.secret + b"\x01"))


@REGISTRY.method('importaddress "address" ( "label" rescan p2sh )', "address:", "label:?", "rescan:?", "p2sh:?")
def importaddress(context: Context, address: Any, label: Any, rescan: Any, p2sh: Any) -> None:
    """Watch an address, or a script in hex (with p2sh also the P2SH output of it)."""
    name = "" if label is None else text(label)
    scan = True if rescan is None else expect(rescan, "bool")
    wrap = p2sh is not None and expect(p2sh, "bool")
    node, found = node_of(context), script_of(text(address))
    script = None if found is None else found[0]
    if script is not None and wrap:
        message = "Cannot use the p2sh flag with an address - use a script instead"
        raise RpcError(INVALID_ADDRESS_OR_KEY, message)
    with node.lock:
        if script is None:
            script = from_hex(address)
            if not script:
                raise RpcError(INVALID_ADDRESS_OR_KEY, f"{BAD_ADDRESS} or script")
            if wrap:
                node.wallet.add_redeem_script(script)
                node.wallet.watch(b"\xa9\x14" + bytes(wally.hash160(script)) + b"\x87", name)
        node.wallet.watch(script, name)
        if scan:
            node.rescan()


@REGISTRY.method('validateaddress "address"', "address:")
def validateaddress(context: Context, address: Any) -> Json:
    """Whether an address is one of this chain, and what the wallet knows of it."""
    found = script_of(text(address))
    if found is None or script_type(found[0]) not in ("pubkeyhash", "scripthash"):
        return {"isvalid": False}
    script, blinding_key = found
    node, plain = node_of(context), address_of(script)
    with node.lock:
        owned = node.wallet.owns(script)
        view: Json = {
            "isvalid": True,
            "address": address,
            "scriptPubKey": script.hex(),
            "confidential_key": blinding_key.hex() if blinding_key else "",
            "unconfidential": plain,
            "ismine": owned == "spendable",
            "iswatchonly": owned == "watched",
        }
        if owned != "none" and blinding_key is None:
            key = node.wallet.blinding_public_key(script)
            view["confidential"] = str(wally.confidential_addr_from_addr(plain, BLINDED_PREFIX[0], key))
        view["isscript"] = script_type(script) == "scripthash"
        pair = _key_of(node, address)
        if pair is not None:
            view |= {"pubkey": pair.public.hex(), "iscompressed": True}
        if script in node.wallet.labels:
            view["account"] = node.wallet.labels[script]
        if owned != "none":
            view |= {"timestamp": 0 if owned == "watched" else 1, "derivedpubkey": ""}
        return view


@REGISTRY.method('getaccount "address"', "address:")
def getaccount(context: Context, address: Any) -> str:
    """What the operator calls an address."""
    found = script_of(text(address))
    if found is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, BAD_ADDRESS)
    node = node_of(context)
    with node.lock:
        return node.wallet.labels.get(found[0], "")


@REGISTRY.method('signmessage "address" "message"', "address:", "message:")
def signmessage(context: Context, address: Any, message: Any) -> str:
    """A text signed with the key of an address ("Bitcoin Signed Message"), as base64."""
    ensure_unlocked(node_of(context))
    found, note = script_of(text(address)), text(message)
    if found is None:
        raise RpcError(TYPE_ERROR, "Invalid address")
    if script_type(found[0]) != "pubkeyhash":
        raise RpcError(TYPE_ERROR, "Address does not refer to key")
    pair = _key_of(node_of(context), address)
    if pair is None:
        raise RpcError(-4, "Private key not available")
    return base64.b64encode(
        wally.ec_sig_from_bytes(pair.secret, bitcoin_message_digest(note), RECOVERABLE)
    ).decode()


@REGISTRY.method('encryptwallet "passphrase"', "passphrase:")
def encryptwallet(context: Context, passphrase: Any) -> str:
    """Lock the wallet and end the node. (Nothing is encrypted here: the wallets of devnet hold no secrets.)"""
    node, phrase = node_of(context), text(passphrase)
    with node.lock:
        if node.wallet.passphrase:
            raise RpcError(WRONG_STATE, "Error: running with an encrypted wallet, but encryptwallet was called.")
        if not phrase:
            raise RpcError(MISC_ERROR, "encryptwallet <passphrase>\nEncrypts the wallet with <passphrase>.")
        node.wallet.lock_with(phrase)
    context.stop()
    return ENCRYPTED


@REGISTRY.method('walletpassphrase "passphrase" timeout', "passphrase:", "timeout:")
def walletpassphrase(context: Context, passphrase: Any, timeout: Any) -> None:
    """Unlock the wallet for some seconds."""
    node, phrase = node_of(context), text(passphrase)
    with node.lock:
        if not node.wallet.passphrase:
            detail = "running with an unencrypted wallet, but walletpassphrase was called."
            raise RpcError(WRONG_STATE, f"Error: {detail}")
        if not node.wallet.unlock(phrase, node.clock.now() + whole(timeout)):
            raise RpcError(WRONG_PASSPHRASE, "Error: The wallet passphrase entered was incorrect.")


@REGISTRY.method("walletlock")
def walletlock(context: Context) -> None:
    """Lock the wallet again."""
    node = node_of(context)
    with node.lock:
        if not node.wallet.passphrase:
            raise RpcError(WRONG_STATE, "Error: running with an unencrypted wallet, but walletlock was called.")
        node.wallet.unlock(node.wallet.passphrase, 0)


def ensure_unlocked(node: OceanNode) -> None:
    """RpcError when the wallet is locked."""
    if node.wallet.is_locked(node.clock.now()):
        message = "Error: Please enter the wallet passphrase with walletpassphrase first."
        raise RpcError(UNLOCK_NEEDED, message)


def _key_of(node: OceanNode, address: Any) -> KeyPair | None:
    found = script_of(text(address))
    is_key = found is not None and script_type(found[0]) == "pubkeyhash"
    return node.wallet.by_hash(found[0][3:23]) if found is not None and is_key else None
