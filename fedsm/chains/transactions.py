"""Walks over the transaction list of a block, to find where it ends; nothing of it is kept.

Layout (Elements and Ocean alike): version i32 | flag (bit 0: witness follows) | inputs | outputs | locktime
u32 | with the flag, per input: two issuance range proofs, script witness, peg-in witness; per output:
surjection proof, range proof. Bit 31 of an input's outpoint index says that an issuance follows the input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedsm.chains.reader import Reader

NULL_INDEX = 0xFFFF_FFFF
ISSUANCE_BIT = 0x8000_0000
SMALLEST_TRANSACTION = 11  # version, flag, two empty lists, locktime
SMALLEST_INPUT = 41
SMALLEST_OUTPUT = 4

# Bytes that follow the prefix byte of a confidential field: 0 null, 1 explicit, else a 33-byte commitment.
ASSET_SIZES = {0: 0, 1: 32, 10: 32, 11: 32}
VALUE_SIZES = {0: 0, 1: 8, 8: 32, 9: 32}
NONCE_SIZES = {0: 0, 1: 32, 2: 32, 3: 32}


def skip_transactions(reader: Reader) -> int:
    """Read a transaction count and that many transactions; return the count. Raises DecodeError."""
    number = reader.count("transaction count", SMALLEST_TRANSACTION)
    for _ in range(number):
        _skip_transaction(reader)
    return number


def starts_with_coinbase(data: bytes, offset: int) -> bool:
    """Whether a transaction list whose first transaction is a coinbase begins at ``offset``."""
    width = {0xFD: 3, 0xFE: 5}.get(data[offset], 1) if offset < len(data) else 1
    start = offset + width
    null_outpoint = bytes(32) + b"\xff\xff\xff\xff"
    return (
        data[offset : offset + 1] != b"\x00"
        and data[start + 4 : start + 5] in (b"\x00", b"\x01")
        and data[start + 5 : start + 42] == b"\x01" + null_outpoint
    )


def _skip_transaction(reader: Reader) -> None:
    reader.uint32("transaction version")
    flag = reader.take(1, "transaction flag")[0]
    if flag not in (0, 1):
        reader.fail("transaction flag", f"unknown value {flag}")
    inputs = reader.count("transaction inputs", SMALLEST_INPUT)
    for _ in range(inputs):
        _skip_input(reader)
    outputs = reader.count("transaction outputs", SMALLEST_OUTPUT)
    for _ in range(outputs):
        _skip_confidential(reader, ASSET_SIZES, "output asset")
        _skip_confidential(reader, VALUE_SIZES, "output value")
        _skip_confidential(reader, NONCE_SIZES, "output nonce")
        reader.string("output script")
    reader.uint32("transaction locktime")
    if flag:
        _skip_witness(reader, inputs, outputs)


def _skip_input(reader: Reader) -> None:
    reader.take(32, "outpoint")
    index = reader.uint32("outpoint index")
    reader.string("input script")
    reader.uint32("input sequence")
    if index != NULL_INDEX and index & ISSUANCE_BIT:
        reader.take(64, "issuance nonce and entropy")
        _skip_confidential(reader, VALUE_SIZES, "issuance amount")
        _skip_confidential(reader, VALUE_SIZES, "issuance inflation keys")


def _skip_confidential(reader: Reader, sizes: dict[int, int], field: str) -> None:
    prefix = reader.take(1, field)[0]
    if prefix not in sizes:
        reader.fail(field, f"unknown prefix {prefix}")
    reader.take(sizes[prefix], field)


def _skip_witness(reader: Reader, inputs: int, outputs: int) -> None:
    for _ in range(inputs):
        reader.string("issuance range proof")
        reader.string("inflation keys range proof")
        reader.strings("script witness")
        reader.strings("peg-in witness")
    for _ in range(outputs):
        reader.string("surjection proof")
        reader.string("range proof")
