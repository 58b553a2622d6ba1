"""What every transport offers: bytes to everybody else, as they arrive, with no promise that they do.

A transport may drop, repeat, delay and re-order. Authentication, deduplication and re-sending are done above
it, on the signed envelopes, so that all transports behave alike.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

# A message, and the way it came as operators know it: the address of a link, or the name of a topic. Whoever is at
# the other end brought it, and need not be whom it claims to be from.
Deliver = Callable[[bytes, str], None]


class TransportError(Exception):
    """The transport cannot do its work; one line that names the address or setting concerned."""


@dataclass(frozen=True)
class LinkStatus:
    """One link of a transport, as an operator sees it.

    ``member`` is who is at the other end, ``None`` for a relay such as a broker. ``since_ms`` is when the
    link came into its present state, in milliseconds since the Unix epoch. ``received`` counts the messages
    that were delivered, ``refused`` those the transport dropped because no member sends such frames.
    ``round_trip_ms`` is None where it is not known.
    """

    member: int | None
    address: str
    connected: bool
    since_ms: int
    received: int
    refused: int
    round_trip_ms: float | None = None


def start_thread(name: str, run: Callable[..., None], *arguments: object) -> threading.Thread:
    """Run a function in a daemon thread whose log lines say what those of the present thread do (the member)."""
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run, *arguments), name=name, daemon=True)
    thread.start()
    return thread


class Transport(Protocol):
    """Carries envelopes between members. One instance is started once and closed once."""

    def start(self, deliver: Deliver) -> None:
        """Begin to receive. ``deliver`` gets each message on the transport's own thread and must not block.

        Raises TransportError, for example when the listening port is taken.
        """

    def send(self, data: bytes) -> None:
        """Send to all other members, from any thread, without waiting. Raises TransportError if not running."""

    def close(self) -> None:
        """Send what is still queued, within a fraction of a second, and stop. May be called twice."""

    def status(self) -> tuple[LinkStatus, ...]:
        """The state of every link; callable from any thread."""
