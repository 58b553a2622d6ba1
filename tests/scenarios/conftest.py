"""pytest tests/scenarios --rewrite-scenarios writes the transcripts anew: read what git diff says of them."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-scenarios", action="store_true", help="write the transcripts of the scenarios anew")
