"""How scripts, numbers, signatures and keys are written, and the rules that a chain or a relay policy adds."""

from __future__ import annotations

from enum import IntFlag, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SEQUENCE_DISABLED = 1 << 31
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0  # secp256k1 group order / 2
SIGHASH_ANYONECANPAY, SIGHASH_RANGEPROOF = 0x80, 0x40


class ScriptFailure(Exception):  # noqa: N818 - a verdict on a script, not an error of the program
    """A script that is not satisfied; the message is the node's text for the reason."""


class Flags(IntFlag):
    """Script rules; blocks, relay and block signatures apply different sets."""

    STRICTENC = auto()
    DERSIG = auto()
    LOW_S = auto()
    NULLDUMMY = auto()
    SIGPUSHONLY = auto()
    MINIMALDATA = auto()
    CLEANSTACK = auto()
    MINIMALIF = auto()
    NULLFAIL = auto()
    WITNESS_PUBKEYTYPE = auto()
    RANGEPROOF = auto()
    NO_SIGHASH_BYTE = auto()


CONSENSUS = Flags.DERSIG | Flags.NULLDUMMY  # dynafed blocks add RANGEPROOF
STANDARD = (
    CONSENSUS
    | Flags.STRICTENC
    | Flags.MINIMALDATA
    | Flags.CLEANSTACK
    | Flags.MINIMALIF
    | Flags.NULLFAIL
    | Flags.LOW_S
    | Flags.WITNESS_PUBKEYTYPE
)
BLOCK_PROOF = (
    Flags.STRICTENC | Flags.NULLDUMMY | Flags.CLEANSTACK | Flags.MINIMALDATA | Flags.SIGPUSHONLY | Flags.LOW_S
)


def opcodes(script: bytes) -> Iterator[tuple[int, bytes]]:
    """The opcodes of a script, each with the data it pushes. Raises ValueError when a push is cut short."""
    position = 0
    while position < len(script):
        opcode = script[position]
        position += 1
        size = opcode if opcode < 0x4C else 0
        if 0x4C <= opcode <= 0x4E:
            width = 1 << (opcode - 0x4C)
            if position + width > len(script):
                raise ValueError("push length cut short")
            size = int.from_bytes(script[position : position + width], "little")
            position += width
        if position + size > len(script):
            raise ValueError("push cut short")
        yield opcode, script[position : position + size]
        position += size


def is_push_only(script: bytes) -> bool:
    """Whether a script does nothing but push data and small numbers."""
    try:
        return all(opcode <= 0x60 for opcode, _ in opcodes(script))
    except ValueError:
        return False


def is_p2sh(script: bytes) -> bool:
    """``OP_HASH160 <20 bytes> OP_EQUAL`` (BIP 16)."""
    return len(script) == 23 and script[:2] == b"\xa9\x14" and script[22] == 0x87


def witness_program(script: bytes) -> tuple[int, bytes] | None:
    """Version and program of a native segwit output script (BIP 141); ``None`` for others."""
    if not 4 <= len(script) <= 42 or (script[0] and not 0x51 <= script[0] <= 0x60):
        return None
    if script[1] + 2 != len(script):
        return None
    return (script[0] - 0x50 if script[0] else 0), script[2:]


def push(data: bytes) -> bytes:
    """The push that scripts are built with: direct, or PUSHDATA when that is too short."""
    if len(data) < 0x4C:
        return bytes([len(data)]) + data
    if len(data) < 0x100:
        return b"\x4c" + bytes([len(data)]) + data
    return b"\x4d" + len(data).to_bytes(2, "little") + data


def push_number(value: int) -> bytes:
    """A number in the shortest form: OP_0 to OP_16, or a push."""
    if value == 0:
        return b"\x00"
    return bytes([0x50 + value]) if 1 <= value <= 16 else push(number(value))


def is_minimal_push(opcode: int, data: bytes) -> bool:
    """Whether no shorter opcode pushes the same data (BIP 62 rule 3)."""
    if not data:
        return opcode == 0
    if len(data) == 1 and (1 <= data[0] <= 16 or data[0] == 0x81):
        return False
    return push(data)[0] == opcode


def number(value: int) -> bytes:
    """A script number: little-endian, sign in the top bit, zero is empty."""
    size = (abs(value).bit_length() + 8) // 8 if value else 0
    data = bytearray(abs(value).to_bytes(size, "little"))
    if value < 0:
        data[-1] |= 0x80
    return bytes(data)


def read_number(data: bytes, flags: Flags, most: int = 4) -> int:
    """The script number in ``data``. Raises ScriptFailure when it is too long or not in its shortest form."""
    if len(data) > most:
        raise ScriptFailure("unknown error")
    if not data:
        return 0
    value = int.from_bytes(data[:-1] + bytes([data[-1] & 0x7F]), "little")
    value = -value if data[-1] & 0x80 else value
    if Flags.MINIMALDATA in flags and number(value) != data:
        raise ScriptFailure("unknown error")
    return value


def is_true(item: bytes) -> bool:
    """Any byte set, the sign bit of zero aside."""
    return any(item[:-1]) or (bool(item) and item[-1] not in (0, 0x80))


def check_signature_encoding(signature: bytes, flags: Flags) -> None:
    """Apply strict DER, low-S and sighash rules to a signature with its sighash byte, or raise ScriptFailure."""
    if not signature:
        return
    whole = signature + b"\x01" if Flags.NO_SIGHASH_BYTE in flags else signature
    if flags & (Flags.DERSIG | Flags.LOW_S | Flags.STRICTENC) and not is_strict_der(whole[:-1]):
        raise ScriptFailure("Non-canonical DER signature")
    if Flags.LOW_S in flags and _s_value(whole[:-1]) > HALF_ORDER:
        raise ScriptFailure("Non-canonical signature: S value is unnecessarily high")
    if Flags.STRICTENC in flags:
        kind = whole[-1] & ~SIGHASH_ANYONECANPAY
        if Flags.RANGEPROOF in flags:
            kind &= ~SIGHASH_RANGEPROOF
        if not 1 <= kind <= 3:
            raise ScriptFailure("Signature hash type missing or not understood")


def check_key_encoding(key: bytes, flags: Flags, *, segwit: bool) -> None:
    """Apply the rules on how public keys are written, or raise ScriptFailure."""
    compressed = len(key) == 33 and key[0] in (2, 3)
    if Flags.STRICTENC in flags and not compressed and not (len(key) == 65 and key[0] == 4):
        raise ScriptFailure("Public key is neither compressed or uncompressed")
    if Flags.WITNESS_PUBKEYTYPE in flags and segwit and not compressed:
        raise ScriptFailure("Using non-compressed keys in segwit")


def is_strict_der(der: bytes) -> bool:
    """BIP 66: one sequence of two positive integers, every length exact, no padding."""
    if not 8 <= len(der) <= 72 or der[0] != 0x30 or der[1] != len(der) - 2:
        return False
    r_size = der[3]
    if 5 + r_size >= len(der) or der[5 + r_size] + r_size + 6 != len(der):
        return False
    return _is_strict_integer(der[2 : 4 + r_size]) and _is_strict_integer(der[4 + r_size :])


def _is_strict_integer(part: bytes) -> bool:
    if part[0] != 2 or part[1] == 0 or part[2] & 0x80:
        return False
    padded = part[1] > 1 and part[2] == 0 and not part[3] & 0x80
    return not padded


def _s_value(der: bytes) -> int:
    return int.from_bytes(der[6 + der[3] :], "big")
