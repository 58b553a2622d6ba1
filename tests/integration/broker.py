"""The Kafka broker of the tests: a tansu of their own, or Apache Kafka at the address in FEDSM_TEST_KAFKA."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedsm.demo.broker import Broker

ADDRESS = os.environ.get("FEDSM_TEST_KAFKA")


@contextmanager
def kafka(directory: Path) -> Iterator[tuple[str, str]]:
    """The address of a broker and a topic prefix that nobody has used on it."""
    prefix = f"fedsm-test-{uuid.uuid4().hex[:12]}-"
    if ADDRESS is not None:
        yield ADDRESS, prefix
        return
    with Broker(directory) as broker:
        yield broker.address, prefix
