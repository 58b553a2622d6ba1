"""How much one sender may cost us: token buckets for messages, bytes and processor time.

A sender is served on credit: what it cost is known only afterwards. Once it is in debt it has to wait.
"""

from __future__ import annotations

from transports.limits import MAX_MESSAGE_BYTES

# An honest member sends about twenty messages a block, and heartbeats; after a failed round some dozens more.
MESSAGES_PER_S = 500
MESSAGE_BURST = 2_000
# Two of the largest blocks a second would be far beyond any chain's pace.
BYTES_PER_S = MAX_MESSAGE_BYTES
BYTE_BURST = 8 * MAX_MESSAGE_BYTES
# Of one core, shared by all senders: what they can make us compute. Bad signatures are the dearest garbage.
CPU_SHARE = 0.5
CPU_BURST_S = 0.5  # for each sender: a dozen of the largest blocks


class Allowance:
    """A token bucket that may be overdrawn: ``burst`` to begin with and at most, ``per_second`` added."""

    def __init__(self, per_second: float, burst: float, now_s: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = burst
        self._at_s = now_s

    def spend(self, amount: float, now_s: float) -> None:
        """Take ``amount``, if need be on credit. ``now_s`` is a steady clock's."""
        self._refill(now_s)
        self._left -= amount

    def take(self, now_s: float) -> bool:
        """Spend 1 if nothing is owed; whether it was."""
        free = self.debt_s(now_s) == 0
        if free:
            self.spend(1, now_s)
        return free

    def debt_s(self, now_s: float) -> float:
        """Seconds until nothing is owed; 0 while there is something left to spend."""
        self._refill(now_s)
        return max(0.0, -self._left / self._per_second)

    def _refill(self, now_s: float) -> None:
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_second)
        self._at_s = now_s


class SenderRates:
    """The allowances of one sender among ``senders`` that share CPU_SHARE of a core."""

    def __init__(self, senders: int, now_s: float) -> None:
        self._messages = Allowance(MESSAGES_PER_S, MESSAGE_BURST, now_s)
        self._bytes = Allowance(BYTES_PER_S, BYTE_BURST, now_s)
        self._cpu_s = Allowance(CPU_SHARE / senders, CPU_BURST_S, now_s)

    def spend(self, messages: int, size: int, cpu_s: float, now_s: float) -> None:
        """Charge messages, their bytes, and the processor time it took to deal with them."""
        self._messages.spend(messages, now_s)
        self._bytes.spend(size, now_s)
        self._cpu_s.spend(cpu_s, now_s)

    def wait_s(self, now_s: float) -> float:
        """Seconds to wait before anything else is taken from this sender; 0 for none."""
        return max(allowance.debt_s(now_s) for allowance in (self._messages, self._bytes, self._cpu_s))
