"""Every script of this directory plays as its transcript says; every recorded height is replayed identically."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedsm.replay import replay
from fedsm.trace.regression import SUFFIX, record_anew
from tests.scenarios.script import play

SCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))
RECORDED = sorted(Path(__file__).parent.glob(f"*{SUFFIX}"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scenario(path: Path, request: pytest.FixtureRequest) -> None:
    played = play(path)
    if request.config.getoption("--rewrite-scenarios", default=False):
        path.write_text(played, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == played


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name.removesuffix(SUFFIX))
def test_recorded_height(path: Path, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite-scenarios", default=False):
        path.write_bytes(record_anew(path).text)
    check_recorded(path)


def check_recorded(path: Path) -> None:
    """TraceError when the machines do something else than they did on the day."""
    assert replay(path, any_tables=True).steps > 0
