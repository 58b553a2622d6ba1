"""What our own node said of the blocks of one height."""

from __future__ import annotations

from collections.abc import Callable, Collection

from states.effects import PATIENCE_RESENDS
from states.events import BlockJudged


class Verdicts:
    """Verdicts by block and by whether the clock window counted.

    A verdict belongs to the body that was judged: the hash covers the header alone, and the same header may come
    with another, spoiled body.
    """

    def __init__(self) -> None:
        self._given: dict[tuple[str, bool], tuple[bytes, str]] = {}
        self._refused: dict[str, bytes] = {}  # the body refused last, until one is found valid
        self._waiting: dict[tuple[str, bool], int] = {}
        self._resends = 0

    def ask(self, block_hash: str, body: bytes, *, timely: bool) -> None:
        """Note that our node is being asked about this body."""
        self._given[block_hash, timely] = (body, "pending")
        self._waiting[block_hash, timely] = 0

    def answer(self, judged: BlockJudged) -> bool:
        """Note our node's answer. False if nothing was asked, as when the tip changed since."""
        key = (judged.block_hash, judged.timely)
        if key not in self._waiting:
            return False
        del self._waiting[key]
        body = self._given[key][0]
        self._given[key] = (body, judged.verdict)
        if judged.verdict == "invalid":
            self._refused[judged.block_hash] = body
        elif judged.verdict == "valid":
            self._refused.pop(judged.block_hash, None)
        return True

    def of(self, block_hash: str, body: bytes | None, *, timely: bool) -> str | None:
        """The verdict on this body, ``None`` if our node is to be asked.

        One that looked at the clock and found the block valid serves both questions.
        """
        strict = self._of(block_hash, body, timely=True)
        if timely or strict == "valid":
            return strict
        return self._of(block_hash, body, timely=False)

    def is_refused(self, block_hash: str, body: bytes) -> bool:
        """Whether our node refused this body, with or without the clock, and is not being asked right now.

        A refusal that ``retry`` forgot still counts: until the node is asked again, another body is as good.
        """
        given = {self._of(block_hash, body, timely=timely) for timely in (True, False)}
        was_refused = "invalid" in given or self._refused.get(block_hash) == body
        return was_refused and not given & {"valid", "pending"}

    def _of(self, block_hash: str, body: bytes | None, *, timely: bool) -> str | None:
        judged, verdict = self._given.get((block_hash, timely), (None, None))
        return verdict if judged == body else None

    def retry(self, is_supported: Callable[[str], bool]) -> None:
        """A resend interval has passed: ask again where the node was away, or has been silent for long.

        It is also asked again, now and then, about a block that it refused and Q members voted for: the fault may
        have been the node's, and been repaired.
        """
        self._resends += 1
        for key in self._waiting:
            self._waiting[key] += 1
        silent = [key for key, resends in self._waiting.items() if resends >= PATIENCE_RESENDS]
        self._forget([*silent, *self._with("unavailable")])
        if self._resends % PATIENCE_RESENDS == 0:
            self._forget([key for key in self._with("invalid") if is_supported(key[0])])

    def _with(self, verdict: str) -> list[tuple[str, bool]]:
        return [key for key, given in self._given.items() if given[1] == verdict]

    def forget_pending(self) -> None:
        """The questions under way may never have been put: ask them again."""
        self._forget(list(self._waiting))

    def keep_only(self, hashes: Collection[str]) -> None:
        """Forget all blocks but these."""
        self._forget([key for key in self._given if key[0] not in hashes])
        self._refused = {block_hash: body for block_hash, body in self._refused.items() if block_hash in hashes}

    def _forget(self, keys: list[tuple[str, bool]]) -> None:
        for key in keys:
            del self._given[key]
            self._waiting.pop(key, None)
