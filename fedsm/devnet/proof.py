"""Block signatures: checked with the script rules of the node, and combined as combineblocksigs does it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.devnet.checkers import BlockChecker
from fedsm.devnet.encoding import BLOCK_PROOF, Flags, ScriptFailure, push
from fedsm.devnet.interpreter import verify_script
from fedsm.devnet.script_types import multisig_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedsm.chains.header import BlockHeader
    from fedsm.devnet.params import ChainParams


def has_valid_proof(header: BlockHeader, params: ChainParams) -> bool:
    """Whether the header is signed by the script that it names (dynafed) or that the chain started with.

    That a dynafed header names the right script is another check, against the chain's parameters.
    """
    if header.dynafed:
        limit, script = header.current.max_block_witness, header.current.signblockscript
        flags = BLOCK_PROOF if header.witness else BLOCK_PROOF | Flags.NO_SIGHASH_BYTE
    else:
        limit, script = params.max_block_sig_size, params.signblockscript
        flags = BLOCK_PROOF | Flags.NO_SIGHASH_BYTE
    if header.signed_size() > limit:
        return False
    checker = BlockChecker(header.digest, sighash_byte=Flags.NO_SIGHASH_BYTE not in flags)
    try:
        verify_script(header.solution, script, header.witness, flags, checker)
    except ScriptFailure:
        return False
    return True


def combine(header: BlockHeader, signatures: Mapping[bytes, bytes], witness_script: bytes) -> BlockHeader:
    """The header with a proof made of ``signatures`` (by public key), none of which is looked at.

    The first M signatures in the order of the keys are placed, with the sighash byte they came with. A script
    that is no multisig gets no signatures; a dynafed header with another script than ``witness_script`` gets
    an empty witness.
    """
    if not header.dynafed:
        items = _place(header.challenge, signatures)
        return replace(header, solution=b"".join(push(item) for item in items))
    program = b"\x00\x20" + bytes(wally.sha256(witness_script))
    if not witness_script or program != header.current.signblockscript:
        return replace(header, witness=())
    return replace(header, witness=(*_place(witness_script, signatures), witness_script))


def _place(script: bytes, signatures: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
    multisig = multisig_parts(script)
    if multisig is None:
        return ()
    needed, keys = multisig
    placed = [signatures[key] for key in keys if signatures.get(key)][:needed]
    # Nodes fill half of the gap only: their loop counts what it has filled twice.
    missing = (needed - len(placed) + 1) // 2
    return (b"", *placed, *[b""] * missing)
