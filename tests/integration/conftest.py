"""Fixtures: the kinds of node that the same tests run on. Without an elementsd its half is skipped, visibly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fedsm.demo.nodes import find_elementsd
from tests.integration.federation import Federation


@pytest.fixture(
    params=["devnet", "ocean", pytest.param("elementsd", marks=pytest.mark.elementsd)],
)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "elementsd" and find_elementsd() is None:
        pytest.skip("no real node: put elementsd on PATH or name it in $ELEMENTSD")
    return str(request.param)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the repetitions on Ocean of what does not depend on the kind of chain (marker one_chain)."""
    repeated = [item for item in items if _kind_of(item) == "ocean" and item.get_closest_marker("one_chain")]
    if repeated:
        config.hook.pytest_deselected(items=repeated)
        items[:] = [item for item in items if item not in repeated]


def _kind_of(item: pytest.Item) -> str | None:
    call = getattr(item, "callspec", None)
    return None if call is None else call.params.get("kind")


@pytest.fixture
def federation(tmp_path: Path, kind: str) -> Callable[..., Federation]:
    def make(**settings: object) -> Federation:
        return Federation(tmp_path, kind, **settings)  # type: ignore[arg-type]

    return make
