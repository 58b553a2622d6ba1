"""Whether a scriptSig and a witness satisfy an output script.

Legacy scripts, P2SH (BIP 16) and segwit v0 (BIP 141, 143), with the opcodes that standard outputs and
block-signing scripts use. What is left out (arithmetic, taproot, Elements' own opcodes) fails as an opcode
that is not understood. Failures carry the text that nodes print for them.
"""

from __future__ import annotations

import wallycore as wally

from fedsm.devnet import encoding
from fedsm.devnet.encoding import Flags, ScriptFailure
from fedsm.devnet.machine import BAD_OPCODE, LARGEST_ITEM, Checker, run

PUSH_ONLY = "Only push operators allowed in signatures"
CLEAN_STACK = "Stack size must be exactly one after execution"


def verify_script(
    script_sig: bytes, script: bytes, witness: tuple[bytes, ...], flags: Flags, checker: Checker
) -> None:
    """Raise ScriptFailure unless ``script_sig`` and ``witness`` satisfy the output script ``script``."""
    if Flags.SIGPUSHONLY in flags and not encoding.is_push_only(script_sig):
        raise ScriptFailure(PUSH_ONLY)
    pushed = run(script_sig, [], flags, checker)
    stack = run(script, pushed, flags, checker)
    _require_true(stack)
    segwit = encoding.witness_program(script) is not None
    if segwit:
        if script_sig:
            raise ScriptFailure("Witness requires empty scriptSig")
        stack = _run_witness(script, witness, flags, checker)
    elif encoding.is_p2sh(script):
        segwit, stack = _run_p2sh(script_sig, pushed, witness, flags, checker)
    if Flags.CLEANSTACK in flags and len(stack) != 1:
        raise ScriptFailure(CLEAN_STACK)
    if witness and not segwit:
        raise ScriptFailure("Witness provided for non-witness script")


def _run_p2sh(
    script_sig: bytes, pushed: list[bytes], witness: tuple[bytes, ...], flags: Flags, checker: Checker
) -> tuple[bool, list[bytes]]:
    """Run the redeem script that ``script_sig`` pushed last; tell whether it was a witness program."""
    if not encoding.is_push_only(script_sig):
        raise ScriptFailure(PUSH_ONLY)
    redeem = pushed[-1]
    stack = run(redeem, pushed[:-1], flags, checker)
    _require_true(stack)
    if not encoding.witness_program(redeem):
        return False, stack
    if script_sig != encoding.push(redeem):
        raise ScriptFailure("Witness requires only-redeemscript scriptSig")
    return True, _run_witness(redeem, witness, flags, checker)


def _run_witness(script: bytes, witness: tuple[bytes, ...], flags: Flags, checker: Checker) -> list[bytes]:
    """Satisfy a witness program; those of version 1 and up are not understood here."""
    version, program = encoding.witness_program(script) or (0, b"")
    if version:
        raise ScriptFailure(BAD_OPCODE)
    code, items = _witness_script(program, witness)
    if any(len(item) > LARGEST_ITEM for item in items):
        raise ScriptFailure("Push value size limit exceeded")
    stack = run(code, items, flags, checker, segwit=True)
    if len(stack) != 1:
        raise ScriptFailure(CLEAN_STACK)
    _require_true(stack)
    return stack


def _witness_script(program: bytes, witness: tuple[bytes, ...]) -> tuple[bytes, list[bytes]]:
    """The script that a version 0 program stands for, and the items it runs on."""
    if len(program) == 32:
        if not witness:
            raise ScriptFailure("Witness program was passed an empty witness")
        if bytes(wally.sha256(witness[-1])) != program:
            raise ScriptFailure("Witness program hash mismatch")
        return witness[-1], list(witness[:-1])
    if len(program) != 20:
        raise ScriptFailure("Witness program has incorrect length")
    if len(witness) != 2:
        raise ScriptFailure("Witness program hash mismatch")
    return b"\x76\xa9\x14" + program + b"\x88\xac", list(witness)


def _require_true(stack: list[bytes]) -> None:
    if not stack or not encoding.is_true(stack[-1]):
        raise ScriptFailure("Script evaluated without error but finished with a false/empty top stack element")
