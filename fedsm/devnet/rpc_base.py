"""What RPC methods are made of: declared parameters, the node's checks of arguments, errors, amounts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from fedsm.devnet.gossip import Network
    from fedsm.devnet.node import Node

# Error codes of src/rpc/protocol.h
MISC_ERROR = -1
TYPE_ERROR = -3
INVALID_ADDRESS_OR_KEY = -5
INVALID_PARAMETER = -8
NO_WALLET = -18
DESERIALIZATION_ERROR = -22
NODE_ALREADY_ADDED = -23
NODE_NOT_ADDED = -24
VERIFY_ERROR = -25
VERIFY_REJECTED = -26
ALREADY_IN_CHAIN = -27
NODE_NOT_CONNECTED = -29
METHOD_NOT_FOUND = -32601
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602
PARSE_ERROR = -32700

COIN = 100_000_000
LARGEST_NUMBER = 10**18  # satoshi; more than this the node does not read as an amount at all
Runner = Callable[..., object]


class RpcError(Exception):
    """An error answer: the node's code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class Context:
    """What a method works on. ``addresses`` gives each node's RPC address, which stands for its P2P address."""

    node: Node
    network: Network
    directory: Path
    addresses: Callable[[], dict[int, str]]
    stop: Callable[[], None]
    active: list[tuple[str, float]]  # methods under way, with the monotonic time of their start


@dataclass(frozen=True)
class Parameter:
    """``kind`` is a JSON type name, or empty when the node does not check the type beforehand."""

    name: str
    kind: str
    required: bool


@dataclass(frozen=True)
class Method:
    """One RPC: ``usage`` is the line that help shows, ``run`` takes the context and one value per parameter."""

    name: str
    usage: str
    help_text: str
    parameters: tuple[Parameter, ...]
    run: Runner

    @property
    def help(self) -> str:
        """Usage line and description."""
        return f"{self.usage}\n\n{self.help_text}\n"

    def call(self, context: Context, arguments: list[Any]) -> object:
        """Check the arguments as the node does, fill up missing ones with None and run. Raises RpcError."""
        required = sum(parameter.required for parameter in self.parameters)
        if not required <= len(arguments) <= len(self.parameters):
            raise RpcError(MISC_ERROR, self.help)
        values = [*arguments, *[None] * (len(self.parameters) - len(arguments))]
        wrong = {
            f"Position {position} ({parameter.name})": mismatch(value, parameter.kind)
            for position, (parameter, value) in enumerate(zip(self.parameters, values, strict=True), 1)
            if not _matches(parameter, value)
        }
        if wrong:
            listing = msgspec.json.format(msgspec.json.encode(wrong), indent=4).decode()
            raise RpcError(TYPE_ERROR, f"Wrong type passed:\n{listing}")
        return self.run(context, *values)

    def positional(self, named: dict[str, Any]) -> list[Any]:
        """Arguments given by name, in order; ``args`` may hold the first ones. Raises RpcError."""
        named = dict(named)
        first = named.pop("args", [])
        values: list[Any] = list(first) if isinstance(first, list) else []
        for position, parameter in enumerate(self.parameters):
            if parameter.name not in named:
                continue
            if position < len(values):
                detail = "specified twice both as positional and named argument"
                raise RpcError(INVALID_PARAMETER, f"Parameter {parameter.name} {detail}")
            values += [None] * (position - len(values))
            values.append(named.pop(parameter.name))
        if named:
            raise RpcError(INVALID_PARAMETER, f"Unknown named parameter {next(iter(named))}")
        return values


class Registry:
    """The methods of one module, filled by the decorator ``method``."""

    def __init__(self) -> None:
        self.methods: list[Method] = []

    def method(self, usage: str, *parameters: str) -> Callable[[Runner], Runner]:
        """Declare an RPC. Parameters read ``name:kind``, with ``?`` behind optional ones; the name of the RPC
        is the first word of ``usage`` and its description is the function's docstring.
        """

        def declare(run: Runner) -> Runner:
            name = usage.split(" ", 1)[0]
            text = inspect.getdoc(run) or ""
            self.methods.append(Method(name, usage, text, tuple(map(_parameter, parameters)), run))
            return run

        return declare


def mismatch(value: object, wanted: str) -> str:
    """The node's text for a JSON value of the wrong type."""
    return f"JSON value of type {type_name(value)} is not of expected type {wanted}"


def type_name(value: object) -> str:
    """The JSON type of a decoded value, as the node calls it."""
    if value is None:
        return "null"
    names: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "bool"),
        ((int, float, Decimal), "number"),
        (str, "string"),
        (list, "array"),
    ]
    return next((name for kind, name in names if isinstance(value, kind)), "object")


def expect(value: Any, wanted: str) -> Any:
    """``value`` if it has the JSON type ``wanted``; else the error that the node raises while it runs."""
    if type_name(value) != wanted:
        raise RpcError(TYPE_ERROR, mismatch(value, wanted))
    return value


def integer(value: object, *, bits: int = 32, signed: bool = True) -> int:
    """A JSON number that must be a whole one and fit."""
    expect(value, "number")
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if not isinstance(value, int) or not low <= value <= high:
        raise RpcError(MISC_ERROR, "JSON integer out of range")
    return value


def hash_argument(value: str, name: str) -> str:
    """A hash in hex, returned in lower case."""
    if len(value) != 64:
        raise RpcError(INVALID_PARAMETER, f"{name} must be of length 64 (not {len(value)}, for '{value}')")
    return hex_argument(value, name).hex()


def hex_argument(value: str, name: str) -> bytes:
    """Bytes in hex."""
    data = from_hex(value)
    if data is None:
        raise RpcError(INVALID_PARAMETER, f"{name} must be hexadecimal string (not '{value}')")
    return data


def from_hex(text: str) -> bytes | None:
    """The bytes, or ``None`` unless ``text`` is nothing but an even number of hex digits."""
    return bytes.fromhex(text) if len(text) % 2 == 0 and re.fullmatch("[0-9a-fA-F]*", text) else None


def satoshi(value: object) -> int:
    """An amount given as number or string of coins, in satoshi."""
    if type_name(value) not in ("number", "string"):
        raise RpcError(TYPE_ERROR, "Amount is not a number or string")
    try:
        amount = Decimal(str(value)) * COIN
    except InvalidOperation:
        raise RpcError(TYPE_ERROR, "Invalid amount") from None
    if not amount.is_finite() or amount != int(amount) or abs(amount) >= LARGEST_NUMBER:
        raise RpcError(TYPE_ERROR, "Invalid amount")
    if not 0 <= amount <= 21_000_000 * COIN:
        raise RpcError(TYPE_ERROR, "Amount out of range")
    return int(amount)


def coins(amount: int) -> msgspec.Raw:
    """An amount in satoshi as the node prints it: coins with eight decimals."""
    whole, rest = divmod(abs(amount), COIN)
    return msgspec.Raw(f"{'-' if amount < 0 else ''}{whole}.{rest:08d}".encode())


def _parameter(text: str) -> Parameter:
    name, _, kind = text.partition(":")
    return Parameter(name, kind.rstrip("?"), required=not kind.endswith("?"))


def _matches(parameter: Parameter, value: object) -> bool:
    if not parameter.kind or (value is None and not parameter.required):
        return True
    return type_name(value) == parameter.kind
