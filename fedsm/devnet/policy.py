"""Relay policy: which transactions a node takes into its mempool although the chain allows more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.devnet import encoding
from fedsm.devnet.rejection import Rejection
from fedsm.devnet.script_types import script_type, small_multisig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.chains.transaction import Transaction, TxInput, TxOutput
    from fedsm.devnet.coins import Coin

RELAY_FEE_RATE = 100  # satoshi per 1000 virtual bytes; minimum relay fee and dust fee alike
MOST_WEIGHT = 400_000
LEAST_BASE_SIZE = 65  # CVE-2017-12842
LARGEST_SCRIPT_SIG = 1650
LARGEST_DATA_SCRIPT = 83
LARGEST_WITNESS_SCRIPT = 3600
MOST_P2SH_OPERATIONS = 15
NEWEST_VERSION = 3
_SPENDING_SIZE = {True: 32 + 4 + 1 + 107 // 4 + 4, False: 32 + 4 + 1 + 107 + 4}  # bytes to spend: segwit or not


def fee_for(vsize: int, rate: int = RELAY_FEE_RATE) -> int:
    """The fee in satoshi that ``rate`` (satoshi per 1000 virtual bytes) asks for, rounded up."""
    return -(-vsize * rate // 1000)


def check_standard(transaction: Transaction, policy_asset: bytes, *, most_data: int = LARGEST_DATA_SCRIPT) -> None:
    """Raise Rejection unless the transaction is of a standard form; ``most_data`` bounds OP_RETURN scripts."""
    if not 1 <= transaction.version <= NEWEST_VERSION:
        raise Rejection("version")
    if transaction.weight > MOST_WEIGHT:
        raise Rejection("tx-size")
    for spending in transaction.inputs:
        if len(spending.script_sig) > LARGEST_SCRIPT_SIG:
            raise Rejection("scriptsig-size")
        if not encoding.is_push_only(spending.script_sig):
            raise Rejection("scriptsig-not-pushonly")
    if not all(_is_standard_output(output.script, most_data) for output in transaction.outputs):
        raise Rejection("scriptpubkey")
    if len(dust_outputs(transaction, policy_asset)) > 1:
        raise Rejection("dust")
    if sum(script_type(output.script) == "nulldata" for output in transaction.outputs) > 1:
        raise Rejection("multi-op-return")


def dust_outputs(transaction: Transaction, policy_asset: bytes) -> list[int]:
    """Outputs of the policy asset that are worth less than what it costs to spend them."""
    return [
        index
        for index, output in enumerate(transaction.outputs)
        if output.asset == policy_asset and output.satoshi is not None and output.satoshi < _dust_limit(output)
    ]


def check_standard_inputs(transaction: Transaction, spent: Sequence[Coin]) -> None:
    """Raise Rejection unless the coins spent and their witnesses are of standard forms."""
    scripts = [_spent_script(*pair) for pair in zip(transaction.inputs, spent, strict=True)]
    if any(script_type(coin.output.script) in ("nonstandard", "witness_unknown") for coin in spent):
        raise Rejection("bad-txns-nonstandard-inputs")
    if any(script is None or signature_operations(script) > MOST_P2SH_OPERATIONS for script in scripts):
        raise Rejection("bad-txns-nonstandard-inputs")
    for script, witness in zip(scripts, transaction.input_witness, strict=True):
        if not witness.script:
            continue
        program = encoding.witness_program(script or b"")
        too_long = (
            len(witness.script[-1]) > LARGEST_WITNESS_SCRIPT and program is not None and len(program[1]) == 32
        )
        if program is None or too_long:
            raise Rejection("bad-witness-nonstandard")


def signature_operations(script: bytes) -> int:
    """Signature checks in a script; a multisig counts its keys when their number stands before it, else 20."""
    total, before = 0, 0
    try:
        for opcode, _ in encoding.opcodes(script):
            if opcode in (0xAC, 0xAD):
                total += 1
            elif opcode in (0xAE, 0xAF):
                total += before - 0x50 if 0x51 <= before <= 0x60 else 20
            before = opcode
    except ValueError:
        return total
    return total


def _spent_script(spending: TxInput, coin: Coin) -> bytes | None:
    """The script that an input satisfies: the redeem script of a P2SH coin (``None`` without one)."""
    if not encoding.is_p2sh(coin.output.script):
        return coin.output.script
    try:
        pushed = [data for _, data in encoding.opcodes(spending.script_sig)]
    except ValueError:
        return None
    return pushed[-1] if pushed else None


def _is_standard_output(script: bytes, most_data: int) -> bool:
    kind = script_type(script)
    if kind == "multisig":
        return small_multisig(script)
    if kind == "nulldata":
        return len(script) <= most_data
    return kind != "nonstandard"


def _dust_limit(output: TxOutput) -> int:
    if output.is_unspendable:
        return 0
    segwit = encoding.witness_program(output.script) is not None
    return fee_for(len(output.serialize()) + _SPENDING_SIZE[segwit])
