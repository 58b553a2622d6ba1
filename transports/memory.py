"""Members in one process: a hub that delivers only when told to, in one order, on its own clock.

For the simulator and for tests. Nothing here waits or runs by itself: a message lies in the hub until step()
or advance() delivers it, so a run is a function of what was sent and of the route.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Collection

from transports.base import Deliver, LinkStatus, TransportError

# What becomes of a message from one member to another: one delay in milliseconds per copy that arrives.
# () loses it, (0,) delivers it once, (0, 250) twice; unequal delays re-order.
Route = Callable[[int, int, bytes], Collection[int]]

MAX_IN_FLIGHT = 100_000  # messages under way in a hub; more are lost


def direct(_source: int, _target: int, _data: bytes) -> Collection[int]:
    """The route of a perfect network: every message once and at once."""
    return (0,)


class MemoryHub:
    """A network of members 0 to ``size`` - 1. ``route`` may be replaced at any time; it holds for later sends."""

    def __init__(self, size: int, route: Route = direct) -> None:
        self.route = route
        self.now_ms = 0
        self.lost = 0  # by route, partition, overflow, or because the target was not running
        self._members = range(size)
        self._group_of: dict[int, int] = {}
        self._running: dict[int, Deliver] = {}
        self._in_flight: list[tuple[int, int, int, int, bytes]] = []  # due, order, source, target, data
        self._order = itertools.count()
        self._received: Counter[tuple[int, int]] = Counter()  # by source and target
        self._changed_ms = 0

    def transport(self, member: int) -> MemoryTransport:
        """This member's access to the hub; a restarted member takes a new one."""
        if member not in self._members:
            raise TransportError(f"member {member} is beyond the hub's {len(self._members)}")
        return MemoryTransport(self, member)

    def partition(self, *groups: Collection[int]) -> None:
        """Cut all links between groups; members named in no group form one more. Messages under way are cut too."""
        self._group_of = {member: number for number, group in enumerate(groups) for member in group}
        self._changed_ms = self.now_ms

    def heal(self) -> None:
        """End the partition."""
        self._group_of = {}
        self._changed_ms = self.now_ms

    def reaches(self, source: int, target: int) -> bool:
        """Whether the target runs and no partition lies between the two."""
        return target in self._running and self._group_of.get(source) == self._group_of.get(target)

    @property
    def next_due_ms(self) -> int | None:
        """When the next message arrives, on the hub's clock; ``None`` if none is under way."""
        return self._in_flight[0][0] if self._in_flight else None

    def step(self) -> bool:
        """Move the clock to the next message and deliver it; False if there is none."""
        if not self._in_flight:
            return False
        due, _, source, target, data = heapq.heappop(self._in_flight)
        self.now_ms = max(self.now_ms, due)
        if self.reaches(source, target):
            self._received[source, target] += 1
            self._running[target](data, f"memory:{source}")
        else:
            self.lost += 1
        return True

    def advance(self, to_ms: int) -> None:
        """Deliver everything due up to ``to_ms``, also what is sent meanwhile, and set the clock to it."""
        while self._in_flight and self._in_flight[0][0] <= to_ms:
            self.step()
        self.now_ms = max(self.now_ms, to_ms)

    def attach(self, member: int, deliver: Deliver) -> None:
        """Begin delivering to a member. Raises TransportError if another transport of it is running."""
        if member in self._running:
            raise TransportError(f"member {member} is on the hub already")
        self._running[member] = deliver
        self._changed_ms = self.now_ms

    def detach(self, member: int) -> None:
        """Stop delivering to a member; what is under way to it is lost unless it comes back in time."""
        del self._running[member]
        self._changed_ms = self.now_ms

    def send(self, source: int, data: bytes) -> None:
        """Put a message under way to all other members."""
        for target in self._members:
            if target == source:
                continue
            delays = self.route(source, target, data) if self.reaches(source, target) else ()
            if not delays or len(self._in_flight) + len(delays) > MAX_IN_FLIGHT:
                self.lost += 1
                continue
            for delay in delays:
                heapq.heappush(self._in_flight, (self.now_ms + delay, next(self._order), source, target, data))

    def links(self, member: int) -> tuple[LinkStatus, ...]:
        """The links of a member; ``since_ms`` is on the hub's clock, and of the last change in the whole hub."""
        return tuple(
            LinkStatus(
                member=other,
                address=f"memory:{other}",
                connected=other in self._running and self.reaches(other, member),
                since_ms=self._changed_ms,
                received=self._received[other, member],
                refused=0,
            )
            for other in self._members
            if other != member
        )


class MemoryTransport:
    """One member's side of a MemoryHub, delivering in the thread that drives the hub."""

    def __init__(self, hub: MemoryHub, member: int) -> None:
        self._hub = hub
        self._member = member
        self._running = False

    def start(self, deliver: Deliver) -> None:
        """Begin to receive; see Transport.start."""
        self._hub.attach(self._member, deliver)
        self._running = True

    def send(self, data: bytes) -> None:
        """Put a message under way to all other members; see Transport.send."""
        if not self._running:
            raise TransportError(f"member {self._member} is not on the hub")
        self._hub.send(self._member, data)

    def close(self) -> None:
        """Leave the hub. What was sent still arrives, as after a crash."""
        if self._running:
            self._hub.detach(self._member)
            self._running = False

    def status(self) -> tuple[LinkStatus, ...]:
        """The links to all other members."""
        return self._hub.links(self._member)
