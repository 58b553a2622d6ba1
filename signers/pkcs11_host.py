"""The process that holds the token: ``python -m signers.pkcs11_host``, started by pkcs11_child.py.

Its one thread owns the module and the session. It ends when the daemon closes the connection or dies.
"""

from __future__ import annotations

import os
import signal
import socket

from signers.base import SignerError
from signers.pkcs11_key import find_key
from signers.pkcs11_login import log_in
from signers.pkcs11_module import Module
from signers.pkcs11_signing import KeySigner, choose_mechanism
from signers.pkcs11_wire import (
    MAX_PACKET,
    SOCKET_VARIABLE,
    Failed,
    Open,
    Opened,
    Reply,
    Sign,
    Signed,
    decode_request,
    encode,
)


class Host:
    """Answers requests with the key that the first one opens."""

    def __init__(self) -> None:
        self._module: Module | None = None
        self._key: KeySigner | None = None

    def answer(self, request: Open | Sign) -> Reply:
        """The reply to a request; errors of module and token are replies too."""
        try:
            if isinstance(request, Open):
                return self._open(request)
            if self._key is None:
                return Failed("refused", "no key is open", pin=False)
            return Signed(self._key.sign(request.data))
        except SignerError as error:
            return Failed.of(error)

    def close(self) -> None:
        """Leave the module in order; tokens count the sessions that are left open."""
        if self._module is not None:
            self._module.close()

    def _open(self, request: Open) -> Opened:
        self._module = Module(request.place.module)
        token = self._module.find(request.place)
        session = log_in(self._module, token, request.pin)
        key = find_key(session, request.place, str(token))
        public_key = key.public_key()
        if not request.allow_extractable:
            key.check_sealed()
        self._key = key.signs(self._module, choose_mechanism(self._module, token))
        return Opened(public_key, str(token), self._key.mechanism)


def main() -> None:
    """Serve the socket whose descriptor the environment names, until its other end closes."""
    # The daemon tells us when to end; a signal for all of its group or service is not for us.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    host = Host()
    with socket.socket(fileno=int(os.environ.pop(SOCKET_VARIABLE))) as connection:
        while packet := connection.recv(MAX_PACKET):
            connection.send(encode(host.answer(decode_request(packet))))
    host.close()


if __name__ == "__main__":
    main()
