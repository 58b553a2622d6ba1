"""Elements transactions, read strictly as a node reads them, and their hashes.

Layout (fedsm.chains.transactions has it in words): reading is strict, as a node's is. Hashes and outpoints are
bytes in internal order here; RPC answers turn them round. libwally is used for signature hashes, building and
writing; it needs to know where a transaction ends, so reading is done here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import wallycore as wally

from fedsm.chains.header import fast_merkle_root
from fedsm.chains.reader import DecodeError, Reader, write_string, write_strings
from fedsm.chains.transactions import (
    ASSET_SIZES,
    ISSUANCE_BIT,
    NONCE_SIZES,
    NULL_INDEX,
    SMALLEST_INPUT,
    SMALLEST_OUTPUT,
    VALUE_SIZES,
)

ELEMENTS = wally.WALLY_TX_FLAG_USE_ELEMENTS
PEGIN_BIT = 0x4000_0000
INDEX_MASK = 0x3FFF_FFFF
NULL_OUTPOINT = bytes(32) + b"\xff\xff\xff\xff"
WITNESS_SCALE = 4  # BIP 141: a byte outside the witness weighs four
LARGEST_SCRIPT = 10_000
OP_RETURN = 0x6A


@dataclass(frozen=True)
class Issuance:
    """The issuance of an asset, or with a nonce its reissuance, that an input carries.

    ``amount`` and ``token_amount`` are confidential values as serialised: one zero byte for none, 9 bytes
    explicit, 33 committed.
    """

    nonce: bytes
    entropy: bytes
    amount: bytes
    token_amount: bytes

    @property
    def is_reissuance(self) -> bool:
        """Whether more of a known asset is issued, which the nonce (asset blinder of the token) shows."""
        return any(self.nonce)


@dataclass(frozen=True)
class TxInput:
    """``outpoint`` is txid and index (little-endian), 36 bytes, without the marker bits of the index."""

    outpoint: bytes
    script_sig: bytes
    sequence: int
    issuance: Issuance | None
    is_pegin: bool


@dataclass(frozen=True)
class InputWitness:
    """Two issuance range proofs, the script witness and the peg-in witness of an input."""

    amount_proof: bytes = b""
    token_proof: bytes = b""
    script: tuple[bytes, ...] = ()
    pegin: tuple[bytes, ...] = ()

    def digest(self) -> bytes:
        """Leaf of the witness-only hash."""
        parts = (write_string(self.amount_proof), write_string(self.token_proof))
        return _leaf(*parts, write_strings(self.script), write_strings(self.pegin))


@dataclass(frozen=True)
class OutputWitness:
    """The proofs of a confidential output."""

    surjection_proof: bytes = b""
    range_proof: bytes = b""

    def digest(self) -> bytes:
        """Leaf of the witness-only hash."""
        return _leaf(write_string(self.surjection_proof), write_string(self.range_proof))


NO_INPUT_WITNESS = InputWitness()
NO_OUTPUT_WITNESS = OutputWitness()


@dataclass(frozen=True)
class TxOutput:
    """``asset``, ``value`` and ``nonce`` are the confidential fields as serialised, prefix byte included."""

    asset: bytes
    value: bytes
    nonce: bytes
    script: bytes

    @cached_property
    def satoshi(self) -> int | None:
        """The explicit amount; ``None`` when it is committed to or missing."""
        return explicit_amount(self.value)

    @property
    def is_fee(self) -> bool:
        """Elements marks fees by an empty script on an explicit output."""
        return not self.script and self.value[0] == 1 and self.asset[0] == 1

    @property
    def is_unspendable(self) -> bool:
        """Never enters the utxo set: data carriers, fees and scripts beyond 10 000 bytes."""
        return not self.script or self.script[0] == OP_RETURN or len(self.script) > LARGEST_SCRIPT

    def serialize(self) -> bytes:
        """The output as it stands in the transaction."""
        return self.asset + self.value + self.nonce + write_string(self.script)


@dataclass(frozen=True, eq=False)
class Transaction:
    """One transaction; ``raw`` is its full serialisation, ``base_size`` its bytes without the witness."""

    raw: bytes
    base_size: int
    version: int
    locktime: int
    inputs: tuple[TxInput, ...]
    outputs: tuple[TxOutput, ...]
    input_witness: tuple[InputWitness, ...]
    output_witness: tuple[OutputWitness, ...]

    @property
    def has_witness(self) -> bool:
        """The flag byte behind the version says whether a witness follows the locktime."""
        return self.raw[4] == 1

    @cached_property
    def handle(self) -> Any:
        """libwally's object of the same transaction, for signature hashes."""
        return wally.tx_from_bytes(self.raw, ELEMENTS)

    @cached_property
    def txid(self) -> bytes:
        """Hash without the witness, internal order."""
        return bytes(wally.sha256d(self.raw[:4] + b"\x00" + self.raw[5 : self.base_size]))

    @cached_property
    def wtxid(self) -> bytes:
        """Hash of the full serialisation, internal order; the txid when there is no witness."""
        return bytes(wally.sha256d(self.raw)) if self.has_witness else self.txid

    @property
    def weight(self) -> int:
        """BIP 141 weight."""
        return self.base_size * (WITNESS_SCALE - 1) + len(self.raw)

    @property
    def vsize(self) -> int:
        """Weight over four, rounded up."""
        return -(-self.weight // WITNESS_SCALE)

    @cached_property
    def is_coinbase(self) -> bool:
        """Whether the only input spends the null outpoint."""
        return len(self.inputs) == 1 and self.inputs[0].outpoint == NULL_OUTPOINT

    @cached_property
    def fees(self) -> dict[bytes, int]:
        """Fee outputs by asset (the 33-byte explicit form), in satoshi."""
        totals: dict[bytes, int] = {}
        for output in self.outputs:
            if output.is_fee:
                totals[output.asset] = totals.get(output.asset, 0) + (output.satoshi or 0)
        return totals

    @cached_property
    def witness_only_hash(self) -> bytes:
        """The leaf of the block's witness commitment; a coinbase counts as having no input witness."""
        inputs = (NO_INPUT_WITNESS,) if self.is_coinbase else self.input_witness
        roots = (
            fast_merkle_root(tuple(witness.digest() for witness in inputs)),
            fast_merkle_root(tuple(witness.digest() for witness in self.output_witness)),
        )
        return fast_merkle_root(roots)

    @property
    def has_pegin_witness(self) -> bool:
        """Whether any input carries peg-in data."""
        return any(witness.pegin for witness in self.input_witness)

    def outpoint(self, index: int) -> bytes:
        """The outpoint of this transaction's output ``index``."""
        return self.txid + struct.pack("<I", index)


def explicit_amount(value: bytes) -> int | None:
    """The satoshi of a serialised confidential value; ``None`` when it is null or a commitment."""
    return int.from_bytes(value[1:], "big", signed=True) if value[0] == 1 else None


def explicit_value(satoshi: int) -> bytes:
    """An explicit amount as it stands in an output: prefix 01 and 8 bytes, big-endian."""
    return b"\x01" + struct.pack(">q", satoshi)


def issued_assets(spending: TxInput, issuance: Issuance) -> tuple[bytes, bytes, bytes]:
    """Entropy, asset id and token id (32 bytes each, internal order) of an issuance or reissuance."""
    entropy = issuance.entropy
    if not issuance.is_reissuance:
        index = int.from_bytes(spending.outpoint[32:], "little") & INDEX_MASK
        entropy = bytes(wally.tx_elements_issuance_generate_entropy(spending.outpoint[:32], index, entropy))
    flags = wally.WALLY_TX_FLAG_BLINDED_INITIAL_ISSUANCE if len(issuance.amount) == 33 else 0
    token = wally.tx_elements_issuance_calculate_reissuance_token(entropy, flags)
    return entropy, bytes(wally.tx_elements_issuance_calculate_asset(entropy)), bytes(token)


def parse_transaction(data: bytes) -> Transaction:
    """Read one transaction that takes all of ``data``. Raises DecodeError."""
    reader = Reader(data)
    transaction = read_transaction(reader)
    if reader.left:
        reader.fail("end of transaction", f"{reader.left} bytes too many")
    return transaction


def read_transaction(reader: Reader) -> Transaction:
    """Read the transaction at the cursor. Raises DecodeError."""
    start = reader.offset
    version = int(struct.unpack("<i", reader.take(4, "transaction version"))[0])
    flag = reader.take(1, "transaction flag")[0]
    if flag > 1:
        reader.fail("transaction flag", f"unknown value {flag}")
    inputs = tuple(_read_input(reader) for _ in range(reader.count("transaction inputs", SMALLEST_INPUT)))
    outputs = tuple(_read_output(reader) for _ in range(reader.count("transaction outputs", SMALLEST_OUTPUT)))
    locktime = reader.uint32("transaction locktime")
    base_size = reader.offset - start
    input_witness = (NO_INPUT_WITNESS,) * len(inputs)
    output_witness = (NO_OUTPUT_WITNESS,) * len(outputs)
    if flag:
        input_witness = tuple(_read_input_witness(reader) for _ in inputs)
        output_witness = tuple(_read_output_witness(reader) for _ in outputs)
        if all(w == NO_INPUT_WITNESS for w in input_witness) and not any(map(_has_proofs, output_witness)):
            reader.fail("transaction witness", "superfluous")
    raw = reader.data[start : reader.offset]
    return Transaction(raw, base_size, version, locktime, inputs, outputs, input_witness, output_witness)


def _read_input(reader: Reader) -> TxInput:
    txid = reader.take(32, "outpoint")
    index = reader.uint32("outpoint index")
    script_sig = reader.string("input script")
    sequence = reader.uint32("input sequence")
    marks = 0 if index == NULL_INDEX else index
    issuance = _read_issuance(reader) if marks & ISSUANCE_BIT else None
    position = index & INDEX_MASK if marks else index
    return TxInput(txid + struct.pack("<I", position), script_sig, sequence, issuance, bool(marks & PEGIN_BIT))


def _read_issuance(reader: Reader) -> Issuance:
    nonce = reader.take(32, "issuance nonce")
    entropy = reader.take(32, "issuance entropy")
    amount = _read_confidential(reader, VALUE_SIZES, "issuance amount")
    token_amount = _read_confidential(reader, VALUE_SIZES, "issuance inflation keys")
    if len(amount) == len(token_amount) == 1:
        reader.fail("issuance", "superfluous")
    return Issuance(nonce, entropy, amount, token_amount)


def _read_output(reader: Reader) -> TxOutput:
    asset = _read_confidential(reader, ASSET_SIZES, "output asset")
    value = _read_confidential(reader, VALUE_SIZES, "output value")
    nonce = _read_confidential(reader, NONCE_SIZES, "output nonce")
    if 0 in (asset[0], value[0]):
        reader.fail("output", "asset or value is missing")
    return TxOutput(asset, value, nonce, reader.string("output script"))


def _read_confidential(reader: Reader, sizes: dict[int, int], field: str) -> bytes:
    prefix = reader.take(1, field)
    if prefix[0] not in sizes:
        reader.fail(field, f"unknown prefix {prefix[0]}")
    return prefix + reader.take(sizes[prefix[0]], field)


def _read_input_witness(reader: Reader) -> InputWitness:
    proofs = (reader.string("issuance range proof"), reader.string("inflation keys range proof"))
    return InputWitness(*proofs, reader.strings("script witness"), reader.strings("peg-in witness"))


def _read_output_witness(reader: Reader) -> OutputWitness:
    return OutputWitness(reader.string("surjection proof"), reader.string("range proof"))


def _has_proofs(witness: OutputWitness) -> bool:
    return witness != NO_OUTPUT_WITNESS


def _leaf(*parts: bytes) -> bytes:
    return fast_merkle_root(tuple(bytes(wally.sha256d(part)) for part in parts))


__all__ = [
    "DecodeError",
    "InputWitness",
    "Issuance",
    "OutputWitness",
    "Transaction",
    "TxInput",
    "TxOutput",
    "explicit_amount",
    "explicit_value",
    "issued_assets",
    "parse_transaction",
    "read_transaction",
]
