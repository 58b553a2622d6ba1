"""A look at connections by their descriptors, which may have become something else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.zmq_peers import is_cut, until
from transports.tcp import Wire, plain_host


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a connection: the one that is watched, and its peer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        watched, _ = server.accept()
    with peer, watched:
        yield watched, peer


def test_bytes_that_came_in_are_counted_read_or_not(ends: tuple[socket.socket, socket.socket]) -> None:
    watched, peer = ends
    wire = Wire(watched.fileno())
    assert wire.received() == 0
    peer.sendall(bytes(1000))
    until(lambda: wire.received() == 1000, "they have come in")
    watched.recv(600)
    peer.sendall(bytes(500))
    until(lambda: wire.received() == 1500, "so have these")


def test_the_far_end_is_named(ends: tuple[socket.socket, socket.socket]) -> None:
    watched, peer = ends
    wire = Wire(watched.fileno())
    assert (wire.host, wire.address) == ("127.0.0.1", f"127.0.0.1:{peer.getsockname()[1]}")
    assert plain_host("::ffff:127.0.0.1") == "127.0.0.1"
    assert plain_host("::1") == "::1"


def test_a_cut_connection_ends_and_its_descriptor_stays_with_its_owner(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    watched, peer = ends
    Wire(watched.fileno()).cut()
    until(lambda: is_cut(peer), "it ends")
    assert watched.recv(1) == b""


def test_a_closed_descriptor_is_no_connection() -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(descriptor)
    wire = Wire(descriptor)
    assert (wire.address, wire.received()) == ("unknown", None)
    wire.cut()


def test_a_number_that_was_given_to_another_connection_is_left_alone(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    watched, _ = ends
    wire = Wire(watched.fileno())
    with socket.create_server(("127.0.0.1", 0)) as server:
        other_peer = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    with other, other_peer:
        os.dup2(other.fileno(), watched.fileno())
        assert wire.received() is None
        wire.cut()
        other_peer.sendall(b"still there")
        assert other.recv(100) == b"still there"


def test_a_number_that_was_given_to_a_file_is_left_alone(
    ends: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    watched, _ = ends
    wire = Wire(watched.fileno())
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        os.dup2(file.fileno(), watched.fileno())
        assert wire.received() is None
        wire.cut()
        assert Wire(watched.fileno()).received() is None
        assert os.write(watched.fileno(), b"still open") == 10
