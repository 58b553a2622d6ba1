"""Kinds of output scripts, and the forms in which nodes print scripts: asm, address, descriptor."""

from __future__ import annotations

from typing import Literal

import wallycore as wally

from fedsm.devnet import encoding

ScriptType = Literal[
    "fee",
    "multisig",
    "nonstandard",
    "nulldata",
    "pubkey",
    "pubkeyhash",
    "scripthash",
    "true",
    "witness_unknown",
    "witness_v0_keyhash",
    "witness_v0_scripthash",
    "witness_v1_taproot",
]

# Address prefixes of Elements custom chains.
BECH32, BLECH32 = "ert", "el"
P2PKH_PREFIX, P2SH_PREFIX, BLINDED_PREFIX = b"\xeb", b"\x4b", b"\x04"

# Names of the opcodes from OP_NOP (0x61) on, in order.
_NAMES = """OP_NOP OP_VER OP_IF OP_NOTIF OP_VERIF OP_VERNOTIF OP_ELSE OP_ENDIF OP_VERIFY OP_RETURN OP_TOALTSTACK
OP_FROMALTSTACK OP_2DROP OP_2DUP OP_3DUP OP_2OVER OP_2ROT OP_2SWAP OP_IFDUP OP_DEPTH OP_DROP OP_DUP OP_NIP OP_OVER
OP_PICK OP_ROLL OP_ROT OP_SWAP OP_TUCK OP_CAT OP_SUBSTR OP_LEFT OP_RIGHT OP_SIZE OP_INVERT OP_AND OP_OR OP_XOR
OP_EQUAL OP_EQUALVERIFY OP_RESERVED1 OP_RESERVED2 OP_1ADD OP_1SUB OP_2MUL OP_2DIV OP_NEGATE OP_ABS OP_NOT
OP_0NOTEQUAL OP_ADD OP_SUB OP_MUL OP_DIV OP_MOD OP_LSHIFT OP_RSHIFT OP_BOOLAND OP_BOOLOR OP_NUMEQUAL
OP_NUMEQUALVERIFY OP_NUMNOTEQUAL OP_LESSTHAN OP_GREATERTHAN OP_LESSTHANOREQUAL OP_GREATERTHANOREQUAL OP_MIN OP_MAX
OP_WITHIN OP_RIPEMD160 OP_SHA1 OP_SHA256 OP_HASH160 OP_HASH256 OP_CODESEPARATOR OP_CHECKSIG OP_CHECKSIGVERIFY
OP_CHECKMULTISIG OP_CHECKMULTISIGVERIFY OP_NOP1 OP_CHECKLOCKTIMEVERIFY OP_CHECKSEQUENCEVERIFY OP_NOP4 OP_NOP5
OP_NOP6 OP_NOP7 OP_NOP8 OP_NOP9 OP_NOP10"""
_NAME_OF = dict(enumerate(_NAMES.split(), 0x61)) | {0x4F: "-1", 0x50: "OP_RESERVED", 0xFF: "OP_INVALIDOPCODE"}


def script_type(script: bytes) -> ScriptType:
    """The kind that nodes name for an output script."""
    if not script:
        return "fee"
    if script == b"\x51":
        return "true"
    program = encoding.witness_program(script)
    if program is not None:
        return _witness_type(*program)
    if encoding.is_p2sh(script):
        return "scripthash"
    if script[0] == 0x6A and encoding.is_push_only(script[1:]):
        return "nulldata"
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return "pubkeyhash"
    if script[-1] == 0xAC and len(script) in (35, 67) and script[0] == len(script) - 2 and script[1] in (2, 3, 4):
        return "pubkey"
    return "multisig" if multisig_parts(script) is not None else "nonstandard"


def multisig_parts(script: bytes) -> tuple[int, tuple[bytes, ...]] | None:
    """M and the keys of a bare multisig script, whatever its size; ``None`` for other scripts."""
    try:
        parts = list(encoding.opcodes(script))
    except ValueError:
        return None
    if len(parts) < 4 or parts[-1][0] != 0xAE:
        return None
    needed, number = parts[0][0] - 0x50, parts[-2][0] - 0x50
    keys = tuple(data for _, data in parts[1:-2])
    if not 1 <= needed <= number <= 16 or number != len(keys):
        return None
    return (needed, keys) if all(_is_key(key) for key in keys) else None


def small_multisig(script: bytes) -> bool:
    """Whether a bare multisig is small enough to be relayed as an output: at most three keys."""
    parts = multisig_parts(script)
    return parts is not None and len(parts[1]) <= 3


def assembly(script: bytes) -> str:
    """The script in words, as the node prints it: opcode names, small numbers and hex pushes."""
    words: list[str] = []
    try:
        for opcode, data in encoding.opcodes(script):
            words.append(_word(opcode, data))
    except ValueError:
        words.append("[error]")
    return " ".join(words)


def address_of(script: bytes) -> str | None:
    """The unconfidential address of an output script; ``None`` for kinds that have none."""
    kind = script_type(script)
    if kind == "pubkeyhash":
        return str(wally.base58check_from_bytes(P2PKH_PREFIX + script[3:23]))
    if kind == "scripthash":
        return str(wally.base58check_from_bytes(P2SH_PREFIX + script[2:22]))
    if kind.startswith("witness"):
        return str(wally.addr_segwit_from_bytes(script, BECH32, 0))
    return None


def script_of(address: str) -> tuple[bytes, bytes | None] | None:
    """Output script and blinding key (``None`` for an unconfidential address); ``None`` for no address."""
    plain, key = address, None
    if address.lower().startswith(BLECH32 + "1"):
        try:
            key = bytes(wally.confidential_addr_segwit_to_ec_public_key(address, BLECH32))
            plain = str(wally.confidential_addr_to_addr_segwit(address, BLECH32, BECH32))
        except ValueError:
            return None
    script = _segwit_script(plain) if plain.lower().startswith(BECH32 + "1") else None
    if script is not None:
        return script, key
    return _base58_script(address)


def _segwit_script(address: str) -> bytes | None:
    try:
        return bytes(wally.addr_segwit_to_bytes(address, BECH32, 0))
    except ValueError:
        return None


def _base58_script(address: str) -> tuple[bytes, bytes | None] | None:
    try:
        data = bytes(wally.base58check_to_bytes(address))
    except ValueError:
        return None
    key = None
    if data[:1] == BLINDED_PREFIX and len(data) == 55:
        key, data = data[2:35], data[1:2] + data[35:]
    if len(data) != 21:
        return None
    if data[:1] == P2PKH_PREFIX:
        return b"\x76\xa9\x14" + data[1:] + b"\x88\xac", key
    return (b"\xa9\x14" + data[1:] + b"\x87", key) if data[:1] == P2SH_PREFIX else None


def _witness_type(version: int, program: bytes) -> ScriptType:
    if version == 0:
        sizes: dict[int, ScriptType] = {20: "witness_v0_keyhash", 32: "witness_v0_scripthash"}
        return sizes.get(len(program), "nonstandard")
    return "witness_v1_taproot" if version == 1 and len(program) == 32 else "witness_unknown"


def _is_key(data: bytes) -> bool:
    return (len(data) == 33 and data[0] in (2, 3)) or (len(data) == 65 and data[0] == 4)


def _word(opcode: int, data: bytes) -> str:
    if opcode <= 0x4E:
        # Pushes of up to four bytes are printed as numbers.
        return data.hex() if len(data) > 4 else str(_lenient_number(data))
    if 0x51 <= opcode <= 0x60:
        return str(opcode - 0x50)
    return _NAME_OF.get(opcode, "OP_UNKNOWN")


def _lenient_number(data: bytes) -> int:
    return encoding.read_number(data, encoding.Flags(0))
