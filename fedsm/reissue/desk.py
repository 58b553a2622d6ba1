"""The thread that serves the reissue machines: nothing that reissuance waits for holds up blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fedsm.workers import Workers

if TYPE_CHECKING:
    from fedsm.reissue.service import ReissueService
    from states.effects import ReissueOrder
    from states.events import Event


class ReissueDesk:
    """Takes orders; their answers go to ``deliver``. An order that is still being served is not taken twice."""

    def __init__(self, service: ReissueService, deliver: Callable[[Event], None]) -> None:
        self._service = service
        self._worker = Workers("reissue", 1, deliver)
        self._served: set[ReissueOrder] = set()

    def start(self) -> None:
        """Start the thread; the first thing it does is to read the chain."""
        self._worker.start()
        self.follow()

    def submit(self, order: ReissueOrder) -> None:
        """Have an order served."""
        if order not in self._served:
            self._served.add(order)
            self._worker.submit(lambda: self._serve(order))

    def follow(self) -> None:
        """Read what is new on the chain, when there is nothing else to do."""
        self._worker.submit(self._service.follow)

    def close(self) -> None:
        """Let the thread end after what it is at."""
        self._worker.close()

    def _serve(self, order: ReissueOrder) -> Event:
        try:
            return self._service.serve(order)
        finally:
            self._served.discard(order)
