"""Listens to the members of a federation file over ZeroMQ, as their own member or as nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from fedsm.assembly import EPOCH
from fedsm.clock import SystemClock
from fedsm.errors import FedsmError
from fedsm.log import get_logger
from fedsm.observe.spectator import Spectator
from signers.ecdsa import verify_der
from states.quorum import Quorum
from transports.base import TransportError
from transports.curve import CurveKeys
from transports.nodes import parse_nodes
from transports.opener import Opener
from transports.zmq_observer import ZmqObserver


class Subject(NamedTuple):
    """Whom to listen to: genesis hash (display order), block-signing keys in order, addresses as --nodes has them.

    ``federation`` is the digest of the federation file, empty for none.
    """

    genesis: str
    public_keys: tuple[bytes, ...]
    quorum: Quorum
    nodes: str
    interval_ms: int
    federation: str
    identities: dict[int, bytes] | None = None


@contextmanager
def listening(
    subject: Subject, own: int | None = None, curve: CurveKeys | None = None
) -> Iterator[tuple[Spectator, ZmqObserver]]:
    """Listen while the context lasts to all members, or to all but our own. FedsmError for malformed addresses."""
    try:
        addresses = parse_nodes(subject.nodes, own or 0)
    except TransportError as error:
        raise FedsmError(str(error)) from None
    spectator = Spectator(
        _opener(subject), subject.quorum, subject.interval_ms, subject.federation, SystemClock(), get_logger()
    )
    observer = ZmqObserver({n: address for n, address in enumerate(addresses) if n != own}, curve)
    observer.start(spectator.hear)
    try:
        yield spectator, observer
    finally:
        observer.close()


def _opener(subject: Subject) -> Opener:
    def no_block(_: bytes) -> str:
        raise ValueError("blocks are not looked at")

    def is_signature_of(member: int, block_hash: str, der: bytes) -> bool:
        return verify_der(subject.public_keys[member], bytes.fromhex(block_hash)[::-1], der)

    return Opener(
        bytes.fromhex(subject.genesis)[::-1],
        EPOCH,
        subject.public_keys,
        subject.quorum.votes,
        block_hash_of=no_block,
        verify_block_signature=is_signature_of,
        pinned=subject.identities,
    )
