"""Signature hashes, and scriptSigs or witnesses, of transactions that spend from the federation's script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.script import LONGEST_DER, SIGHASH_ALL, assemble_solution, assemble_witness
from fedsm.chains.transaction import ELEMENTS, parse_transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedsm.reissue.custody import Custody

_FULL = wally.WALLY_TX_FLAG_USE_WITNESS | ELEMENTS
OP_PUSHDATA1, OP_PUSHDATA2 = 0x4C, 0x4D


def signature_digests(data: bytes, values: Sequence[bytes], custody: Custody) -> tuple[bytes, ...]:
    """The 32 bytes that each member signs for each input, with SIGHASH_ALL.

    ``values`` are the serialised values of the outputs that the inputs spend, explicit or committed. The hash
    covers all inputs, outputs and issuances, but not the proofs.
    """
    handle = wally.tx_from_bytes(data, ELEMENTS)
    segwit = custody.kind == "p2wsh"
    flags = wally.WALLY_TX_FLAG_USE_WITNESS if segwit else 0
    return tuple(
        bytes(
            wally.tx_get_elements_signature_hash(
                handle, index, custody.multisig.script, value if segwit else None, wally.WALLY_SIGHASH_ALL, flags
            )
        )
        for index, value in enumerate(values)
    )


def with_signatures(data: bytes, signatures: Sequence[Mapping[int, bytes]], custody: Custody) -> bytes:
    """The complete transaction: for each input, DER signatures by member; of more than M the first M are taken.

    They are taken as verified. Raises ScriptError when an input has fewer than M.
    """
    handle = wally.tx_from_bytes(data, ELEMENTS)
    for index, given in enumerate(signatures):
        if custody.kind == "p2wsh":
            items = assemble_witness(custody.multisig, given)
            stack = wally.tx_witness_stack_init(len(items))
            for item in items:
                wally.tx_witness_stack_add(stack, item)
            wally.tx_set_input_witness(handle, index, stack)
        else:
            wally.tx_set_input_script(handle, index, script_sig(custody, given))
    return bytes(wally.tx_to_bytes(handle, _FULL))


def script_sig(custody: Custody, signatures: Mapping[int, bytes]) -> bytes:
    """``OP_0 <DER 01>... <script>``, every push as short as it can be (BIP 62): any M and N."""
    with_type = {member: der + SIGHASH_ALL for member, der in signatures.items()}
    return assemble_solution(custody.multisig, with_type) + _push(custody.multisig.script)


def worst_case_vsize(data: bytes, custody: Custody) -> int:
    """The most virtual bytes that the transaction can take once it is signed."""
    count = len(parse_transaction(data).inputs)
    longest = dict.fromkeys(range(custody.multisig.m), bytes(LONGEST_DER - 1))
    return parse_transaction(with_signatures(data, [longest] * count, custody)).vsize


def _push(data: bytes) -> bytes:
    if len(data) < OP_PUSHDATA1:
        return bytes([len(data)]) + data
    if len(data) < 0x100:
        return bytes([OP_PUSHDATA1, len(data)]) + data
    return bytes([OP_PUSHDATA2]) + len(data).to_bytes(2, "little") + data
