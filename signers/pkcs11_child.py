"""The daemon's end of the process that holds the token.

A process of its own, because PyKCS11 keeps the interpreter to itself while a token works: within the daemon a
signature of three seconds would be three seconds without votes. What is more, a module that hangs can be ended, one
that crashes takes nobody along, and a fresh process is the one sure way to start a module anew.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from signers.base import SignerError
from signers.pkcs11_wire import (
    MAX_PACKET,
    SOCKET_VARIABLE,
    Failed,
    Open,
    Opened,
    Reply,
    Request,
    Sign,
    Signed,
    decode_reply,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signers.pkcs11_place import KeyPlace

OPEN_LIMIT_S = 60.0
SIGN_LIMIT_S = 30.0
_END_LIMIT_S = 2.0
# What a module has no business with.
_KEPT_BACK = ("FEDSM_", "USER_PIN")


class TokenProcess:
    """A started process. For one caller at a time, except ``close``."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            environment = _without_secrets(os.environ) | {SOCKET_VARIABLE: str(theirs.fileno())}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "signers.pkcs11_host"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
                start_new_session=True,  # Ctrl-C on the daemon's terminal is the daemon's
            )
        self._socket = ours
        self._closed = False

    def open(self, place: KeyPlace, pin: str | None, *, allow_extractable: bool) -> Opened:
        """Load, log in and find the key. Raises SignerError."""
        reply = self._ask(Open(place, pin, allow_extractable), OPEN_LIMIT_S, "the login")
        if isinstance(reply, Opened):
            return reply
        raise _unexpected(reply)

    def sign(self, data: bytes) -> bytes:
        """64 bytes as the token gives them. Raises SignerError."""
        reply = self._ask(Sign(data), SIGN_LIMIT_S, "a signature")
        if isinstance(reply, Signed):
            return reply.signature
        raise _unexpected(reply)

    def close(self) -> None:
        """End the process, from any thread; a call under way ends with a SignerError."""
        if self._closed:
            return
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._socket.close()

    def _ask(self, request: Request, limit_s: float, what: str) -> Reply:
        try:
            self._socket.settimeout(limit_s)
            self._socket.send(encode(request))
            packet = self._socket.recv(MAX_PACKET)
        except TimeoutError:
            raise SignerError("unavailable", f"the token gave no answer to {what} for {limit_s:g} s") from None
        except OSError:
            packet = b""
        if not packet:
            raise SignerError("unavailable", self._how_it_ended())
        try:
            reply: Reply = decode_reply(packet)
        except msgspec.MsgspecError as error:
            raise SignerError("unavailable", f"the process of the PKCS#11 module talks nonsense: {error}") from None
        return reply

    def _how_it_ended(self) -> str:
        if self._closed:
            return "the signer is closed"
        try:
            status = self._process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            return "the process of the PKCS#11 module closed its connection"
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return f"the process of the PKCS#11 module ended ({how}): the module crashed"


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(_KEPT_BACK)}


def _unexpected(reply: Reply) -> SignerError:
    if isinstance(reply, Failed):
        return reply.error()
    return SignerError("unavailable", f"the process of the PKCS#11 module answered with {type(reply).__name__}")
