"""Log lines as they leave the process: one JSON object each, or readable; never half of either."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
import structlog

from fedsm.journal import Journal
from fedsm.log import LogFormat, configure, get_logger
from states.round import Round


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    written = capsys.readouterr()
    assert written.out == "", "standard output belongs to the command's answer"
    return written.err.splitlines()


def test_off_a_terminal_each_line_is_a_json_object_with_event_level_and_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()
    get_logger(member=1).info("tip", height=7, detail="two\nlines")
    (line,) = map(json.loads, lines(capsys))
    assert {line.pop("timestamp")[-1:]} == {"Z"}
    assert line == {"event": "tip", "level": "info", "member": 1, "height": 7, "detail": "two\nlines"}


def test_an_unexpected_failure_is_one_json_line_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    try:
        raise RuntimeError("unforeseen")
    except RuntimeError:
        get_logger().exception("worker_failed")
    (line,) = map(json.loads, lines(capsys))
    assert line["event"] == "worker_failed"
    assert "test_cli_log.py" in line["exception"]
    assert "RuntimeError: unforeseen" in line["exception"]


def test_a_traceback_shows_no_values_for_one_may_be_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    def signs(key: str) -> None:  # noqa: ARG001
        raise RuntimeError("unforeseen")

    formats: tuple[LogFormat, ...] = ("console", "json")
    for log_format in formats:
        configure(log_format)
        try:
            signs("L1aW4aubDFB7yfras2S1mN3bqg9nwySY8nkoLmJebSLD5BWv3ENZ")
        except RuntimeError:
            get_logger().exception("worker_failed")
        text = "\n".join(lines(capsys))
        assert "RuntimeError: unforeseen" in text
        # Its own source line is there, and no value but those that stand in it.
        assert text.count("L1aW4aubDFB7yfras2S1mN3bqg9nwySY8nkoLmJebSLD5BWv3ENZ") <= 1
        assert "key = " not in text


def test_lines_of_the_engines_thread_say_height_and_round(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    core = SimpleNamespace(state="Idle", height=0, round=0)
    journal = Journal(cast(Round, core), get_logger(member=1))
    core.height, core.round = 7, 2
    journal.states()
    get_logger(member=1).error("guard_not_written", height=6)
    get_logger(member=1).warning("peer_down", peer=3)
    written = list(map(json.loads, lines(capsys)))
    assert [(line["height"], line["round"]) for line in written] == [(6, 2), (7, 2)]


def test_console_lines_are_for_reading(capsys: pytest.CaptureFixture[str]) -> None:
    configure("console")
    get_logger(member=1).warning("node_away")
    (line,) = lines(capsys)
    assert "node_away" in line
    assert not line.startswith("{")


@pytest.mark.parametrize(("level", "said"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str], level: str, said: int) -> None:
    configure("json", level)
    log = get_logger()
    log.debug("too_early")
    log.info("tip")
    log.warning("node_unavailable")
    assert len(lines(capsys)) == said
