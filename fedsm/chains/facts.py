"""What a block says about itself: hash, place, script, and whose signatures it carries."""

from __future__ import annotations

from dataclasses import dataclass

import wallycore as wally

from fedsm.chains.coinbase import coinbase_height
from fedsm.chains.header import BlockHeader, OceanHashes
from fedsm.chains.ocean_proof import is_solved, solvers_of
from fedsm.chains.script import (
    Multisig,
    ScriptError,
    assemble_solution,
    assemble_witness,
    parse_multisig,
    signatures_in,
    signers_of,
)
from signers.ecdsa import verify_der


@dataclass(frozen=True)
class BlockFacts:
    """Facts of a block or header. ``height`` is None where neither header nor coinbase tells it.

    ``script`` is the multisig where it is known, else the program or challenge that the header names; ``m`` and
    ``n`` are None with an unknown one. ``signers`` are the public keys (hex) whose signatures verify, and
    ``complete`` says that the proof is what the nodes demand: M of them in key order, and nothing else on chains
    other than Ocean. ``ocean`` are the hashes of an Ocean header.
    """

    hash: str
    height: int | None
    time: int
    previous: str
    dynafed: bool
    script: str
    m: int | None
    n: int | None
    complete: bool
    signers: list[str]
    ocean: OceanHashes | None


def facts_of(header: BlockHeader, transactions: bytes = b"", known_script: bytes | None = None) -> BlockFacts:
    """The facts of a header, with its block's transaction list (or nothing) for the height.

    ``known_script`` is the multisig of an unsigned dynafed block, which names only its hash.
    """
    script, multisig = _script(header, known_script)
    return BlockFacts(
        hash=header.hash,
        height=header.height or coinbase_height(transactions) or header.height,
        time=header.time,
        previous=header.previous,
        dynafed=header.dynafed,
        script=script.hex(),
        m=multisig.m if multisig else None,
        n=multisig.n if multisig else None,
        complete=multisig is not None and _is_complete(header, multisig),
        signers=_signers(header, multisig) if multisig else [],
        ocean=header.ocean,
    )


def _signers(header: BlockHeader, multisig: Multisig) -> list[str]:
    if header.ocean is not None:
        return [
            multisig.public_keys[member].hex() for member in solvers_of(header.digest, header.solution, multisig)
        ]
    try:
        return signers_of(header, multisig)
    except ScriptError:  # a solution or witness that no signer makes
        return []


def _script(header: BlockHeader, known_script: bytes | None) -> tuple[bytes, Multisig | None]:
    named = header.current.signblockscript if header.dynafed else header.challenge
    for script in (known_script, *header.witness[-1:]):
        if script is not None and named == b"\x00\x20" + bytes(wally.sha256(script)):
            named = script
    try:
        return named, parse_multisig(named)
    except ScriptError:
        return named, None


def _is_complete(header: BlockHeader, multisig: Multisig) -> bool:
    if header.ocean is not None:
        return is_solved(header.digest, header.solution, multisig)
    try:
        candidates = signatures_in(header)
    except ScriptError:
        return False
    signatures = {
        member: signature
        for signature in candidates
        for member, key in enumerate(multisig.public_keys)
        if verify_der(key, header.digest, signature)
    }
    if len(signatures) < multisig.m:
        return False
    if header.dynafed:
        return header.witness == assemble_witness(multisig, signatures)
    return header.solution == assemble_solution(multisig, signatures)
