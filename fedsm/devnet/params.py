"""What makes one chain different from another: the options that every node of a chain must share.

The names follow the ``elementsd`` options; what the chain commits to in its genesis block is the chain name,
the fedpegscript and the signblockscript (and the layout of the header).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import wallycore as wally

from fedsm.chains.header import Layout, internal_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fedsm.chains.script import Multisig

NEVER = 2**31 - 1  # dynafed_start: beyond every height
FREE_COINS = 2_100_000_000_000_000  # satoshi; all the money there can be
ALWAYS_ACTIVE = -1  # dynafed_start: active from block 1 on, the default of Elements custom chains

# Elements puts this key pair into the parameters of chains that set no PAK list ("junk keys for testing").
_UNUSED_PAK_KEY = "02fcba7ecf41bc7e1be4ee122d9d22e3333671eb0a3a87b5cdf099d59874e1940f"
_BITCOIN_REGTEST = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"


@dataclass(frozen=True)
class ChainParams:
    """The rules of one chain. Defaults are those of an Elements custom chain.

    ``signblockscript`` is the bare script (M-of-N multisig) of legacy headers; dynafed blocks use its P2WSH
    program. ``max_block_sig_size`` bounds the block signature in bytes, counted as the header's form counts
    it. ``dynafed_start`` is ALWAYS_ACTIVE or the block height from which version bits may activate dynafed;
    ``signal_dynafed`` is whether this node's own blocks set the bit. ``initial_free_coins`` (satoshi) go to
    an anyone-can-spend output of the genesis block.
    """

    signblockscript: bytes
    chain: str = "fedtest"
    fedpegscript: bytes = b"\x51"
    initial_free_coins: int = 0
    height_in_header: bool = True
    max_block_sig_size: int = 74
    dynafed_start: int = ALWAYS_ACTIVE
    signal_dynafed: bool = True
    confirmation_window: int = 144
    activation_threshold: int = 108
    epoch_length: int = 10
    enforce_pak: bool = False
    extension_space: tuple[bytes, ...] = (bytes.fromhex(_UNUSED_PAK_KEY * 2),)
    parent_genesis: str = _BITCOIN_REGTEST

    def __post_init__(self) -> None:
        if self.epoch_length < 1 or self.confirmation_window < 1:
            raise ValueError("epoch_length and confirmation_window must be at least 1")
        if self.initial_free_coins < 0 or self.max_block_sig_size < 0:
            raise ValueError("initial_free_coins and max_block_sig_size must not be negative")

    @classmethod
    def from_args(cls, args: Iterable[str], *, chain: str = "fedtest") -> ChainParams:
        """The parameters that ``elementsd -chain=<chain> <args>`` would run.

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
        """How the chain's legacy headers are laid out."""
        return "elements" if self.height_in_header else "heightless"

    @cached_property
    def commitment(self) -> bytes:
        """The 32 bytes by which the genesis block commits to name and scripts (internal order)."""
        text = self.chain + self.fedpegscript.hex() + self.signblockscript.hex()
        return bytes(wally.sha256(text.encode()))

    @cached_property
    def asset_entropy(self) -> bytes:
        """Entropy of the chain's own asset: issued by an outpoint that is the commitment itself."""
        contract = internal_hash(self.parent_genesis)
        return bytes(wally.tx_elements_issuance_generate_entropy(self.commitment, 0, contract))

    @cached_property
    def pegged_asset(self) -> bytes:
        """Asset id of fees and free coins, 32 bytes, internal order."""
        return bytes(wally.tx_elements_issuance_calculate_asset(self.asset_entropy))

    @cached_property
    def policy_asset(self) -> bytes:
        """The same asset as it stands in an output: prefix 01 and the id."""
        return b"\x01" + self.pegged_asset

    @cached_property
    def fedpeg_program(self) -> bytes:
        """The peg's P2SH-P2WSH output script, which a chain's first dynafed parameters carry."""
        redeem = b"\x00\x20" + bytes(wally.sha256(self.fedpegscript))
        return b"\xa9\x14" + bytes(wally.hash160(redeem)) + b"\x87"


def federation_params(
    multisig: Multisig,
    *,
    dynafed: bool = True,
    chain: str = "fedsmdev",
    initial_free_coins: int = FREE_COINS,
    max_block_sig_size: int | None = None,
    epoch_length: int = 10,
) -> ChainParams:
    """A chain that this federation signs: dynafed from block 1 on, or never.

    ``max_block_sig_size`` defaults to the most that the federation's signatures can take.
    """
    worst = multisig.worst_case_size(dynafed=dynafed)
    return ChainParams(
        multisig.script,
        chain=chain,
        initial_free_coins=initial_free_coins,
        max_block_sig_size=worst if max_block_sig_size is None else max_block_sig_size,
        dynafed_start=ALWAYS_ACTIVE if dynafed else NEVER,
        epoch_length=epoch_length,
    )


def _flag(value: str) -> bool:
    return value in ("", "1")


def _dynafed_start(value: str) -> int:
    name, _, rest = value.partition(":")
    start, colon, _ = rest.partition(":")
    if name != "dynafed" or not colon:
        raise ValueError(f"devnet only knows -evbparams=dynafed:<start height>:::, not {value}")
    return int(start)


_OPTIONS: dict[str, tuple[str, Callable[[str], object]]] = {
    "signblockscript": ("signblockscript", bytes.fromhex),
    "fedpegscript": ("fedpegscript", bytes.fromhex),
    "initialfreecoins": ("initial_free_coins", int),
    "con_blockheightinheader": ("height_in_header", _flag),
    "con_max_block_sig_size": ("max_block_sig_size", int),
    "evbparams": ("dynafed_start", _dynafed_start),
    "con_dyna_deploy_signal": ("signal_dynafed", _flag),
    "con_nminerconfirmationwindow": ("confirmation_window", int),
    "con_nrulechangeactivationthreshold": ("activation_threshold", int),
    "dynamic_epoch_length": ("epoch_length", int),
    "enforce_pak": ("enforce_pak", _flag),
}
