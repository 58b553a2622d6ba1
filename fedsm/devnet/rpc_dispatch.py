"""JSON-RPC over HTTP bodies: versions 1.0 and 2.0, batches, named arguments, and which error has which status."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from fedsm.devnet import rpc_blockchain, rpc_control, rpc_mempool, rpc_mining, rpc_network, rpc_sketch, rpc_util
from fedsm.devnet.rpc_base import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NO_WALLET,
    PARSE_ERROR,
    Method,
    Parameter,
    Registry,
    RpcError,
)
from fedsm.devnet.wallet_methods import WALLET_METHODS

if TYPE_CHECKING:
    from fedsm.devnet.rpc_base import Context

OK, NO_CONTENT, BAD_REQUEST, NOT_FOUND, SERVER_ERROR = 200, 204, 400, 404, 500
WALLET_PATH = "/wallet/"
_STATUS = {INVALID_REQUEST: BAD_REQUEST, METHOD_NOT_FOUND: NOT_FOUND}
_NOT_LOADED = (
    "No wallet is loaded. Load a wallet using loadwallet or create a new one with createwallet. "
    "(Note: A default wallet is no longer automatically created)"
)
HELP_USAGE = 'help ( "command" )'
_NO_SUCH_WALLET = "Requested wallet does not exist or is not loaded"


_WALLETS = Registry()


class Dispatcher:
    """Runs requests on one node. ``wallet_support`` False is a node with -disablewallet.

    ``no_object`` is what a node says to a request that is JSON but neither an object nor a list.
    """

    no_object = "Top-level object parse error"

    def __init__(self, context: Context, *, wallet_support: bool = True) -> None:
        self.context = context
        self.wallet_support = wallet_support
        self.methods = {method.name: method for registry in self._registries() for method in registry.methods}
        help_method = Method(
            "help", HELP_USAGE, "All commands, or one.", (Parameter("command", "string", False),), self._help
        )
        self.methods[help_method.name] = help_method

    def _registries(self) -> list[Registry]:
        modules = (rpc_blockchain, rpc_control, rpc_mempool, rpc_mining, rpc_network, rpc_sketch, rpc_util)
        return [module.REGISTRY for module in modules] + ([_WALLETS] if self.wallet_support else [])

    def _read(self, request: Any) -> Any:
        """One request as it came, before it is looked at."""
        return request

    def serves(self, path: str) -> bool:
        """Whether requests may be posted to ``path``."""
        return path == "/" or (self.wallet_support and path.startswith(WALLET_PATH))

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Run the request or batch in ``body``; return the HTTP status and the answer's body."""
        try:
            request = json.loads(body, parse_float=Decimal)
        except (ValueError, RecursionError):
            return _failure(RpcError(PARSE_ERROR, "Parse error"), {"id": None})
        if isinstance(request, list):
            return self._answer_batch(path, [self._read(single) for single in request])
        if not isinstance(request, dict):
            return _failure(RpcError(PARSE_ERROR, self.no_object), {"id": None})
        request = self._read(request)
        try:
            reply = self._run(path, request)
        except RpcError as error:
            if _version(request) == "2.0" and error.code != INVALID_REQUEST:
                return OK, _encode(_reply(request, error=error))
            return _failure(error, request)
        if _version(request) == "2.0" and "id" not in request:
            return NO_CONTENT, b""
        return OK, _encode(reply)

    def _answer_batch(self, path: str, requests: list[Any]) -> tuple[int, bytes]:
        replies = []
        for request in requests:
            fields = request if isinstance(request, dict) else {"id": None}
            try:
                reply = self._run(path, request)
            except RpcError as error:
                reply = _reply(fields, error=error)
            if "id" in fields or _version(fields) != "2.0":
                replies.append(reply)
        if requests and not replies:
            return NO_CONTENT, b""
        return OK, _encode(replies)

    def _run(self, path: str, request: Any) -> dict[str, object]:
        name, arguments = _parse(request)
        method = self.methods.get(name)
        if method is None:
            raise self._unknown(path, name)
        values = method.positional(arguments) if isinstance(arguments, dict) else arguments
        entry = (name, time.monotonic())
        self.context.active.append(entry)
        try:
            result = method.call(self.context, values)
        finally:
            self.context.active.remove(entry)
        return _reply(request, result=result)

    def _unknown(self, path: str, name: str) -> RpcError:
        if name in WALLET_METHODS and self.wallet_support:
            return RpcError(NO_WALLET, _NO_SUCH_WALLET if path.startswith(WALLET_PATH) else _NOT_LOADED)
        return RpcError(METHOD_NOT_FOUND, "Method not found")

    def _help(self, context: Context, command: str | None) -> str:  # noqa: ARG002
        if command is None:
            return "\n".join(sorted(method.usage for method in self.methods.values()))
        method = self.methods.get(command)
        return f"help: unknown command: {command}" if method is None else method.help


@_WALLETS.method("listwallets")
def listwallets(context: Context) -> list[str]:  # noqa: ARG001
    """The loaded wallets: none."""
    return []


def _parse(request: Any) -> tuple[str, list[Any] | dict[str, Any]]:
    """Method and arguments of one request. Raises RpcError."""
    if not isinstance(request, dict):
        raise RpcError(INVALID_REQUEST, "Invalid Request object")
    version = request.get("jsonrpc")
    if version is not None and not isinstance(version, str):
        raise RpcError(INVALID_REQUEST, "jsonrpc field must be a string")
    if version not in (None, "1.0", "2.0"):
        raise RpcError(INVALID_REQUEST, "JSON-RPC version not supported")
    name = request.get("method")
    if name is None:
        raise RpcError(INVALID_REQUEST, "Missing method")
    if not isinstance(name, str):
        raise RpcError(INVALID_REQUEST, "Method must be a string")
    arguments = request.get("params")
    if arguments is None:
        return name, []
    if not isinstance(arguments, list | dict):
        raise RpcError(INVALID_REQUEST, "Params must be an array or object")
    return name, arguments


def _version(request: dict[str, Any]) -> str:
    return "2.0" if request.get("jsonrpc") == "2.0" else "1.0"


def _reply(request: dict[str, Any], *, result: object = None, error: RpcError | None = None) -> dict[str, object]:
    """Version 1.0 answers have result and error, one of them null; 2.0 answers have one of them."""
    modern = _version(request) == "2.0"
    reply: dict[str, object] = {"jsonrpc": "2.0"} if modern else {}
    if error is None:
        reply |= {"result": result} if modern else {"result": result, "error": None}
    else:
        cause = {"code": error.code, "message": error.message}
        reply |= {"error": cause} if modern else {"result": None, "error": cause}
    if "id" in request:
        reply["id"] = request["id"]
    return reply


def _failure(error: RpcError, request: dict[str, Any]) -> tuple[int, bytes]:
    return _STATUS.get(error.code, SERVER_ERROR), _encode(_reply(request, error=error))


def _encode(reply: object) -> bytes:
    return msgspec.json.encode(reply) + b"\n"
