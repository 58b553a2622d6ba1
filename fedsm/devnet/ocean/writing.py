"""Writes transactions as Ocean does (Elements 0.14): explicit amounts, without a witness."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fedsm.chains.reader import write_compact_size, write_string, write_strings
from fedsm.chains.transaction import NULL_OUTPOINT, PEGIN_BIT, Transaction, TxInput, parse_transaction
from fedsm.chains.transactions import ISSUANCE_BIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.chains.transaction import TxOutput

FINAL = 0xFFFF_FFFF


def write_transaction(
    inputs: Sequence[TxInput], outputs: Sequence[TxOutput], *, version: int = 2, locktime: int = 0
) -> Transaction:
    """The transaction of these inputs and outputs."""
    start = struct.pack("<i", version) + b"\x00"
    vin = write_compact_size(len(inputs)) + b"".join(map(_write_input, inputs))
    vout = write_compact_size(len(outputs)) + b"".join(output.serialize() for output in outputs)
    return parse_transaction(start + vin + vout + struct.pack("<I", locktime))


def with_script_witness(transaction: Transaction, stack: tuple[bytes, ...]) -> Transaction:
    """A transaction of one input and explicit outputs, with this script witness for the input."""
    raw = transaction.raw
    witness = b"\x00\x00" + write_strings(stack) + b"\x00" + b"\x00\x00" * len(transaction.outputs)
    return parse_transaction(raw[:4] + b"\x01" + raw[5:] + witness)


def _write_input(spending: TxInput) -> bytes:
    index: int = struct.unpack("<I", spending.outpoint[32:])[0]
    if spending.outpoint != NULL_OUTPOINT:
        index |= ISSUANCE_BIT if spending.issuance is not None else 0
        index |= PEGIN_BIT if spending.is_pegin else 0
    start = spending.outpoint[:32] + struct.pack("<I", index) + write_string(spending.script_sig)
    end = struct.pack("<I", spending.sequence)
    if spending.issuance is None:
        return start + end
    issuance = spending.issuance
    return start + end + issuance.nonce + issuance.entropy + issuance.amount + issuance.token_amount
