"""Puts a member's reissuances together, and says in one line what is wrong with what was configured."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from fedsm.chains.node_chain import NodeChain
from fedsm.chains.rpc import RpcCaller, RpcError, RpcUnavailable
from fedsm.reissue.book import AssetBook
from fedsm.reissue.config import ReissueConfig, default_blinding_key
from fedsm.reissue.custody import Custody, ScriptKind
from fedsm.reissue.draft import FeeTerms
from fedsm.reissue.elements import ElementsReissue
from fedsm.reissue.judge import FeeLimits
from fedsm.reissue.ocean import OceanReissue
from fedsm.reissue.on_book import OnBook
from fedsm.reissue.policy import Policy
from fedsm.reissue.strategy import ReissueError
from signers.base import Signer, SignerError
from signers.pkcs11 import Pkcs11Signer
from signers.software import SoftwareSigner, load_key, parse_key
from signers.wallet import WalletSigner
from states.amounts import parse_rate

BOOK_FILE = "assets.sqlite"
FACTS_FILE = "assets-at-due-heights.json"
NO_ASSET = bytes(32)  # Ocean's reissuances pay no fee
_FORMS = {"p2wsh": "bech32", "p2sh": "legacy"}


@dataclass(frozen=True)
class Schedule:
    """A schedule on a chain: its strategy, the operator's policy, and where tokens belong."""

    config: ReissueConfig
    strategy: OnBook
    policy: Policy
    custody: Custody
    address: str

    @property
    def rate(self) -> Fraction:
        """The rate as an exact fraction."""
        return parse_rate(self.config.inflation.rate)


def open_schedule(
    config: ReissueConfig, rpc: RpcCaller, chain: NodeChain, genesis: str, directory: Path | None
) -> Schedule:
    """Everything about a schedule but keys and guard. Raises ReissueError; ``passing`` if the node is away.

    ``directory`` is where the book of assets is kept, ``None`` for in memory.
    """
    try:
        policy = _policy(rpc, config)
        destination = _script_of(rpc, config.address, "--inflationaddress")
        custody = Custody(_script_type(config, chain.name), config.multisig, _blinding_key(config))
        opener = _open_ocean if chain.name == "ocean" else _open_elements
        address, strategy = opener(config, rpc, chain, genesis, directory, custody, destination)
    except RpcUnavailable as error:
        raise ReissueError(str(error), passing=True) from None
    except (RpcError, KeyError, TypeError, ValueError) as error:
        raise ReissueError(f"the node does not answer as one of the {chain.name} chain: {error}") from None
    return Schedule(config, strategy, policy, custody, address)


def _script_type(config: ReissueConfig, chain: str) -> ScriptKind:
    if chain == "ocean" and config.script_type == "p2wsh":
        raise ReissueError("[reissuance] script-type p2wsh: Ocean chains have no witness programs, use p2sh")
    return config.script_type or ("p2sh" if chain == "ocean" else "p2wsh")


def _open_elements(
    config: ReissueConfig,
    rpc: RpcCaller,
    chain: NodeChain,
    genesis: str,
    directory: Path | None,
    custody: Custody,
    destination: bytes,
) -> tuple[str, OnBook]:
    policy_asset = bytes.fromhex(rpc.call("getsidechaininfo")["pegged_asset"])[::-1]
    address = confidential_address(rpc, custody)
    book = AssetBook(_in(directory, BOOK_FILE), genesis, custody, policy_asset, config.first_height)
    terms, limits = FeeTerms(policy_asset, config.fee_rate), FeeLimits(policy_asset, config.max_fee)
    strategy = ElementsReissue(rpc, chain, book, custody, config.inflation, destination, address, terms, limits)
    return address, strategy


def _open_ocean(
    config: ReissueConfig,
    rpc: RpcCaller,
    chain: NodeChain,
    genesis: str,
    directory: Path | None,
    custody: Custody,
    destination: bytes,
) -> tuple[str, OnBook]:
    address = str(rpc.call("decodescript", [custody.multisig.script.hex()])["p2sh"])
    try:
        rpc.call("getutxoassetinfo")
    except RpcError as error:
        raise ReissueError(f"the node must run with -recordinflation=1: {error}") from None
    book = AssetBook(_in(directory, BOOK_FILE), genesis, custody, NO_ASSET, config.first_height)
    file, paid = _in(directory, FACTS_FILE), config.address
    strategy = OceanReissue(rpc, chain, book, custody, config.inflation, destination, address, paid, file)
    return address, strategy


def _in(directory: Path | None, name: str) -> Path | None:
    return None if directory is None else directory / name


def _policy(rpc: RpcCaller, config: ReissueConfig) -> Policy:
    address = config.only_address
    only = None if address is None else _script_of(rpc, address, "[reissuance] destination")
    return Policy(config.assets, config.max_rate, config.max_amount, only)


def reissue_signer(config: ReissueConfig, block_signer: Signer | None) -> Signer:
    """This member's reissuance key: its own, or the block-signing key if that is in the script.

    One of its own is to be closed by the caller.
    """
    keys = config.multisig.public_keys
    if config.key is None and config.key_file is None and config.hsm is None:
        usable = block_signer is not None and not isinstance(block_signer, WalletSigner)
        if usable and block_signer is not None and block_signer.public_key in keys:
            return block_signer
        raise ReissueError(
            "no reissuance key: give --reissuanceprivkey, the variable FEDSM_REISSUANCEPRIVKEY, or key-file or "
            "pkcs11-uri in [reissuance]; the block-signing key is not in the reissuance script"
        )
    signer = _own_signer(config)
    if signer.public_key not in keys:
        signer.close()
        raise ReissueError(f"the reissuance key {signer.public_key.hex()} is not in the reissuance script")
    return signer


def _own_signer(config: ReissueConfig) -> Signer:
    try:
        if config.key is not None:
            return SoftwareSigner(parse_key(config.key, "--reissuanceprivkey"))
        if config.hsm is not None:
            return Pkcs11Signer(config.hsm.place, config.hsm.pin)
        return SoftwareSigner(load_key(config.key_file))
    except SignerError as error:
        raise ReissueError(error.message) from None


def confidential_address(rpc: RpcCaller, custody: Custody) -> str:
    """The address to which tokens must be sent: the script's, with the shared blinding key."""
    keys, form = [key.hex() for key in custody.multisig.public_keys], _FORMS[custody.kind]
    plain = rpc.call("createmultisig", [custody.multisig.m, keys, form])["address"]
    return str(rpc.call("createblindedaddress", [plain, custody.blinding_public_key.hex()]))


def _script_of(rpc: RpcCaller, address: str, what: str) -> bytes:
    answer: Any = rpc.call("validateaddress", [address])
    if not answer.get("isvalid"):
        raise ReissueError(f"{what} {address} is not an address of this chain")
    return bytes.fromhex(answer["scriptPubKey"])


def _blinding_key(config: ReissueConfig) -> bytes:
    if config.blinding_key_file is None:
        return default_blinding_key(config.multisig)
    try:
        return load_key(config.blinding_key_file)
    except SignerError as error:
        raise ReissueError(error.message) from None
