"""What an operator says about reissuance: the old daemon's flags, and the table [reissuance] of the file."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import msgspec

from fedsm.chains.script import Multisig, parse_multisig
from fedsm.errors import FedsmError
from fedsm.hsm import LABEL_VARIABLE, HsmAccess, HsmSettings
from fedsm.reissue.strategy import ReissueError
from states.amounts import MAX_AMOUNT, AmountError, Inflation, parse_rate

TABLE = "reissuance"
DEFAULT_FEE_RATE = 100  # satoshi for 1000 vbytes: the least that Elements nodes relay by default
DEFAULT_MAX_FEE = 10_000
SATOSHI = 10**8
LEAST_PERIOD = 2  # blocks: one for the reissuance, one for the next to fall due in


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The table [reissuance]. Amounts are in units of the asset, as text or number; keys are files."""

    assets: tuple[str, ...] | None = None
    max_rate: str | float | int | None = None
    max_amount: str | float | int | None = None
    destination: str | None = None
    script_type: Literal["p2wsh", "p2sh"] | None = None
    key_file: str | None = None
    pkcs11_uri: str | None = None
    blinding_key_file: str | None = None
    fee_rate: int = DEFAULT_FEE_RATE
    max_fee: int = DEFAULT_MAX_FEE
    first_height: int = 1


@dataclass(frozen=True)
class ReissueConfig:
    """A schedule, and what this member needs for its part in it.

    ``address`` is paid; ``multisig`` holds the tokens, as ``script_type`` (None: as the chain has it). ``key`` is
    this member's secret in WIF or hex, else it is in ``key_file`` or ``hsm``, else the block-signing key is used.
    ``assets``, ``max_rate``, ``max_amount`` (satoshi) and ``only_address`` are the operator's own limits. ``halt``:
    a deferred reissuance ends the daemon.
    """

    inflation: Inflation
    address: str
    multisig: Multisig
    key: str | None = field(default=None, repr=False)
    key_file: Path | None = None
    hsm: HsmAccess | None = None
    script_type: Literal["p2wsh", "p2sh"] | None = None
    blinding_key_file: Path | None = None
    fee_rate: int = DEFAULT_FEE_RATE
    max_fee: int = DEFAULT_MAX_FEE
    first_height: int = 1
    assets: frozenset[str] | None = None
    max_rate: Fraction | None = None
    max_amount: int | None = None
    only_address: str | None = None
    halt: bool = False


def is_wanted(given: Mapping[str, Any]) -> bool:
    """Whether a schedule is configured: a rate of 0, or none, means that nothing is reissued."""
    try:
        return Decimal(given["inflationrate"]) != 0
    except InvalidOperation:
        return True  # and refused for what it is


def configure_reissue(given: Mapping[str, Any], table: object, interval_ms: int) -> ReissueConfig:
    """The schedule that flags and table describe. ReissueError names the flag or setting that is wrong."""
    settings = _table(table)
    return ReissueConfig(
        inflation=_inflation(given, interval_ms),
        address=_needed(given, "inflationaddress"),
        multisig=_script(_needed(given, "reissuancescript")),
        key=given["reissuanceprivkey"] or None,
        key_file=None if settings.key_file is None else Path(settings.key_file),
        hsm=None if settings.pkcs11_uri is None else _hsm(settings.pkcs11_uri),
        script_type=settings.script_type,
        blinding_key_file=None if settings.blinding_key_file is None else Path(settings.blinding_key_file),
        fee_rate=_between(settings.fee_rate, "fee-rate", 0, 1_000_000),
        max_fee=_between(settings.max_fee, "max-fee", 0, 100_000_000),
        first_height=_between(settings.first_height, "first-height", 1, 2**31 - 1),
        assets=None if settings.assets is None else frozenset(map(_asset, settings.assets)),
        max_rate=None if settings.max_rate is None else _rate(str(settings.max_rate), "[reissuance] max-rate"),
        max_amount=None if settings.max_amount is None else _amount(str(settings.max_amount)),
        only_address=settings.destination,
        halt=given["on_reissue_failure"] == "halt",
    )


def _hsm(uri: str) -> HsmAccess:
    """A reissuance key in an HSM. The old daemon's KEY_LABEL is not meant: it names the block-signing key."""
    environ = {name: value for name, value in os.environ.items() if name != LABEL_VARIABLE}
    try:
        return HsmSettings(uri=uri).access(environ)
    except FedsmError as error:
        raise ReissueError(f"[{TABLE}] pkcs11-uri: {str(error).removeprefix('--pkcs11-uri: ')}") from None


def default_blinding_key(multisig: Multisig) -> bytes:
    """The blinding key of a script when none is given: it follows from the script, so that all members have it.

    It hides the token's whereabouts from nobody who knows the script; who has it can spend nothing.
    """
    return hmac.new(b"fedsm/reissuance/blinding key", multisig.script, hashlib.sha256).digest()


def _table(table: object) -> Table:
    try:
        return msgspec.convert({} if table is None else table, Table)
    except msgspec.ValidationError as error:
        raise ReissueError(f"[{TABLE}]: {error}") from None


def _inflation(given: Mapping[str, Any], interval_ms: int) -> Inflation:
    _rate(given["inflationrate"], "--inflationrate")
    period = int(given["inflationperiod"])
    if period < LEAST_PERIOD:
        raise ReissueError(f"--inflationperiod {period}: a period has at least {LEAST_PERIOD} blocks")
    try:
        return Inflation(given["inflationrate"], period, interval_ms)
    except AmountError as error:
        raise ReissueError(f"--inflationperiod {period}: {error}") from None


def _rate(text: str, what: str) -> Fraction:
    try:
        return parse_rate(text)
    except AmountError as error:
        raise ReissueError(f"{what} {text}: {error}") from None


def _needed(given: Mapping[str, Any], name: str) -> str:
    if not given[name]:
        raise ReissueError(f"--{name} is missing: with --inflationrate above 0 it is needed")
    return str(given[name])


def _script(text: str) -> Multisig:
    try:
        return parse_multisig(bytes.fromhex(text))
    except ValueError as error:
        raise ReissueError(f"--reissuancescript: {error}") from None


def _asset(text: str) -> str:
    try:
        if len(bytes.fromhex(text)) == 32 and text == text.lower():
            return text
    except ValueError:
        pass
    raise ReissueError(f"[{TABLE}] assets: {text!r} is not an asset id of 64 lower-case hex digits")


def _amount(text: str) -> int:
    try:
        satoshi = Decimal(text) * SATOSHI
    except InvalidOperation:
        satoshi = Decimal(-1)
    if not 0 < satoshi <= MAX_AMOUNT or satoshi != int(satoshi):
        raise ReissueError(
            f"[{TABLE}] max-amount {text}: it must be above 0 and at most {MAX_AMOUNT // SATOSHI}, with 8 places"
        )
    return int(satoshi)


def _between(value: int, name: str, least: int, most: int) -> int:
    if not least <= value <= most:
        raise ReissueError(f"[{TABLE}] {name} {value}: it must lie between {least} and {most}")
    return value
