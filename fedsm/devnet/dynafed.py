"""Dynamic federations: which parameters the next block must carry, and which may be proposed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.header import NULL_ENTRY, DynafedEntry
from fedsm.devnet.encoding import witness_program
from fedsm.devnet.params import ALWAYS_ACTIVE
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from fedsm.chains.header import BlockHeader
    from fedsm.devnet.index import BlockEntry
    from fedsm.devnet.params import ChainParams

OP_DEPTH = 0x74
RESERVED_BITS = 0b1111 << 23  # version bits 23-26 are kept for later hard forks
PAK_ENTRY_SIZE = 66


def full_parameters(tip: BlockEntry, params: ChainParams) -> DynafedEntry:
    """The parameters of the block on top of ``tip``, in full (what getblockchaininfo describes)."""
    height = tip.height + 1
    winner = _winner(tip, params)
    if winner is not None:
        return winner
    age = height % params.epoch_length
    start = height - age if age else height - params.epoch_length
    if start == 0 and height > 1 and params.dynafed_start == ALWAYS_ACTIVE:
        start = 1  # a genesis block is never dynafed: the first epoch's parameters stand in block 1
    header = tip.ancestor(start).header
    if header.dynafed:
        return header.current
    return DynafedEntry(
        "full",
        b"\x00\x20" + bytes(wally.sha256(header.challenge)),
        params.max_block_sig_size,
        fedpeg_program=params.fedpeg_program,
        fedpegscript=params.fedpegscript,
        extension_space=params.extension_space,
    )


def current_parameters(tip: BlockEntry, params: ChainParams) -> DynafedEntry:
    """The ``current`` entry of the block on top of ``tip``: full when an epoch or dynafed itself begins."""
    full = full_parameters(tip, params)
    if (tip.height + 1) % params.epoch_length == 0 or not tip.header.dynafed:
        return full
    return DynafedEntry("compact", full.signblockscript, full.max_block_witness, elided_root=full.extra_root())


def check_dynafed_header(header: BlockHeader, tip: BlockEntry, params: ChainParams) -> None:
    """Raise Rejection unless a dynafed header on top of ``tip`` carries the right and allowed parameters."""
    if header.current.kind == "null":
        raise Rejection(
            "invalid-dyna-fed", "dynamic block headers must have non-empty current signblockscript field"
        )
    if header.version & RESERVED_BITS:
        raise Rejection("invalid-dyna-fed", "dynamic block header has unknown HF extension bits set")
    # Nodes do not compare the root of what a compact entry leaves out.
    if replace(header.current, elided_root=None) != replace(current_parameters(tip, params), elided_root=None):
        raise Rejection("invalid-dyna-fed", "dynamic block header's current parameters do not match expected")
    if header.proposed != NULL_ENTRY:
        _check_proposal(header.proposed, full_parameters(tip, params), params)


def _winner(tip: BlockEntry, params: ChainParams) -> DynafedEntry | None:
    """The proposal that at least four fifths of the epoch that ends with ``tip`` voted for."""
    if (tip.height + 1) % params.epoch_length:
        return None
    epoch = [entry.header.proposed for entry, _ in zip(tip.ancestors(), range(params.epoch_length), strict=False)]
    votes = Counter(proposal.root() for proposal in epoch if proposal != NULL_ENTRY)
    enough = params.epoch_length * 4 // 5
    return next((proposal for proposal in epoch if 0 < votes[proposal.root()] >= enough), None)


def _check_proposal(proposed: DynafedEntry, current: DynafedEntry, params: ChainParams) -> None:
    """The little that nodes ask of a proposal. Its size limit is not judged: members must do that."""
    if proposed.signblockscript != current.signblockscript and not witness_program(proposed.signblockscript):
        raise Rejection("invalid-dyna-fed", "proposed signblockscript must be native segwit scriptPubkey")
    peg = (proposed.fedpeg_program, proposed.fedpegscript)
    if peg != (current.fedpeg_program, current.fedpegscript):
        _check_peg(*peg)
    changed = proposed.extension_space != current.extension_space
    if params.enforce_pak and changed and not all(map(_is_pak_entry, proposed.extension_space)):
        raise Rejection("invalid-dyna-fed", "Extension space is not list of valid PAK entries")


def _check_peg(program: bytes, script: bytes) -> None:
    witness = witness_program(program)
    if witness is None:
        raise Rejection("invalid-dyna-fed", "proposed fedpeg program must be native segwit scriptPubkey")
    if witness[0] == 0:
        if witness[1] != bytes(wally.sha256(script)):
            raise Rejection(
                "invalid-dyna-fed", "proposed v0 segwit fedpegscript must match proposed fedpeg witness program"
            )
        if script[:1] == bytes([OP_DEPTH]):
            raise Rejection("invalid-dyna-fed", "Proposed fedpegscript starts with OP_DEPTH, which is illegal")


def _is_pak_entry(entry: bytes) -> bool:
    """A PAK entry is an online and an offline public key."""
    if len(entry) != PAK_ENTRY_SIZE:
        return False
    try:
        wally.ec_public_key_verify(entry[:33])
        wally.ec_public_key_verify(entry[33:])
    except ValueError:
        return False
    return True
