"""Following a node's best block: every new one once, whatever the node goes through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import pytest

from fedsm import tips
from fedsm.chains.base import ChainError, ChainProfile, Tip
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.tips import TipFollower, TipNews
from tests.unit.engine_harness import FEDERATION
from tests.unit.log_lines import LogLines

AWAY = RpcUnavailable("refused", "node at 127.0.0.1:7041: no connection")
STARTING = RpcUnavailable("warming-up", "node at 127.0.0.1:7041: starting up: Verifying blocks")


def tip(height: int, name: str = "", *, syncing: bool = False) -> Tip:
    return Tip(height, name or f"block {height}", 1_600_000_000 + height, syncing)


class Chain:
    """Answers each question for the tip with the next answer; None: the wait ended without a new height."""

    def __init__(self, answers: Iterable[Tip | Exception | None], federation: Iterable[Any] = ()) -> None:
        self.answers = iter(answers)
        self.federations = iter(federation)
        self.waited_for: list[int] = []
        self.first_block_asked = 0
        self.follower: TipFollower | None = None

    def tip(self) -> Tip:
        answer = self._next()
        assert answer is not None
        return answer

    def wait_for_height(self, height: int, timeout_ms: int) -> Tip | None:
        assert timeout_ms == tips.POLL_MS
        self.waited_for.append(height)
        return self._next()

    def federation(self) -> Any:
        answer = next(self.federations, FEDERATION)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def first_block_time(self) -> int:
        self.first_block_asked += 1
        return 1_600_000_001

    def _next(self) -> Tip | None:
        try:
            answer = next(self.answers)
        except StopIteration:
            assert self.follower is not None
            self.follower.close()
            raise AWAY from None
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tips, "BACKOFF_START_S", 0)


def follow(chain: Chain) -> tuple[list[TipNews | ChainError], LogLines]:
    """What a follower delivers and logs until the chain has no more answers."""
    delivered: list[TipNews | ChainError] = []
    logs = LogLines()
    chain.follower = TipFollower(cast(ChainProfile, chain), delivered.append, logs.log)
    chain.follower.start()
    chain.follower._thread.join(20)
    assert not chain.follower._thread.is_alive()
    return delivered, logs


def hashes(delivered: list[TipNews | ChainError]) -> list[str]:
    return [news.tip.block_hash for news in delivered if isinstance(news, TipNews)]


def test_the_present_tip_and_every_new_one_are_delivered_with_the_signers_of_the_next_block() -> None:
    chain = Chain([tip(5), tip(6), tip(8)])
    delivered, logs = follow(chain)
    assert hashes(delivered) == ["block 5", "block 6", "block 8"]
    assert delivered[0] == TipNews(tip(5), FEDERATION, 1_600_000_001)
    assert chain.waited_for[:3] == [6, 7, 9]
    assert logs.lines == []


def test_a_tip_that_stays_is_delivered_once() -> None:
    delivered, _ = follow(Chain([tip(5), None, tip(5), None, tip(5)]))
    assert hashes(delivered) == ["block 5"]


def test_a_reorganisation_to_a_block_of_the_same_height_is_noticed() -> None:
    delivered, _ = follow(Chain([tip(5), None, tip(5, "another block 5")]))
    assert hashes(delivered) == ["block 5", "another block 5"]


def test_a_reorganisation_to_a_lower_height_is_noticed() -> None:
    delivered, _ = follow(Chain([tip(5), None, tip(4)]))
    assert hashes(delivered) == ["block 5", "block 4"]


def test_a_node_that_is_away_is_said_once_and_its_return_too() -> None:
    delivered, logs = follow(Chain([tip(5), AWAY, AWAY, AWAY, tip(6)]))
    assert hashes(delivered) == ["block 5", "block 6"]
    assert [line["event"] for line in logs.lines] == ["node_unavailable", "node_back"]
    assert "no connection" in logs.lines[0]["detail"]


def test_a_new_reason_why_the_node_is_away_is_said() -> None:
    _, logs = follow(Chain([AWAY, AWAY, STARTING, STARTING, tip(6)]))
    assert [line["event"] for line in logs.lines] == ["node_unavailable", "node_unavailable", "node_back"]


def test_an_error_of_the_node_is_taken_like_its_absence() -> None:
    delivered, logs = follow(Chain([RpcError(-1, "something internal"), tip(5)]))
    assert hashes(delivered) == ["block 5"]
    assert logs.of("node_unavailable")[0]["detail"] == "node error -1: something internal"


def test_syncing_is_said_once_and_no_tip_is_delivered_before_it_is_over() -> None:
    syncing = [tip(height, syncing=True) for height in range(1, 50)]
    delivered, logs = follow(Chain([*syncing, tip(50)]))
    assert hashes(delivered) == ["block 50"]
    assert [line["event"] for line in logs.lines] == ["node_syncing", "node_back"]


def test_a_tip_whose_signers_could_not_be_asked_is_delivered_later() -> None:
    chain = Chain([tip(5), tip(5), None, tip(5)], federation=[AWAY])
    delivered, _ = follow(chain)
    assert hashes(delivered) == ["block 5"]


def test_the_time_of_block_one_is_asked_for_once_there_is_one_and_not_again() -> None:
    chain = Chain([tip(0), tip(1), tip(2)])
    delivered, _ = follow(chain)
    times = [news.first_block_time for news in delivered if isinstance(news, TipNews)]
    assert times == [None, 1_600_000_001, 1_600_000_001]
    assert chain.first_block_asked == 1


def test_a_change_to_signers_that_are_not_known_is_delivered_and_ends_the_following() -> None:
    unknown = ChainError("no script known here hashes to it")
    delivered, logs = follow(Chain([tip(5), tip(6), tip(7)], federation=[FEDERATION, unknown]))
    assert delivered[1:] == [unknown]
    assert logs.lines == []


def test_nothing_is_said_of_the_connection_that_is_closed_at_the_end() -> None:
    _, logs = follow(Chain([tip(5)]))  # the chain's last answer is an error of the closed connection
    assert logs.lines == []
