"""What makes one Ocean chain different from another, by the names of the ``oceand`` options."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import wallycore as wally

from fedsm.chains.header import display_hash, internal_hash
from fedsm.devnet.params import FREE_COINS, NEVER, ChainParams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fedsm.chains.header import Layout
    from fedsm.chains.script import Multisig

GENESIS_TIME = 1_514_764_800  # 1 January 2018, the default of -genesistimestamp
ETHEREUM_GENESIS = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
PARENT_CONTRACT = "076c97e1c869072ee22f8c91978c99b4bcb02591"
OP_TRUE, OP_RETURN = b"\x51", b"\x6a"
DOMAIN_LABEL = "CBT"
TERMS = "The embedded chain is for trying and testing. Its coins are worth nothing.\n"

# Policy assets in the order of their issuance: field, label, and the number that stands for their contract.
POLICY_ASSETS = (
    ("freezelist_destination", "FREEZELIST", 0x10),
    ("burnlist_destination", "BURNLIST", 0x20),
    ("whitelist_destination", "WHITELIST", 0x30),
    ("challenge_destination", "CHALLENGE", 0x40),
    ("permission_destination", "PERMISSION", 0x50),
    ("issuance_destination", "ISSUANCE", 0x60),
)


@dataclass(frozen=True)
class OceanParams(ChainParams):
    """The rules of one Ocean chain; defaults are those of ``oceand -chain=NAME``.

    ``mandatory_coinbase`` is the script that fees must go to (empty: any, OP_TRUE by ourselves).
    ``initial_free_coins`` satoshi of the domain asset go to ``free_coins_destination`` and ``policy_coins`` of each
    policy asset to its own script, in 100 outputs each; a script that cannot be spent makes no such asset.
    ``contract_hash``, ``attestation_hash`` (of the genesis block alone) and ``mapping_hash`` are what nodes write
    into headers, in display order. ``record_inflation`` keeps entropies and freezes for RPCs (-recordinflation).
    """

    flavour: ClassVar[str] = "ocean"

    chain: str = "ocean_test"
    dynafed_start: int = NEVER
    parent_genesis: str = ETHEREUM_GENESIS
    mandatory_coinbase: bytes = b""
    issue_control_script: bytes = b""
    free_coins_destination: bytes = OP_TRUE
    policy_coins: int = 0
    freezelist_destination: bytes = OP_RETURN
    burnlist_destination: bytes = OP_RETURN
    whitelist_destination: bytes = OP_RETURN
    challenge_destination: bytes = OP_RETURN
    permission_destination: bytes = OP_RETURN
    issuance_destination: bytes = OP_RETURN
    genesis_time: int = GENESIS_TIME
    contract_hash: str = "00" * 32
    attestation_hash: str = "00" * 32
    mapping_hash: str = "00" * 32
    record_inflation: bool = True

    @classmethod
    def from_args(cls, args: Iterable[str], *, chain: str = "ocean_test") -> OceanParams:
        """The parameters that ``oceand -chain=<chain> <args>`` would run, but for the hashes of its files.

        ``args`` look like ``-signblockscript=<hex>``; an option that devnet does not know is a ValueError.
        """
        values: dict[str, Any] = {"chain": chain}
        for arg in args:
            name, _, value = arg.lstrip("-").partition("=")
            if name not in _OPTIONS:
                raise ValueError(f"devnet does not know the option {arg}")
            field, convert = _OPTIONS[name]
            values[field] = convert(value)
        if "signblockscript" not in values:
            raise ValueError("-signblockscript is needed")
        return cls(**values)

    @property
    def layout(self) -> Layout:
        """Ocean has one layout of headers."""
        return "ocean"

    @cached_property
    def commitment(self) -> bytes:
        """The 32 bytes by which the genesis block commits to name, scripts and the parent's contract."""
        contract = bytes.fromhex(PARENT_CONTRACT)[::-1].hex()
        peg_address = bytes(20).hex()
        text = self.chain + self.fedpegscript.hex() + self.signblockscript.hex() + contract + peg_address
        return bytes(wally.sha256(text.encode()))

    @cached_property
    def policy_issuances(self) -> tuple[tuple[str, bytes, bytes], ...]:
        """Label, destination and contract (internal order) of each policy asset that the chain has."""
        if not self.policy_coins:
            return ()
        return tuple(
            (label, getattr(self, field), number.to_bytes(32, "little"))
            for field, label, number in POLICY_ASSETS
            if getattr(self, field)[:1] != OP_RETURN
        )

    @cached_property
    def labels(self) -> dict[bytes, str]:
        """Names of assets, by id in internal order."""
        first = 1 if self.initial_free_coins else 0
        found = {self.pegged_asset: DOMAIN_LABEL}
        for index, (label, _, contract) in enumerate(self.policy_issuances, first):
            entropy = bytes(wally.tx_elements_issuance_generate_entropy(self.commitment, index, contract))
            found[bytes(wally.tx_elements_issuance_calculate_asset(entropy))] = label
        return found


def ocean_params(
    multisig: Multisig, *, chain: str = "fedsmocean", initial_free_coins: int = FREE_COINS
) -> OceanParams:
    """A chain that this federation signs, with free and issuance coins that anyone can spend."""
    return OceanParams(
        multisig.script,
        chain=chain,
        initial_free_coins=initial_free_coins,
        policy_coins=FREE_COINS,
        issuance_destination=OP_TRUE,
        contract_hash=display_hash(bytes(wally.sha256d(TERMS.encode()))),
    )


def _hash(value: str) -> str:
    return display_hash(internal_hash(value.zfill(64)))


_OPTIONS: dict[str, tuple[str, Callable[[str], object]]] = {
    "signblockscript": ("signblockscript", bytes.fromhex),
    "fedpegscript": ("fedpegscript", bytes.fromhex),
    "con_mandatorycoinbase": ("mandatory_coinbase", bytes.fromhex),
    "issuecontrolscript": ("issue_control_script", bytes.fromhex),
    "initialfreecoins": ("initial_free_coins", int),
    "initialfreecoinsdestination": ("free_coins_destination", bytes.fromhex),
    "policycoins": ("policy_coins", int),
    "freezelistcoinsdestination": ("freezelist_destination", bytes.fromhex),
    "burnlistcoinsdestination": ("burnlist_destination", bytes.fromhex),
    "whitelistcoinsdestination": ("whitelist_destination", bytes.fromhex),
    "challengecoinsdestination": ("challenge_destination", bytes.fromhex),
    "permissioncoinsdestination": ("permission_destination", bytes.fromhex),
    "issuancecoinsdestination": ("issuance_destination", bytes.fromhex),
    "parentgenesisblockhash": ("parent_genesis", _hash),
    "genesistimestamp": ("genesis_time", int),
    "attestationhash": ("attestation_hash", _hash),
    "con_nminerconfirmationwindow": ("confirmation_window", int),
    "con_nrulechangeactivationthreshold": ("activation_threshold", int),
    "recordinflation": ("record_inflation", lambda value: value in ("", "1")),
}
