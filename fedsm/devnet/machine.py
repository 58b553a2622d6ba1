"""The stack machine that runs one script: opcodes, limits and the failures nodes name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import wallycore as wally

from fedsm.devnet import encoding
from fedsm.devnet.encoding import Flags, ScriptFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGEST_SCRIPT = 10_000
LARGEST_ITEM = 520
LARGEST_STACK = 1000
MOST_OPERATIONS = 201
MOST_KEYS = 20
OP_PUSHDATA4, OP_1NEGATE, OP_1, OP_16 = 0x4E, 0x4F, 0x51, 0x60
OP_IF, OP_NOTIF, OP_ELSE, OP_ENDIF = 0x63, 0x64, 0x67, 0x68
BAD_STACK = "Operation not valid with the current stack size"
BAD_OPCODE = "Opcode missing or not understood"
BAD_BRANCH = "Invalid OP_IF construction"
NOT_EMPTY = "Signature must be zero for failed CHECK(MULTI)SIG operation"


class Checker(Protocol):
    """What signatures and locktimes are judged against: a transaction's input, or a block hash."""

    def check_signature(self, signature: bytes, key: bytes, script: bytes, *, segwit: bool) -> bool:
        """Whether a non-empty signature, sighash byte included, fits the key."""
        ...

    def check_locktime(self, locktime: int) -> bool:
        """OP_CHECKLOCKTIMEVERIFY (BIP 65)."""
        ...

    def check_sequence(self, sequence: int) -> bool:
        """OP_CHECKSEQUENCEVERIFY (BIP 112)."""
        ...


def run(script: bytes, stack: list[bytes], flags: Flags, checker: Checker, *, segwit: bool = False) -> list[bytes]:
    """Run ``script`` on ``stack`` and return the stack it leaves. Raises ScriptFailure."""
    if len(script) > LARGEST_SCRIPT:
        raise ScriptFailure("Script is too big")
    machine = Machine(script, list(stack), flags, checker, segwit=segwit)
    for opcode, data in _opcodes(script):
        machine.step(opcode, data)
    if machine.branches:
        raise ScriptFailure(BAD_BRANCH)
    return machine.stack


class Machine:
    """State of one run; each opcode of OPERATIONS is a method."""

    def __init__(self, script: bytes, stack: list[bytes], flags: Flags, checker: Checker, *, segwit: bool) -> None:
        self.script = script
        self.stack = stack
        self.flags = flags
        self.checker = checker
        self.segwit = segwit
        self.branches: list[bool] = []
        self.operations = 0

    def step(self, opcode: int, data: bytes) -> None:
        """Run one opcode with the data it pushes."""
        if len(data) > LARGEST_ITEM:
            raise ScriptFailure("Push value size limit exceeded")
        if opcode > OP_16:
            self._count(1)
        if OP_IF <= opcode <= OP_ENDIF:
            self._branch(opcode)
        elif all(self.branches):
            self._execute(opcode, data)
        if len(self.stack) > LARGEST_STACK:
            raise ScriptFailure("Stack size limit exceeded")

    def _execute(self, opcode: int, data: bytes) -> None:
        if opcode <= OP_PUSHDATA4:
            if Flags.MINIMALDATA in self.flags and not encoding.is_minimal_push(opcode, data):
                raise ScriptFailure("Data push larger than necessary")
            self.stack.append(data)
        elif opcode == OP_1NEGATE or OP_1 <= opcode <= OP_16:
            self.stack.append(encoding.number(opcode - OP_1 + 1))  # OP_1NEGATE lies two below OP_1
        elif opcode in OPERATIONS:
            OPERATIONS[opcode](self)
        else:
            raise ScriptFailure(BAD_OPCODE)

    def _count(self, operations: int) -> None:
        self.operations += operations
        if self.operations > MOST_OPERATIONS:
            raise ScriptFailure("Operation limit exceeded")

    def _branch(self, opcode: int) -> None:
        if opcode in (OP_IF, OP_NOTIF):
            self.branches.append(all(self.branches) and self._condition() == (opcode == OP_IF))
        elif opcode not in (OP_ELSE, OP_ENDIF):
            raise ScriptFailure(BAD_OPCODE)
        elif not self.branches:
            raise ScriptFailure(BAD_BRANCH)
        elif opcode == OP_ELSE:
            self.branches[-1] = not self.branches[-1]
        else:
            self.branches.pop()

    def _condition(self) -> bool:
        condition = self.pop(BAD_BRANCH)
        if self.segwit and Flags.MINIMALIF in self.flags and condition not in (b"", b"\x01"):
            raise ScriptFailure("OP_IF/NOTIF argument must be minimal")
        return encoding.is_true(condition)

    def pop(self, failure: str = BAD_STACK) -> bytes:
        """Take the top item off."""
        if not self.stack:
            raise ScriptFailure(failure)
        return self.stack.pop()

    def top(self, depth: int = 1) -> bytes:
        """Look at an item, 1 being the top."""
        if len(self.stack) < depth:
            raise ScriptFailure(BAD_STACK)
        return self.stack[-depth]

    def push(self, value: bool) -> None:
        """Push a truth value."""
        self.stack.append(b"\x01" if value else b"")

    def nothing(self) -> None:
        """OP_NOP."""

    def drop(self) -> None:
        """OP_DROP."""
        self.pop()

    def fail(self) -> None:
        """OP_RETURN."""
        raise ScriptFailure("OP_RETURN was encountered")

    def verify(self, failure: str = "Script failed an OP_VERIFY operation") -> None:
        """OP_VERIFY and the end of the other VERIFY opcodes."""
        if not encoding.is_true(self.top()):
            raise ScriptFailure(failure)
        self.stack.pop()

    def hash(self, function: Callable[[bytes], bytearray]) -> None:
        """OP_SHA256 and its like."""
        self.stack.append(bytes(function(self.pop())))

    def equal(self) -> None:
        """OP_EQUAL."""
        self.top(2)
        self.push(self.pop() == self.pop())

    def equal_verify(self) -> None:
        """OP_EQUALVERIFY."""
        self.equal()
        self.verify("Script failed an OP_EQUALVERIFY operation")

    def check_signature(self) -> None:
        """OP_CHECKSIG."""
        self.top(2)
        key, signature = self.pop(), self.pop()
        fits = self._fits(signature, key)
        if not fits and signature and Flags.NULLFAIL in self.flags:
            raise ScriptFailure(NOT_EMPTY)
        self.push(fits)

    def check_signature_verify(self) -> None:
        """OP_CHECKSIGVERIFY."""
        self.check_signature()
        self.verify("Script failed an OP_CHECKSIGVERIFY operation")

    def check_multisig(self) -> None:
        """OP_CHECKMULTISIG, which takes one item more than it needs."""
        number = self._pop_count(MOST_KEYS, "Pubkey count negative or limit exceeded")
        self._count(number)
        keys = [self.pop() for _ in range(number)]
        needed = self._pop_count(number, "Signature count negative or greater than pubkey count")
        signatures = [self.pop() for _ in range(needed)]
        dummy = self.pop()
        fits = self._match(signatures, keys)
        if not fits and Flags.NULLFAIL in self.flags and any(signatures):
            raise ScriptFailure(NOT_EMPTY)
        if dummy and Flags.NULLDUMMY in self.flags:
            raise ScriptFailure("Dummy CHECKMULTISIG argument must be zero")
        self.push(fits)

    def check_multisig_verify(self) -> None:
        """OP_CHECKMULTISIGVERIFY."""
        self.check_multisig()
        self.verify("Script failed an OP_CHECKMULTISIGVERIFY operation")

    def check_locktime(self) -> None:
        """OP_CHECKLOCKTIMEVERIFY."""
        _require_time(encoding.read_number(self.top(), self.flags, 5), self.checker.check_locktime)

    def check_sequence(self) -> None:
        """OP_CHECKSEQUENCEVERIFY."""
        sequence = encoding.read_number(self.top(), self.flags, 5)
        if sequence < 0 or not sequence & encoding.SEQUENCE_DISABLED:
            _require_time(sequence, self.checker.check_sequence)

    def _pop_count(self, most: int, failure: str) -> int:
        number = encoding.read_number(self.pop(), self.flags)
        if not 0 <= number <= most:
            raise ScriptFailure(failure)
        return number

    def _match(self, signatures: list[bytes], keys: list[bytes]) -> bool:
        """Whether every signature fits a key, both in the same order (here from the last to the first)."""
        left = list(signatures)
        for position, key in enumerate(keys):
            if not left or len(left) > len(keys) - position:
                break
            if self._fits(left[0], key):
                left.pop(0)
        return not left

    def _fits(self, signature: bytes, key: bytes) -> bool:
        encoding.check_signature_encoding(signature, self.flags)
        encoding.check_key_encoding(key, self.flags, segwit=self.segwit)
        return bool(signature) and self.checker.check_signature(signature, key, self.script, segwit=self.segwit)


def _require_time(value: int, check: Callable[[int], bool]) -> None:
    if value < 0:
        raise ScriptFailure("Negative locktime")
    if not check(value):
        raise ScriptFailure("Locktime requirement not satisfied")


def _opcodes(script: bytes) -> Iterator[tuple[int, bytes]]:
    try:
        yield from encoding.opcodes(script)
    except ValueError:
        raise ScriptFailure(BAD_OPCODE) from None


OPERATIONS: dict[int, Callable[[Machine], None]] = {
    0x61: Machine.nothing,
    0x69: Machine.verify,
    0x6A: Machine.fail,
    0x74: lambda machine: machine.stack.append(encoding.number(len(machine.stack))),
    0x75: Machine.drop,
    0x76: lambda machine: machine.stack.append(machine.top()),
    0x82: lambda machine: machine.stack.append(encoding.number(len(machine.top()))),
    0x87: Machine.equal,
    0x88: Machine.equal_verify,
    0xA8: lambda machine: machine.hash(wally.sha256),
    0xA9: lambda machine: machine.hash(wally.hash160),
    0xAA: lambda machine: machine.hash(wally.sha256d),
    0xAC: Machine.check_signature,
    0xAD: Machine.check_signature_verify,
    0xAE: Machine.check_multisig,
    0xAF: Machine.check_multisig_verify,
    0xB1: Machine.check_locktime,
    0xB2: Machine.check_sequence,
}
