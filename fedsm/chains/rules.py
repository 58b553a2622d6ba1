"""What a member checks of a proposed block before its node is asked: above all what no node checks. Pure.

testproposedblock leaves the proposed dynafed parameters, the fit of the proof under the chain's limit, trailing
bytes and the member's own clock out of account; parent, height and signers it does check, but cheaply seen
here first they are refused with a reason of ours, whatever the node says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedsm.chains.base import ClockWindow, FederationScript, ProposedParameters, Tip
    from fedsm.chains.header import BlockHeader

LARGEST_BLOCK = 4_000_000  # bytes: MAX_BLOCK_SERIALIZED_SIZE of Elements and Ocean


def size_objection(block: bytes) -> str | None:
    """Why a proposal is too long to be read at all; ``None`` if it is not."""
    if len(block) > LARGEST_BLOCK:
        return f"too-large: {len(block)} bytes, at most {LARGEST_BLOCK} are allowed"
    return None


def position_objection(header: BlockHeader, tip: Tip, *, height_in_header: bool) -> str | None:
    """Why the header is not the next one after ``tip``; ``None`` if it is.

    Without ``height_in_header`` (con_blockheightinheader=0) legacy headers have no height field and dynafed
    ones 0 in it; then the parent alone gives the height, and the node checks the coinbase's.
    """
    if header.previous != tip.block_hash:
        return f"wrong-parent: built on {header.previous}, our tip is {tip.block_hash}"
    expected = tip.height + 1 if height_in_header else (0 if header.dynafed else None)
    if header.height != expected:
        return f"wrong-height: header says {header.height}, {expected} comes after our tip"
    return None


def federation_objection(header: BlockHeader, federation: FederationScript) -> str | None:
    """Why the header does not name the signers that the chain has now; ``None`` if it does."""
    if header.dynafed != federation.dynafed:
        return f"wrong-form: dynafed header {header.dynafed}, chain {federation.dynafed}"
    named = header.current.signblockscript if header.dynafed else header.challenge
    if named != federation.signblockscript:
        return f"wrong-script: block names {named.hex()}"
    if header.dynafed:
        if header.current.max_block_witness != federation.max_block_witness:
            return f"wrong-limit: block says {header.current.max_block_witness} bytes"
        if header.current.root()[::-1].hex() != federation.params_root:
            return "wrong-parameters: the root of the current parameters is not the chain's"
    if federation.max_signed_size > federation.max_block_witness:
        needed, limit = federation.max_signed_size, federation.max_block_witness
        return f"proof-too-large: signatures can take {needed} bytes, the chain allows {limit}"
    return None


def content_objection(header: BlockHeader, approved: ProposedParameters | None) -> str | None:
    """Why the header carries what a proposal must not: signatures, or parameters nobody approved."""
    if header.solution or header.witness:
        return "already-signed: a proposal comes without solution or witness"
    if header.proposed.kind == "null":
        return None
    if approved is None or header.proposed.serialize() != approved.entry().serialize():
        return f"unapproved-parameters: proposes signblockscript {header.proposed.signblockscript.hex()}"
    return None


def time_objection(header: BlockHeader, now_ms: int, window: ClockWindow) -> str | None:
    """Why the header's time is too far from the member's clock; ``None`` if it is within the window."""
    ahead_ms = header.time * 1000 - now_ms
    if -ahead_ms > window.max_past_ms:
        return f"too-old: {-ahead_ms} ms behind our clock"
    if ahead_ms > window.max_future_ms:
        return f"too-new: {ahead_ms} ms ahead of our clock"
    return None
