"""Fixtures: the kinds of node that the same tests run on. Without an elementsd its half is skipped, visibly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fedsm.demo.nodes import find_elementsd
from tests.integration.federation import Federation


@pytest.fixture(
    params=["devnet", pytest.param("elementsd", marks=pytest.mark.elementsd)],
)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "elementsd" and find_elementsd() is None:
        pytest.skip("no real node: put elementsd on PATH or name it in $ELEMENTSD")
    return str(request.param)


@pytest.fixture
def federation(tmp_path: Path, kind: str) -> Callable[..., Federation]:
    def make(**settings: object) -> Federation:
        return Federation(tmp_path, kind, **settings)  # type: ignore[arg-type]

    return make
