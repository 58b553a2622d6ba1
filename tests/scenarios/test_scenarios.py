"""Every script of this directory plays as its transcript says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.script import play

SCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scenario(path: Path, request: pytest.FixtureRequest) -> None:
    played = play(path)
    if request.config.getoption("--rewrite-scenarios", default=False):
        path.write_text(played, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == played
