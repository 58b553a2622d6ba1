"""The block-signing script of a federation, and the proofs that satisfy it.

The script is a bare M-of-N multisig, ``OP_M <33-byte key>... OP_N OP_CHECKMULTISIG``. Before dynafed it
stands in the header as the challenge and a block is signed by a scriptSig ``OP_0 <DER>...``; in dynafed blocks
the header holds its P2WSH program and the proof is a witness stack ``"", DER||01, ..., script``. Both take
exactly M signatures in the order of the keys, strict DER and low-S.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import wallycore as wally

from fedsm.chains.reader import DecodeError, Reader, write_compact_size
from signers.ecdsa import verify_der

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_KEYS = 15  # the most compressed keys that a 520-byte P2SH redeem script holds (BIP 16)
KEY_SIZE = 33
LONGEST_DER = 72  # an ECDSA signature in strict DER (BIP 66), without a sighash byte
LONGEST_LOW_S_DER = 71  # S below half the group order never takes a 33rd byte
OP_1 = 0x51
OP_16 = 0x60
OP_CHECKMULTISIG = 0xAE
SIGHASH_ALL = b"\x01"


class ScriptError(ValueError):
    """A script that cannot sign blocks, or a proof that does not fit it; the message names the cause."""


@dataclass(frozen=True)
class Multisig:
    """An M-of-N block-signing script. A member's number is the position of its key, counted from 0.

    ``public_keys`` are 33-byte compressed points, all different. Anything else is a ScriptError at once.
    """

    m: int
    public_keys: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.m <= self.n <= MOST_KEYS:
            raise ScriptError(f"{self.m} of {self.n} keys: M must be 1 to N and N at most {MOST_KEYS}")
        for member, key in enumerate(self.public_keys):
            _check_key(member, key)
            if key in self.public_keys[:member]:
                first = self.public_keys.index(key)
                raise ScriptError(f"key {member} repeats key {first}: one member would count twice")

    @property
    def n(self) -> int:
        """The number of members."""
        return len(self.public_keys)

    @property
    def script(self) -> bytes:
        """The script itself: challenge of a legacy header, witness script of a dynafed block."""
        keys = b"".join(bytes([KEY_SIZE]) + key for key in self.public_keys)
        return bytes([OP_1 - 1 + self.m]) + keys + bytes([OP_1 - 1 + self.n, OP_CHECKMULTISIG])

    @property
    def p2wsh_program(self) -> bytes:
        """``OP_0 <SHA-256 of the script>``: the signblockscript of dynafed parameters (BIP 141)."""
        return b"\x00\x20" + bytes(wally.sha256(self.script))

    def member_of(self, public_key: bytes) -> int:
        """The member number of a compressed public key; ScriptError when it is not in the script."""
        if public_key not in self.public_keys:
            raise ScriptError(f"public key {public_key.hex()} is not in the block-signing script")
        return self.public_keys.index(public_key)

    def worst_case_size(self, *, dynafed: bool, longest_der: int = LONGEST_DER) -> int:
        """The most bytes a complete proof can take, counted as the node counts for max_block_witness.

        With the default it is the limit to configure or propose. With LONGEST_LOW_S_DER it is what members
        that sign low-S can really reach.
        """
        if not dynafed:
            return 1 + self.m * (1 + longest_der)  # OP_0 and M pushes
        script = len(write_compact_size(len(self.script))) + len(self.script)
        return 1 + 1 + self.m * (1 + longest_der + len(SIGHASH_ALL)) + script  # count, empty item, signatures


def parse_multisig(script: bytes) -> Multisig:
    """Read a bare multisig script. Raises ScriptError naming what is wrong with it."""
    if not script or script[-1] != OP_CHECKMULTISIG:
        raise ScriptError("not a multisig script: it does not end in OP_CHECKMULTISIG")
    if len(script) < 3 or not (OP_1 <= script[0] <= OP_16 and OP_1 <= script[-2] <= OP_16):
        raise ScriptError("not a multisig script: M and N are not small numbers")
    keys = _parse_keys(script[1:-2])
    claimed = script[-2] - OP_1 + 1
    if claimed != len(keys):
        raise ScriptError(f"the script holds {len(keys)} keys but says {claimed}")
    multisig = Multisig(script[0] - OP_1 + 1, keys)
    if multisig.script != script:
        raise ScriptError("not a multisig script: a key is not pushed in the shortest way")
    return multisig


def assemble_solution(multisig: Multisig, signatures: Mapping[int, bytes]) -> bytes:
    """The scriptSig of a legacy block from DER signatures by member; of more than M the first M are taken.

    The signatures are taken as verified. Raises ScriptError for fewer than M or a member that is not there.
    """
    return b"\x00" + b"".join(bytes([len(der)]) + der for der in _choose(multisig, signatures))


def assemble_witness(multisig: Multisig, signatures: Mapping[int, bytes]) -> tuple[bytes, ...]:
    """The witness stack of a dynafed block; takes and raises what assemble_solution does."""
    return (b"", *(der + SIGHASH_ALL for der in _choose(multisig, signatures)), multisig.script)


class SignedHeader(Protocol):
    """What signers_of needs of a header of any chain."""

    @property
    def digest(self) -> bytes: ...
    @property
    def dynafed(self) -> bool: ...
    @property
    def solution(self) -> bytes: ...
    @property
    def witness(self) -> tuple[bytes, ...]: ...


def signatures_in(header: SignedHeader) -> tuple[bytes, ...]:
    """The DER signatures that a header carries, without sighash bytes and not verified.

    Raises ScriptError when the solution is not made of pushes, or a witness item lacks SIGHASH_ALL.
    """
    if not header.dynafed:
        return tuple(item for item in _pushes(header.solution) if item)
    items = [item for item in header.witness[:-1] if item]
    if any(item[-1:] != SIGHASH_ALL for item in items):
        raise ScriptError("a signature in the block witness does not end in SIGHASH_ALL")
    return tuple(item[:-1] for item in items)


def signers_of(header: SignedHeader, multisig: Multisig) -> list[str]:
    """The public keys (hex, in key order) that have a valid signature in the header; ``[]`` if unsigned."""
    signatures = signatures_in(header)
    return [
        key.hex()
        for key in multisig.public_keys
        if any(verify_der(key, header.digest, signature) for signature in signatures)
    ]


def _check_key(member: int, key: bytes) -> None:
    if len(key) != KEY_SIZE:
        raise ScriptError(f"key {member} has {len(key)} bytes: only compressed keys (33 bytes) are supported")
    try:
        wally.ec_public_key_verify(key)
    except ValueError:
        raise ScriptError(f"key {member} ({key.hex()}) is not a point on the curve") from None


def _parse_keys(pushes: bytes) -> tuple[bytes, ...]:
    try:
        return tuple(_pushes(pushes))
    except ScriptError:
        raise ScriptError("not a multisig script: between M and N there is more than keys") from None


def _pushes(script: bytes) -> Iterator[bytes]:
    """The data of each push of a push-only script (direct pushes, OP_0 and OP_PUSHDATA1)."""
    reader = Reader(script)
    try:
        while reader.left:
            opcode = reader.take(1, "opcode")[0]
            if opcode == 0x4C:  # OP_PUSHDATA1
                opcode = reader.take(1, "push length")[0]
            elif opcode > 0x4B:
                raise ScriptError(f"opcode 0x{opcode:02x} where only pushes may stand")
            yield reader.take(opcode, "push")
    except DecodeError as error:
        raise ScriptError(f"push cut short: {error}") from None


def _choose(multisig: Multisig, signatures: Mapping[int, bytes]) -> list[bytes]:
    for member, der in signatures.items():
        if not 0 <= member < multisig.n:
            raise ScriptError(f"there is no member {member}: the script has {multisig.n} keys")
        if not 0 < len(der) <= LONGEST_DER:
            raise ScriptError(f"the signature of member {member} has {len(der)} bytes")
    if len(signatures) < multisig.m:
        raise ScriptError(f"{len(signatures)} signatures, {multisig.m} needed")
    return [signatures[member] for member in sorted(signatures)[: multisig.m]]
