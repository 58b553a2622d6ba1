"""A look at the TCP connections below libzmq, which shows neither what it holds nor whom it talks to.

Linux only: tcp_info of linux/tcp.h.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

_TCP_INFO_BYTES = 136
_ROUND_TRIP = struct.Struct("=68xI")  # tcpi_rtt, microseconds
_BYTES_RECEIVED = struct.Struct("=128xQ")  # tcpi_bytes_received, since Linux 4.1


class Wire:
    """A connection of libzmq's, known by its descriptor and its far end.

    The descriptor may be closed, and its number given to something else, at any time: whatever is done here is
    done only while the far end is the same, and nothing here ever closes it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._peer: object = None
        self.host = "unknown"
        self.address = "unknown"
        with contextlib.suppress(OSError), _borrowed(descriptor) as connection:
            peer = connection.getpeername()
            self._peer, self.host = peer, plain_host(peer[0])
            self.address = f"[{self.host}]:{peer[1]}" if ":" in self.host else f"{self.host}:{peer[1]}"

    def received(self) -> int | None:
        """The bytes that have come in since the connection began; None when it is there no more."""
        with contextlib.suppress(OSError, struct.error), _borrowed(self._descriptor) as connection:
            if self._peer is not None and connection.getpeername() == self._peer:
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
                (count,) = _BYTES_RECEIVED.unpack(info)
                return int(count)
        return None

    def round_trip_ms(self) -> float | None:
        """The kernel's smoothed estimate of the round-trip time; None when the connection is there no more."""
        with contextlib.suppress(OSError, struct.error), _borrowed(self._descriptor) as connection:
            if self._peer is not None and connection.getpeername() == self._peer:
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
                (microseconds,) = _ROUND_TRIP.unpack_from(info)
                return int(microseconds) / 1000
        return None

    def cut(self) -> None:
        """End the connection; libzmq sees it closed by the far end."""
        with contextlib.suppress(OSError), _borrowed(self._descriptor) as connection:
            if self._peer is not None and connection.getpeername() == self._peer:
                connection.shutdown(socket.SHUT_RDWR)


def plain_host(host: str) -> str:
    """An IP address as text, IPv4 as such also where it came to an IPv6 socket."""
    return host.removeprefix("::ffff:")


@contextlib.contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    # Not a duplicate: should the number be a database's by now, closing one would drop the locks that it holds.
    connection = socket.socket(fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()
