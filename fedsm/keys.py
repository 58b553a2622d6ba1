"""Finds the block-signing key and checks that it is the member's: the wrong key or --id is refused at start."""

from __future__ import annotations

import os
from typing import Any

from fedsm.chains.base import FederationScript
from fedsm.chains.rpc import RpcCaller, RpcError, RpcUnavailable
from fedsm.chains.script import Multisig, ScriptError
from fedsm.chains.wallet_keys import wallet_keys
from fedsm.config import DaemonConfig
from fedsm.errors import FedsmError
from fedsm.hsm import HsmAccess, hsm_error
from fedsm.log import Logger
from signers.base import Signer, SignerError
from signers.pkcs11 import Pkcs11Signer
from signers.software import KEY_VARIABLE, SoftwareSigner, key_credential, load_key
from signers.wallet import DESCRIPTOR_WALLET, WalletSigner


def open_signer(
    config: DaemonConfig, rpc: RpcCaller, federation: FederationScript, log: Logger | None = None
) -> Signer:
    """The member's signer: the HSM, or the key file or variable if there is one, else the node's wallet.

    ``log`` is told of what happens to an HSM later. Raises FedsmError when the key cannot be had or is not the
    member's.
    """
    if config.hsm is not None:
        return _hsm_signer(config.member, config.hsm, federation.multisig, log)
    key_file = config.key_file or key_credential()
    if key_file is None and KEY_VARIABLE not in os.environ:
        return _wallet_signer(config.member, rpc, federation.multisig)
    try:
        signer = SoftwareSigner(load_key(key_file))
    except SignerError as error:
        raise FedsmError(str(error)) from None
    check_member(config.member, signer.public_key, federation.multisig)
    return signer


def _hsm_signer(member: int, hsm: HsmAccess, multisig: Multisig, log: Logger | None) -> Signer:
    try:
        signer = Pkcs11Signer(hsm.place, hsm.pin, allow_extractable=hsm.allow_extractable, log=log)
    except SignerError as error:
        raise hsm_error(error) from None
    try:
        check_member(member, signer.public_key, multisig)
    except FedsmError:
        signer.close()
        raise
    return signer


def check_member(member: int, public_key: bytes, multisig: Multisig) -> None:
    """Raise FedsmError unless ``public_key`` is the member's key in the block-signing script."""
    try:
        right = multisig.member_of(public_key)
    except ScriptError as error:
        raise FedsmError(f"the key is of no member of this chain's federation: {error}") from None
    if right != member:
        raise FedsmError(
            f"--id {member} is wrong: the key {public_key.hex()} is that of member {right}, use --id {right}"
        )


def _wallet_signer(member: int, rpc: RpcCaller, multisig: Multisig) -> Signer:
    """A signer on the node's wallet, which must hold the member's key."""
    try:
        wallet: Any = rpc.call("getwalletinfo")
        known = wallet_keys(rpc, multisig.public_keys)
        held = [i for i, key in enumerate(known) if key.held]
    except RpcError as error:
        raise FedsmError(
            f"no --key-file and no {KEY_VARIABLE}, and the node's wallet cannot sign: {error.message}"
        ) from None
    except RpcUnavailable as error:
        raise FedsmError(f"the node went away while its wallet was asked for the key: {error}") from None
    if wallet.get("descriptors"):
        raise FedsmError(f"no --key-file and no {KEY_VARIABLE}, and {DESCRIPTOR_WALLET}")
    if member not in held:
        hint = f"it holds that of member {held[0]}, use --id {held[0]}" if held else "use --key-file"
        raise FedsmError(f"the node's wallet does not hold the block-signing key of member {member}: {hint}")
    return WalletSigner(
        rpc.call,
        multisig.public_keys[member],
        address=known[member].address,
        witness_script=multisig.script,
    )
