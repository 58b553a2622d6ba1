"""Free TCP ports on the loopback interface, for servers that must be able to come back to them.

They lie below the range from which the kernel gives ports to outgoing connections. One of that range may be taken
by such a connection before its server listens or while it restarts, even by a peer's attempt to reach that server.
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle, islice
from pathlib import Path

EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_000
USUAL_END = 32_768  # where that range usually begins; taken where it begins too low to leave much below it
FEWEST = 1_000


def free_ports(count: int) -> list[int]:
    """``count`` different ports of 127.0.0.1 that were free a moment ago. OSError when there are none."""
    return [_next_free() for _ in range(count)]


def _next_free() -> int:
    for port in islice(_walk(), FEWEST):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(errno.EADDRINUSE, "no free port on the loopback interface")


@cache
def _walk() -> Iterator[int]:
    """Every port before any comes again, from a start of this process's own: others look for ports too."""
    ports = range(LOWEST, _end())
    start = random.SystemRandom().randrange(len(ports))
    return cycle([*ports[start:], *ports[:start]])


def _end() -> int:
    try:
        end = int(EPHEMERAL_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return USUAL_END
    return end if end >= LOWEST + FEWEST else USUAL_END
