"""Block headers and blocks of Elements and Ocean chains, as bytes and back. Pure.

Legacy header:  version i32 | previous 32 | merkle root 32 | time u32 | [height u32] | challenge | solution
Dynafed header: version with bit 31 | previous 32 | merkle root 32 | time u32 | height u32
                | current entry | proposed entry | witness stack
Ocean header:   version i32 | previous 32 | merkle root 32 | contract 32 | attestation 32 | mapping 32 | time u32
                | height u32 | challenge | solution
A block is a header, a CompactSize number of transactions and the transactions. Scripts and stack items carry
a CompactSize length. Whether a legacy header holds its height is a rule of the chain
(con_blockheightinheader); a dynafed header always has the field, and such a chain without heights writes 0
there. Nothing in a legacy header says of which layout it is: see parse_header. The block hash, which is also the
message that members sign, is the double SHA-256 of the header without its solution or witness.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import wallycore as wally

from fedsm.chains.reader import DecodeError, Reader, write_string, write_strings
from fedsm.chains.transactions import skip_transactions, starts_with_coinbase

__all__ = [
    "NULL_ENTRY",
    "Block",
    "BlockHeader",
    "DecodeError",
    "DynafedEntry",
    "Layout",
    "OceanHashes",
    "display_hash",
    "fast_merkle_root",
    "internal_hash",
    "parse_block",
    "parse_header",
]

# The chain's own layout of legacy headers: with height (the default of Elements nodes), without, or Ocean's.
Layout = Literal["elements", "heightless", "ocean"]
LAYOUTS: tuple[Layout, ...] = ("elements", "heightless", "ocean")
EntryKind = Literal["null", "compact", "full"]
ENTRY_KINDS: tuple[EntryKind, ...] = ("null", "compact", "full")  # index = type byte on the wire
DYNAFED_BIT = 0x8000_0000
OP_TRUE = b"\x51"


def display_hash(internal: bytes) -> str:
    """32 bytes as serialised -> 64 hex digits as node RPCs print them (byte-reversed)."""
    return internal[::-1].hex()


def internal_hash(display: str) -> bytes:
    """64 hex digits as node RPCs print them -> 32 bytes as serialised."""
    return bytes.fromhex(display)[::-1]


def fast_merkle_root(leaves: tuple[bytes, ...]) -> bytes:
    """Elements' fast Merkle root of 32-byte leaves.

    An inner node is one SHA-256 compression of its two children, without padding; an odd last leaf moves up.
    """
    level = list(leaves)
    while len(level) > 1:
        odd = level[len(level) & ~1 :]
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [bytes(wally.sha256_midstate(left + right)) for left, right in pairs] + odd
    return level[0]


@dataclass(frozen=True)
class DynafedEntry:
    """Dynamic-federation parameters in a header (the ``current`` or the ``proposed`` ones).

    ``null`` carries nothing; ``compact`` has the script, the limit and the 32-byte root of what is left out
    (``elided_root``, internal order); ``full`` has everything. ``max_block_witness`` is the largest
    serialised block witness in bytes that the chain accepts under these parameters.
    """

    kind: EntryKind
    signblockscript: bytes = b""
    max_block_witness: int = 0
    elided_root: bytes | None = None
    fedpeg_program: bytes = b""
    fedpegscript: bytes = b""
    extension_space: tuple[bytes, ...] = ()

    def serialize(self) -> bytes:
        """The entry as it stands in the header, type byte first."""
        start = bytes([ENTRY_KINDS.index(self.kind)])
        if self.kind == "null":
            return start
        start += write_string(self.signblockscript) + struct.pack("<I", self.max_block_witness)
        if self.kind == "compact":
            return start + (self.elided_root or bytes(32))
        return start + b"".join(self._extra_parts())

    def extra_root(self) -> bytes:
        """Root of the part that the compact form leaves out; 32 bytes, internal order."""
        if self.kind != "full":
            return self.elided_root or bytes(32)
        return fast_merkle_root(tuple(bytes(wally.sha256d(part)) for part in self._extra_parts()))

    def root(self) -> bytes:
        """The parameters root that nodes compare and print (32 bytes, internal order; null: zeros)."""
        if self.kind == "null":
            return bytes(32)
        parts = (write_string(self.signblockscript), struct.pack("<I", self.max_block_witness))
        signing = fast_merkle_root(tuple(bytes(wally.sha256d(part)) for part in parts))
        return fast_merkle_root((signing, self.extra_root()))

    def _extra_parts(self) -> tuple[bytes, bytes, bytes]:
        peg = (write_string(self.fedpeg_program), write_string(self.fedpegscript))
        return (*peg, write_strings(self.extension_space))


NULL_ENTRY = DynafedEntry("null")


@dataclass(frozen=True)
class OceanHashes:
    """The three hashes that Ocean headers carry beside the others, in display order; zeros where unused.

    ``contract`` is the double SHA-256 of the chain's terms and conditions, ``mapping`` that of its asset mapping
    file, ``attestation`` is set in genesis blocks only. Each node fills them in from its own files, and none checks
    those of others.
    """

    contract: str
    attestation: str
    mapping: str

    def serialize(self) -> bytes:
        """The 96 bytes in the header."""
        return b"".join(map(internal_hash, (self.contract, self.attestation, self.mapping)))


@dataclass(frozen=True)
class BlockHeader:
    """One header of any form; ``dynafed`` tells which of the proof fields are in use, ``ocean`` is Ocean's own.

    ``version`` is without the dynafed bit; ``previous`` and ``merkle_root`` are in display order; ``time`` is
    in seconds since the Unix epoch; ``height`` is ``None`` when a legacy header has no such field. Legacy:
    ``challenge`` (the block-signing script) and ``solution`` (a scriptSig, empty when unsigned). Dynafed:
    ``current``, ``proposed`` and ``witness`` (a witness stack, empty when unsigned).
    """

    version: int
    previous: str
    merkle_root: str
    time: int
    height: int | None
    dynafed: bool = False
    challenge: bytes = b""
    solution: bytes = b""
    current: DynafedEntry = NULL_ENTRY
    proposed: DynafedEntry = NULL_ENTRY
    witness: tuple[bytes, ...] = ()
    ocean: OceanHashes | None = None

    def serialize(self, *, with_proof: bool = True) -> bytes:
        """The header as the node writes it; without the solution or witness it is what gets hashed."""
        version = self.version | (DYNAFED_BIT if self.dynafed else 0)
        start = struct.pack("<I", version) + internal_hash(self.previous) + internal_hash(self.merkle_root)
        if self.ocean is not None:
            start += self.ocean.serialize()
        start += struct.pack("<I", self.time)
        if self.height is not None:
            start += struct.pack("<I", self.height)
        if self.dynafed:
            core = start + self.current.serialize() + self.proposed.serialize()
            return core + write_strings(self.witness) if with_proof else core
        core = start + write_string(self.challenge)
        return core + write_string(self.solution) if with_proof else core

    @cached_property
    def digest(self) -> bytes:
        """The 32-byte message that block signatures are over (block hash in internal order)."""
        return bytes(wally.sha256d(self.serialize(with_proof=False)))

    @property
    def hash(self) -> str:
        """The block hash in display order."""
        return display_hash(self.digest)

    def signed_size(self) -> int:
        """The bytes that the node holds against max_block_witness: the scriptSig, or the serialised stack."""
        return len(write_strings(self.witness)) if self.dynafed else len(self.solution)


@dataclass(frozen=True)
class Block:
    """A header and the rest of the block: ``transactions`` is the CompactSize count and the transactions."""

    header: BlockHeader
    transactions: bytes

    def serialize(self) -> bytes:
        """The whole block as the node takes it."""
        return self.header.serialize() + self.transactions

    def with_solution(self, solution: bytes) -> Block:
        """The same legacy block with this scriptSig (``b""``: unsigned)."""
        if self.header.dynafed:
            raise ValueError("a dynafed block takes a witness, not a solution")
        return replace(self, header=replace(self.header, solution=solution))

    def with_witness(self, witness: tuple[bytes, ...]) -> Block:
        """The same dynafed block with this witness stack (``()``: unsigned)."""
        if not self.header.dynafed:
            raise ValueError("a legacy block takes a solution, not a witness")
        return replace(self, header=replace(self.header, witness=witness))


def parse_header(
    data: bytes, *, layout: Layout | None = None, whole_block: bool = False
) -> tuple[BlockHeader, int]:
    """Read the header that ``data`` begins with; return it and the offset behind it.

    ``whole_block`` says that transactions follow. ``layout`` is the chain's layout of legacy headers; with
    ``None`` all are tried and the best reading is taken, judged in this order: a
    header that is followed by nothing or by a transaction list beginning with a coinbase (``whole_block``:
    only the latter); a challenge of a known kind (multisig, other standard script, OP_TRUE), then any
    well-formed script; and last, the layout that comes first in LAYOUTS. A dynafed header says itself that it is
    one, except that Ocean has none. Raises DecodeError and nothing else.
    """
    if layout is None and not _is_dynafed(data):
        return _tell_layout(data, whole_block)
    return _read_header(data, layout or "elements")


def parse_block(data: bytes, *, layout: Layout | None = None) -> Block:
    """Read a whole block; bytes missing or left over are a DecodeError (nodes ignore trailing bytes).

    Transactions are walked through, not checked, but there must be one: no block is without a coinbase.
    """
    header, offset = parse_header(data, layout=layout, whole_block=True)
    reader = Reader(data, offset)
    if skip_transactions(reader) == 0:
        reader.fail("transactions", "there are none")
    if reader.left:
        reader.fail("end of block", f"{reader.left} bytes too many")
    return Block(header, data[offset:])


def _is_dynafed(data: bytes) -> bool:
    return bool(Reader(data).uint32("version") & DYNAFED_BIT)


def _tell_layout(data: bytes, whole_block: bool) -> tuple[BlockHeader, int]:
    readings: list[tuple[BlockHeader, int]] = []
    failure: DecodeError | None = None
    for layout in LAYOUTS:
        try:
            readings.append(_read_header(data, layout))
        except DecodeError as error:
            failure = failure or error
    if not readings:
        raise failure or DecodeError("no header")

    def merit(reading: tuple[BlockHeader, int]) -> tuple[bool, int]:
        header, offset = reading
        ends = offset == len(data) and not whole_block
        return ends or starts_with_coinbase(data, offset), _script_merit(header.challenge)

    return max(readings, key=merit)  # of equals the first


def _script_merit(script: bytes) -> int:
    if not script:
        return 0
    if script == OP_TRUE or wally.scriptpubkey_get_type(script) != wally.WALLY_SCRIPT_TYPE_UNKNOWN:
        return 2
    return int(_is_well_formed(script))


def _is_well_formed(script: bytes) -> bool:
    """Whether every push in the script has all of its data."""
    position = 0
    while position < len(script):
        opcode = script[position]
        position += 1
        width = {0x4C: 1, 0x4D: 2, 0x4E: 4}.get(opcode, 0)  # OP_PUSHDATA1, 2, 4
        if width:
            position += width + int.from_bytes(script[position : position + width], "little")
        elif opcode < 0x4C:
            position += opcode
    return position == len(script)


def _read_header(data: bytes, layout: Layout) -> tuple[BlockHeader, int]:
    reader = Reader(data)
    version = reader.uint32("version")
    dynafed = bool(version & DYNAFED_BIT) and layout != "ocean"
    start = BlockHeader(
        version=version & ~DYNAFED_BIT if dynafed else version,
        previous=display_hash(reader.take(32, "previous block")),
        merkle_root=display_hash(reader.take(32, "merkle root")),
        ocean=_read_hashes(reader) if layout == "ocean" else None,
        time=reader.uint32("time"),
        height=None if layout == "heightless" and not dynafed else reader.uint32("height"),
        dynafed=dynafed,
    )
    if dynafed:
        current, proposed = _read_entry(reader, "current"), _read_entry(reader, "proposed")
        header = replace(start, current=current, proposed=proposed, witness=reader.strings("witness"))
    else:
        header = replace(start, challenge=reader.string("challenge"), solution=reader.string("solution"))
    return header, reader.offset


def _read_hashes(reader: Reader) -> OceanHashes:
    return OceanHashes(
        contract=display_hash(reader.take(32, "contract hash")),
        attestation=display_hash(reader.take(32, "attestation hash")),
        mapping=display_hash(reader.take(32, "mapping hash")),
    )


def _read_entry(reader: Reader, name: str) -> DynafedEntry:
    kind = reader.take(1, f"{name} parameters type")[0]
    if kind >= len(ENTRY_KINDS):
        reader.fail(f"{name} parameters type", f"unknown type {kind}")
    if ENTRY_KINDS[kind] == "null":
        return NULL_ENTRY
    script = reader.string(f"{name} signblockscript")
    limit = reader.uint32(f"{name} max_block_witness")
    if ENTRY_KINDS[kind] == "compact":
        return DynafedEntry("compact", script, limit, elided_root=reader.take(32, f"{name} elided root"))
    return DynafedEntry(
        "full",
        script,
        limit,
        fedpeg_program=reader.string(f"{name} fedpeg program"),
        fedpegscript=reader.string(f"{name} fedpegscript"),
        extension_space=reader.strings(f"{name} extension space"),
    )
