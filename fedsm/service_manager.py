"""Tells systemd how the daemon is, by the protocol of sd_notify(3). Without a service manager it says nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

SOCKET_VARIABLE = "NOTIFY_SOCKET"


class ServiceManager:
    """The service manager that started this process, if one did and wants to be told."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get(SOCKET_VARIABLE, "")
        # An address that begins with @ is in the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._status = ""

    def ready(self) -> None:
        """The daemon has accepted its configuration and is at work, if only waiting for its node."""
        self._tell("READY=1")

    def alive(self) -> None:
        """A sign of life: its absence for WatchdogSec= ends the daemon."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """A line for systemctl status."""
        if text != self._status:
            self._status = text
            self._tell("STATUS=" + " ".join(text.split()))

    def stopping(self) -> None:
        """The daemon ends as it was told."""
        self._tell("STOPPING=1")

    def _tell(self, line: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
            end.sendto(line.encode(), self._address)
