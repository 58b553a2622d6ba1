"""What unit and integration tests share: clean log lines, tokens of a SoftHSM2 and the shim in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from structlog.contextvars import clear_contextvars

from tests.hsm import Shim, Tokens, compile_shim

# Other work on the machine must not fail a test that is only slow.
settings.register_profile("fedsm", deadline=None)
settings.load_profile("fedsm")


@pytest.fixture(autouse=True)
def _no_height_of_another_test_in_log_lines() -> Iterator[None]:
    yield
    clear_contextvars()


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tokens:
    """A SoftHSM2 without tokens, for this process and those it starts."""
    made = Tokens(tmp_path / "softhsm")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture(scope="session")
def shim_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim."""
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def shim(shim_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shim:
    """The shim in front of this test's SoftHSM2."""
    directory = tmp_path / "shim"
    directory.mkdir()
    made = Shim(directory, shim_library)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made
