"""A trace on disk: rotation, bounds, restarts, crashes, disks that are full, and folders that are mixed up."""

from __future__ import annotations

import errno
import gzip
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedsm.cli import cli
from fedsm.errors import FedsmError
from fedsm.replay import replay, replay_until
from fedsm.simulator.violation import Violation
from fedsm.trace import Gap, Header, TraceError, TraceSettings, book, files_of, memory, read, recorder, writer
from states.effects import Effect
from states.events import Event, TipChanged
from states.round import Round
from tests.traces import Recording, lines_on_disk, record, wait_until

SMALL = TraceSettings(None, file_bytes=6_000, total_bytes=1_000_000)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".lock")


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def refusal(path: Path) -> str:
    with pytest.raises(TraceError) as caught:
        replay(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "TRACE")


class TornDisk:
    """Lets so many more bytes be written, and then no more: the disk is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self._write = os.write
        monkeypatch.setattr(book.os, "write", self.write)

    def write(self, file: int, data: bytes) -> int:
        if self.left is None:
            return self._write(file, data)
        written = min(self.left, len(data))
        self.left -= written
        if data and not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(file, data[:written])


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> TornDisk:
    monkeypatch.setattr(recorder, "RETRY_MS", 2000)
    return TornDisk(monkeypatch)


@pytest.fixture(autouse=True)
def _eager_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BATCH_S", 0.001)


# In order


def test_a_trace_goes_on_in_new_files_and_the_older_ones_are_compressed(tmp_path: Path) -> None:
    with Recording(tmp_path, settings=SMALL) as recording:
        recording.grow(6)
        steps = recording.steps
    files = [path.name for path in files_of(tmp_path)]
    assert len(files) > 2
    assert names(tmp_path) == sorted(files)
    assert [name.endswith(".gz") for name in files] == [True] * (len(files) - 1) + [False]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())
    replayed = replay(tmp_path)
    assert (replayed.steps, replayed.runs, replayed.unfinished) == (steps, 1, 0)
    assert [item.begins for _, item in read(tmp_path) if isinstance(item, Header)] == ["new"] + ["machine"] * (
        len(files) - 1
    )


def test_the_oldest_files_are_removed_so_that_all_together_stay_within_bounds(tmp_path: Path) -> None:
    settings = TraceSettings(None, file_bytes=20_000, total_bytes=120_000)
    with Recording(tmp_path, settings=settings) as recording:
        for _ in range(40):
            recording.grow(1)
            assert size(tmp_path) <= settings.total_bytes
    replayed = replay(tmp_path)
    assert replayed.first_file > 1
    assert replayed.last_height == 41
    assert f"from file {replayed.first_file} on" in str(replayed)


def test_every_file_can_be_replayed_by_itself(tmp_path: Path) -> None:
    with Recording(tmp_path, settings=SMALL) as recording:
        recording.grow(6)
    alone = [replay(file).steps for file in files_of(tmp_path)]
    assert sum(alone) == replay(tmp_path).steps
    assert min(alone) > 0


def test_the_state_at_a_line_is_that_of_the_machines(tmp_path: Path) -> None:
    with Recording(tmp_path, settings=SMALL) as recording:
        recording.grow(4)
        core = recording.member.round
        last = len(files_of(tmp_path)[-1].read_bytes().splitlines())
        _, replayed = replay_until(tmp_path, last, len(files_of(tmp_path)))
        assert (replayed.height, replayed.state, replayed.tip) == (core.height, core.state, core.tip)
    place, early = replay_until(tmp_path, 2, 1)
    assert (place.n, early.height) == (2, 1)
    for line, file, said in (
        (10**6, 1, "has no line 1:1000000"),
        (5, None, "name the one you mean"),
        (1, 9, "9:1"),
    ):
        with pytest.raises(TraceError, match=said):
            replay_until(tmp_path, line, file)


@pytest.mark.parametrize("seed", range(2))
def test_rounds_full_of_faults_are_replayed_identically_whenever_a_file_begins(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with Recording(tmp_path, 5, 3, settings=SMALL) as recording:
        cluster = recording.cluster
        cluster.deliver = lambda *_: chance.choices(((), (1,), (1, 9), (chance.randrange(400),)), (15, 70, 5, 10))[
            0
        ]
        for _ in range(40):
            victim = chance.randrange(1, 5)
            if chance.random() < 0.2:
                cluster.restart(victim)
            elif chance.random() < 0.3:
                cluster.sync(chance.randrange(5))
            cluster.members[victim].node_down = chance.random() < 0.2
            recording.member.disk_full = chance.random() < 0.1
            cluster.run_for(chance.randrange(700))
            if chance.random() < 0.6:
                recording.wait_written()
        steps = recording.steps
    headers = [item for _, item in read(tmp_path) if isinstance(item, Header)]
    assert len(headers) > 5
    replayed = replay(tmp_path)
    assert (replayed.steps, replayed.lost) == (steps, 0)


def test_two_daemons_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with Recording(tmp_path), pytest.raises(FedsmError, match="another daemon writes its trace to"):
        Recording(tmp_path).restart()


def test_a_folder_that_cannot_be_one_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(FedsmError, match=r"cannot write a trace to .*file"):
        Recording(tmp_path / "file").restart()


# Restarts and crashes


def test_a_restart_goes_on_after_the_last_line(tmp_path: Path) -> None:
    with Recording(tmp_path) as recording:
        recording.grow(1)
        recording.restart()
        recording.grow(1)
    replayed = replay(tmp_path)
    assert (replayed.runs, replayed.unfinished, len(files_of(tmp_path))) == (2, 0, 2)


def test_a_crash_in_the_middle_of_a_write_costs_the_torn_line_only(tmp_path: Path) -> None:
    with Recording(tmp_path / "trace") as recording:
        recording.grow(2)
    text = files_of(tmp_path / "trace")[0].read_bytes()
    lines = text.splitlines(keepends=True)
    complete = b"".join(lines[:20])
    for torn in (1, len(lines[20]) // 2, len(lines[20]) - 1):
        directory = tmp_path / f"torn-{torn}"
        directory.mkdir()
        (directory / "trace-000001.jsonl").write_bytes(complete + lines[20][:torn])
        assert refusal(directory).endswith("ends in the middle of a line: cut off, or still being written")
        with Recording(directory) as recording:  # the daemon starts again
            recording.grow(1)
        replayed = replay(directory)
        assert (replayed.runs, replayed.unfinished) == (2, 1)
        assert str(replayed).endswith("1 of them without an end (killed, cut off or still going on)")


def test_a_crash_before_the_first_line_leaves_nothing_behind(tmp_path: Path) -> None:
    record(tmp_path)
    (tmp_path / "trace-000002.jsonl").write_bytes(b'{"line":"hea')
    (tmp_path / "trace-000001.part").write_bytes(b"half")
    with Recording(tmp_path) as recording:
        recording.grow(1)
    assert replay(tmp_path).runs == 2
    assert names(tmp_path) == ["trace-000001.jsonl.gz", "trace-000002.jsonl"]


def test_a_damaged_file_does_not_keep_the_daemon_from_starting(tmp_path: Path) -> None:
    packed = tmp_path / "trace-000001.jsonl.gz"
    packed.write_bytes(gzip.compress(record(tmp_path).read_bytes())[:200])
    (tmp_path / "trace-000001.jsonl").unlink()
    with Recording(tmp_path) as recording:
        recording.cluster.run_until_height(1)
    assert refusal(tmp_path).startswith(f"TRACE/{packed.name} cannot be inflated, it is damaged or cut off")
    assert replay(tmp_path / "trace-000002.jsonl").steps > 0


# When writing fails


def test_a_full_disk_holds_up_no_block_and_what_is_missing_is_counted(tmp_path: Path, disk: TornDisk) -> None:
    with Recording(tmp_path) as recording:
        recording.grow(1)
        disk.left = 3_000
        height = recording.cluster.members[0].height
        recording.cluster.run_until_height(height + 3)
        wait_until(lambda: bool(recording.logs.of("trace_not_written")))
        recording.cluster.run_until_height(height + 5)
        assert lines_on_disk(tmp_path).count("step") < recording.steps
        disk.left = None
        recording.cluster.run_until_height(height + 10)
        wait_until(lambda: bool(recording.logs.of("trace_resumed")))
        steps = recording.steps
    (gap,) = [item for _, item in read(tmp_path) if isinstance(item, Gap)]
    assert lines_on_disk(tmp_path).count("step") + gap.lost == steps
    assert "No space left on device" in gap.reason
    said = refusal(tmp_path)
    assert said.startswith(f"the trace is incomplete: {gap.lost} events are missing, the first at TRACE")
    assert said.endswith(f"the {steps - gap.lost} steps that it has are identical")
    assert [len(recording.logs.of(event)) for event in ("trace_not_written", "trace_resumed")] == [1, 1]


def test_a_full_disk_at_the_end_is_told_when_the_daemon_stops(tmp_path: Path, disk: TornDisk) -> None:
    with Recording(tmp_path) as recording:
        recording.grow(1)
        disk.left = 0
        recording.cluster.run_until_height(2)
        wait_until(lambda: bool(recording.logs.of("trace_not_written")))
        disk.left = None
        steps = recording.steps
    assert lines_on_disk(tmp_path)[-2:] == ["gap", "end"]
    assert refusal(tmp_path).endswith(
        f"the {lines_on_disk(tmp_path).count('step')} steps that it has are identical"
    )
    assert lines_on_disk(tmp_path).count("step") < steps


def test_a_disk_that_is_full_at_the_start_does_not_keep_the_daemon_from_starting(
    tmp_path: Path, disk: TornDisk
) -> None:
    disk.left = 0
    with Recording(tmp_path) as recording:
        recording.cluster.run_until_height(1)
        disk.left = None
        recording.cluster.run_until_height(6)
        wait_until(lambda: bool(recording.logs.of("trace_resumed")))
        steps = recording.steps
    (gap,) = [item for _, item in read(tmp_path) if isinstance(item, Gap)]
    assert gap.lost + lines_on_disk(tmp_path).count("step") == steps
    assert "incomplete" in refusal(tmp_path)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that takes its time: nothing is written until this is set."""
    free = threading.Event()
    step = book.Book.step

    def slow_step(self: book.Book, transition: object) -> None:
        assert free.wait(30)
        step(self, transition)  # type: ignore[arg-type]

    monkeypatch.setattr(book.Book, "step", slow_step)
    monkeypatch.setattr(writer, "MAX_WAITING", 50)
    monkeypatch.setattr(writer, "IDLE_WAITING", 5)
    yield free
    free.set()


def test_a_disk_that_is_too_slow_holds_up_no_block_and_what_is_missing_is_counted(
    tmp_path: Path, stuck: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recording(tmp_path) as recording:
        recording.cluster.run_until_height(8)
        assert recording.steps > 50
        assert [line["detail"] for line in recording.logs.of("trace_interrupted")] == ["writing fell behind"]
        monkeypatch.setattr(writer, "MAX_WAITING", 20_000)
        stuck.set()
        wait_until(lambda: lines_on_disk(tmp_path).count("step") == 50)
        recording.cluster.run_until_height(10)
        steps = recording.steps
    (gap,) = [item for _, item in read(tmp_path) if isinstance(item, Gap)]
    assert (gap.lost + lines_on_disk(tmp_path).count("step"), gap.reason) == (steps, "writing fell behind")
    assert "incomplete" in refusal(tmp_path)


def test_a_disk_that_takes_nothing_at_all_does_not_keep_the_daemon_from_stopping(
    tmp_path: Path, stuck: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CLOSE_S", 0.05)
    with Recording(tmp_path) as recording:
        recording.cluster.run_until_height(1)
    assert not stuck.is_set()
    assert [line["log_level"] for line in recording.logs.of("trace_not_finished")] == ["warning"]


# When the machines themselves fail


def test_a_fault_of_the_machines_is_the_last_step_and_fails_again_in_the_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Round.step

    def faulty(core: Round, event: Event) -> list[Effect]:
        if isinstance(event, TipChanged) and event.height == 2:
            raise KeyError("a fault")
        return step(core, event)

    with monkeypatch.context() as faults:
        faults.setattr(Round, "step", faulty)
        with Recording(tmp_path) as recording, pytest.raises(Violation, match="a fault"):
            recording.grow(3)
        assert replay(tmp_path).last_height == 2
        told = CliRunner().invoke(cli, ["explain", str(tmp_path)], catch_exceptions=False).output
        assert told.count("the daemon ended by a fault of its own: KeyError: 'a fault'") == 1
    assert refusal(tmp_path).endswith("the failure \"KeyError: 'a fault'\" is recorded, no failure is replayed")


def test_machines_that_cannot_be_kept_end_the_trace_and_not_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_core: Round) -> object:
        raise TypeError("the machines remember a socket")

    with Recording(tmp_path, settings=SMALL) as recording:
        monkeypatch.setattr(memory, "take", fail)
        recording.cluster.run_until_height(4)
        wait_until(lambda: files_of(tmp_path)[0].stat().st_size > SMALL.file_bytes)
        recording.cluster.run_until_height(20)
        steps = recording.steps
    monkeypatch.undo()
    assert [line["detail"] for line in recording.logs.of("trace_not_written")] == ["the machines remember a socket"]
    (gap,) = [item for _, item in read(tmp_path) if isinstance(item, Gap)]
    assert gap.lost + lines_on_disk(tmp_path).count("step") == steps


# Folders that are not what they should be


def folder(directory: Path, members: int = 3) -> Path:
    with Recording(directory, members, settings=SMALL) as recording:
        recording.grow(6)
    assert len(files_of(directory)) >= 4
    return directory


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    files_of(folder(tmp_path))[1].unlink()
    assert refusal(tmp_path) == "TRACE: file 2 is missing"


def test_files_that_changed_places_are_named(tmp_path: Path) -> None:
    first, second, *_ = files_of(folder(tmp_path))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    assert refusal(tmp_path) == f"TRACE/{first.name} was file 2 of a trace: files were mixed up"


def test_a_file_of_another_trace_is_named(tmp_path: Path) -> None:
    second = files_of(folder(tmp_path / "one"))[1]
    foreign = files_of(folder(tmp_path / "other", members=4))[1]
    second.write_bytes(foreign.read_bytes())
    assert refusal(tmp_path / "one").startswith(
        f"TRACE/{second.name} does not go on after the last line of trace-000001.jsonl"
    )


def test_a_last_line_that_was_changed_before_another_file_is_found(tmp_path: Path) -> None:
    first, second, *_ = files_of(folder(tmp_path))
    text = gzip.decompress(first.read_bytes()).replace(b'"stopped":false', b'"stopped":true')
    first.write_bytes(gzip.compress(text))
    assert refusal(tmp_path).startswith(f"TRACE/{second.name} does not go on after the last line of {first.name}")


def test_a_compressed_file_that_is_cut_off_or_damaged_is_named(tmp_path: Path) -> None:
    first = files_of(folder(tmp_path))[0]
    data = first.read_bytes()
    for bad in (data[: len(data) // 2], data[:40] + bytes(20) + data[60:], b"\x1f\x8bnothing", b"plain"):
        first.write_bytes(bad)
        said = refusal(tmp_path)
        assert said.startswith(f"TRACE/{first.name} ")
        assert "damaged or cut off" in said or "line" in said


def test_a_folder_without_a_trace_and_one_with_several_are_named(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "TRACE holds no trace"
    assert refusal(tmp_path / "nothing") == "TRACE: no such file or directory"
    for key in ("one", "two"):
        record(tmp_path / "chain" / key / "trace", blocks=1)
    assert refusal(tmp_path).startswith("TRACE holds several traces, name one: ")
    assert replay(tmp_path / "chain" / "one").steps > 0, "a key's folder has its trace in it"
