"""Addresses of a federation's multisig, as the nodes print them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import wallycore as wally

if TYPE_CHECKING:
    from fedsm.chains.script import Multisig


@dataclass(frozen=True)
class AddressPrefixes:
    """A chain's address alphabet: the version byte of P2SH addresses and the prefix of segwit ones.

    ``segwit`` is the human-readable part of BIP 173, ``None`` for a chain without segwit addresses.
    """

    p2sh: int
    segwit: str | None


CUSTOM_CHAIN = AddressPrefixes(p2sh=75, segwit="ert")  # every Elements -chain=NAME without a name of its own
LIQUID = AddressPrefixes(p2sh=39, segwit="ex")
LIQUID_TESTNET = AddressPrefixes(p2sh=19, segwit="tex")
OCEAN_CUSTOM_CHAIN = AddressPrefixes(p2sh=75, segwit=None)

_BY_ELEMENTS_CHAIN = {"liquidv1": LIQUID, "liquidtestnet": LIQUID_TESTNET}


def elements_prefixes(chain_name: str) -> AddressPrefixes:
    """The prefixes of an Elements chain by the name that getblockchaininfo gives it."""
    return _BY_ELEMENTS_CHAIN.get(chain_name, CUSTOM_CHAIN)


def p2sh_address(multisig: Multisig, prefixes: AddressPrefixes) -> str:
    """The Base58Check address that pays to the script's hash (BIP 16)."""
    payload = bytes([prefixes.p2sh]) + bytes(wally.hash160(multisig.script))
    return str(wally.base58check_from_bytes(payload))


def p2wsh_address(multisig: Multisig, prefixes: AddressPrefixes) -> str:
    """The bech32 address that pays to the script's witness program; ValueError on a chain without segwit."""
    if prefixes.segwit is None:
        raise ValueError("this chain has no segwit addresses")
    return str(wally.addr_segwit_from_bytes(multisig.p2wsh_program, prefixes.segwit, 0))
