"""Block bodies in a trace: each stands there once, compressed, and comes back byte for byte."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsm.simulator.wire import seal
from fedsm.trace import Origin, Standing, TraceError, Transition, bodies, read
from fedsm.trace.bodies import LARGE_BYTES, BodyError, BodyShelf, BodyStore
from fedsm.trace.sheet import Sheet
from states.effects import Broadcast, CombineBlock, Effect, SignDigest, SubmitBlock, ValidateBlock
from states.events import BlockBuilt, BlockCombined, Event, Received
from states.messages import Proposal
from tests.core_bench import HEIGHT, NOW_MS, X, settings
from tests.traces import resealed

BLOCK = random.Random(1).randbytes(300_000)
SIGNED = BLOCK[:150] + bytes(216) + BLOCK[151:]  # the proof stands in the header
STANDING = Standing("Propose", "Judging", HEIGHT, 0)


def transitions(blocks: list[tuple[bytes, bytes]]) -> list[Transition]:
    """What a proposer's machines hear and order about each block, unsigned and signed."""
    steps: list[tuple[Event, list[Effect]]] = []
    for block, signed in blocks:
        proposal = Proposal(HEIGHT, 0, X, block)
        steps += [
            (BlockBuilt(HEIGHT, 0, X, block), [Broadcast(proposal)]),
            (Received(1, proposal, seal(1, proposal), NOW_MS), [ValidateBlock(HEIGHT, X, block, True)]),
            (Received(2, proposal, seal(2, proposal), NOW_MS), [SignDigest(HEIGHT, X, block)]),
            (
                BlockCombined(HEIGHT, X, signed),
                [CombineBlock(HEIGHT, X, block, ()), SubmitBlock(HEIGHT, X, signed)],
            ),
        ]
    return [Transition(NOW_MS, STANDING, event, STANDING, effects) for event, effects in steps]


def written(steps: list[Transition]) -> bytes:
    sheet = Sheet()
    sheet.header(Origin("0", "00" * 32, "", "00" * 32, "00" * 32, settings()), 1, NOW_MS, new=True)
    for step in steps:
        sheet.step(step)
    sheet.end(NOW_MS, stopped=True)
    return sheet.take()


def read_back(file: Path) -> list[Transition]:
    return [item for _, item in read(file) if isinstance(item, Transition)]


def test_a_block_stands_there_once_in_whatever_dress_it_occurs(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_bytes(written(transitions([(BLOCK, SIGNED)])))
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert [line["size"] for line in lines if line["line"] == "body"] == [len(BLOCK)]
    assert file.stat().st_size < len(BLOCK) * 4 / 3 + 10_000
    assert read_back(file) == transitions([(BLOCK, SIGNED)])


def test_a_block_is_compressed(tmp_path: Path) -> None:
    plain = b"the same transaction " * 50_000
    file = tmp_path / "trace"
    file.write_bytes(written(transitions([(plain, plain + b"!")])))
    assert file.stat().st_size < 20_000
    assert read_back(file) == transitions([(plain, plain + b"!")])


def test_bodies_that_were_long_ago_are_named_again(tmp_path: Path) -> None:
    blocks = [(random.Random(n).randbytes(2000), random.Random(n + 1000).randbytes(3000)) for n in range(20)]
    steps = transitions(blocks) + transitions(blocks[:1])
    file = tmp_path / "trace"
    file.write_bytes(written(steps))
    lines = [json.loads(line)["line"] for line in file.read_bytes().splitlines()]
    assert lines.count("body") == 40
    assert read_back(file) == steps


def test_a_body_too_large_for_any_block_is_not_written() -> None:
    with pytest.raises(ValueError, match="a body of 16777217 bytes, at most 16777216"):
        written(transitions([(bytes(bodies.MAX_BODY_BYTES + 1), b"")]))


def changed(lines: list[dict[str, Any]], **fields: object) -> bytes:
    """The trace with other fields in its body line, all hashes made anew."""
    return resealed([json.dumps({**line, **fields} if line["line"] == "body" else line).encode() for line in lines])


def test_a_body_that_is_missing_or_damaged_is_named_with_the_line_that_needs_it(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    lines = [json.loads(line) for line in written(transitions([(BLOCK, SIGNED)])).splitlines()]
    other = json.loads(msgspec.json.encode(zlib.compress(BLOCK[::-1])))
    for text, said in (
        (changed(lines, data=other), "its content has another hash"),
        (changed(lines, data="eJwh"), "is damaged: "),
        (changed(lines, size=len(BLOCK) - 1), "its content has another hash"),
        (changed(lines, sha256="00" * 32), "is not in this file"),
    ):
        file.write_bytes(text)
        with pytest.raises(TraceError, match=rf"line 3 does not make sense: the body [0-9a-f]{{64}} .*{said}"):
            read_back(file)
    file.write_bytes(changed(lines, size=10**9))
    with pytest.raises(TraceError, match="line 2 does not make sense: a body of 1000000000 bytes"):
        read_back(file)


def test_a_body_that_inflates_without_end_takes_no_memory() -> None:
    store = BodyStore()
    store.add("00" * 32, 10, zlib.compress(bytes(200_000_000)))
    with pytest.raises(BodyError):
        store.get("00" * 32)


PARTS = [random.Random(n).randbytes(LARGE_BYTES) for n in range(4)]


@given(
    st.lists(
        st.lists(st.one_of(st.sampled_from(PARTS), st.binary(max_size=80)), min_size=1, max_size=6).map(b"".join),
        max_size=12,
    )
)
def test_whatever_is_put_on_the_shelf_comes_back(data: list[bytes]) -> None:
    shelf, store = BodyShelf(), BodyStore()
    names = [shelf.put(one) for one in data]
    for body in shelf.take_new():
        store.add(body.sha256, body.size, body.data)
    assert [store.bytes_of(msgspec.json.decode(msgspec.json.encode(name))) for name in names] == data
