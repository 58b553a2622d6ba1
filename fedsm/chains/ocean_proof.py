"""The proofs that Ocean nodes accept for a block, which are more than signers make.

Ocean runs the solution as any script under BIP 16 alone: signatures may be high-S or loosely encoded, with bytes
behind them, pushed in any way, and other things may lie below them on the stack (recorded: 9 kB of junk, OP_NOP, a
first item that is not empty). Members never make such proofs. But whoever holds M signatures can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.reader import DecodeError, Reader

if TYPE_CHECKING:
    from fedsm.chains.script import Multisig

OP_PUSHDATA1, OP_PUSHDATA4 = 0x4C, 0x4E
OP_1NEGATE, OP_1, OP_16, OP_NOP = 0x4F, 0x51, 0x60, 0x61
LARGEST_SCRIPT = 10_000
LARGEST_ITEM = 520


def is_solved(digest: bytes, solution: bytes, multisig: Multisig) -> bool:
    """Whether the solution leaves M signatures in key order on top of one item more.

    A solution that does anything but push is called unsolved, although a node would run it.
    """
    stack = _items(solution)
    if len(stack) < multisig.m + 1:
        return False
    keys = iter(multisig.public_keys)
    return all(any(verify_lax(key, digest, item) for key in keys) for item in stack[-multisig.m :])


def solvers_of(digest: bytes, solution: bytes, multisig: Multisig) -> list[int]:
    """The members whose signatures are in the solution, in key order."""
    stack = _items(solution)
    return [
        member
        for member, key in enumerate(multisig.public_keys)
        if any(verify_lax(key, digest, item) for item in stack)
    ]


def verify_lax(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether a node without BIP 66 and 146 takes the signature: loose DER, any S, bytes behind it ignored."""
    try:
        compact = wally.ec_sig_normalize(_parse_lax(signature))
        wally.ec_sig_verify(public_key, digest, wally.EC_FLAG_ECDSA, compact)
    except ValueError:  # DecodeError is one
        return False
    return True


def _parse_lax(signature: bytes) -> bytes:
    """r and s, 32 bytes each, of a loosely encoded signature. Raises DecodeError."""
    reader = Reader(signature)
    _expect(reader, 0x30, "sequence")
    length = reader.take(1, "sequence length")[0]
    if length & 0x80:
        reader.take(length - 0x80, "sequence length")  # what it says is not looked at
    numbers = []
    for name in ("r", "s"):
        _expect(reader, 0x02, name)
        number = reader.take(_length(reader, name), name).lstrip(b"\x00")
        if len(number) > 32:
            reader.fail(name, "more than 32 bytes")
        numbers.append(number.rjust(32, b"\x00"))
    return b"".join(numbers)


def _length(reader: Reader, name: str) -> int:
    length = reader.take(1, f"{name} length")[0]
    if not length & 0x80:
        return length
    return int.from_bytes(reader.take(length - 0x80, f"{name} length"), "big")


def _expect(reader: Reader, tag: int, name: str) -> None:
    if reader.take(1, name)[0] != tag:
        reader.fail(name, "unexpected tag")


def _items(solution: bytes) -> list[bytes]:
    """What a solution of pushes and OP_NOPs leaves on the stack; nothing if it is none or fails."""
    if len(solution) > LARGEST_SCRIPT:
        return []
    reader, stack = Reader(solution), []
    try:
        while reader.left:
            opcode = reader.take(1, "opcode")[0]
            if opcode <= OP_PUSHDATA4:
                size = opcode
                if opcode >= OP_PUSHDATA1:
                    size = int.from_bytes(reader.take(1 << (opcode - OP_PUSHDATA1), "push length"), "little")
                if size > LARGEST_ITEM:
                    return []
                stack.append(reader.take(size, "push"))
            elif OP_1 <= opcode <= OP_16 or opcode == OP_1NEGATE:
                stack.append(bytes([opcode - OP_1 + 1]) if opcode != OP_1NEGATE else b"\x81")
            elif opcode != OP_NOP:
                return []
    except DecodeError:
        return []
    return stack
