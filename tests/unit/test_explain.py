"""fedsm explain: what happened at a height, in sentences, from the trace of one member alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedsm.cli import cli
from fedsm.errors import FedsmError
from states.messages import Message, Prevote, Proposal
from tests.traces import Recording

# At height 1 of five members, member 1 proposes in round 0, member 2 in round 1.


def told(directory: Path, height: int | None = 1) -> list[str]:
    """The lines about a height, blocks called A, B and so on in order of appearance."""
    arguments = ["explain", str(directory), *([] if height is None else ["--height", str(height)])]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output.splitlines()


def playing(directory: Path, act: Callable[[Recording], None], blocks: int = 1) -> list[str]:
    """What is told of height 1 of a federation of five to which something happens."""
    with Recording(directory, 5, 3) as recording:
        act(recording)
        recording.cluster.run_until_height(blocks)
        recording.wait_written()
    return told(directory)


def by_fate(fate: Callable[[int, int, Message], tuple[int, ...]]) -> Callable[[Recording], None]:
    """Messages of round 0 are delivered as this says: after so many ms, or never."""

    def act(recording: Recording) -> None:
        recording.cluster.deliver = lambda *message: fate(*message) if message[2].round == 0 else (1,)

    return act


def only(lines: list[str], beginning: str) -> str:
    (line,) = [line.strip() for line in lines if line.strip().startswith(beginning)]
    return line


def test_a_round_in_which_all_went_well(tmp_path: Path) -> None:
    heading, *lines = playing(tmp_path, lambda _: None)
    assert heading.startswith("Height 1, slot 1970-01-12 13:46:41.000 UTC")
    block = lines[0].split()[6]
    signed = "Signed by 0 (+6), 1 (+7), 2 (+7), 3 (+7), 4 (+7)."
    assert [line.strip() for line in lines] == [
        f"Round 0: member 1 proposed block {block} +2 ms; our node found it valid +3 ms.",
        f"Prevotes: {block} by 0 (+3), 1 (+3), 2 (+4), 3 (+4), 4 (+4).",
        f"Precommits: {block} by 0 (+4), 1 (+5), 2 (+5), 3 (+5), 4 (+5).",
        f"Decided +5 ms: block {block}, by the precommits of 0, 2, 3.",
        f"{signed} Combined +8 ms. Our node's answer to the block: accepted (why).",
        f"Block {block} was our node's tip +9 ms.",
    ]


def test_a_proposer_that_is_down(tmp_path: Path) -> None:
    lines = playing(tmp_path, lambda recording: recording.cluster.members[1].crash())
    assert only(lines, "Round 0") == "Round 0: member 1 proposed nothing that reached us."
    assert lines[2].strip() == "Prevotes: nil by 0 (+200), 2 (+201), 3 (+201), 4 (+201); missing 1."
    assert only(lines, "The round failed") == (
        "The round failed +202 ms: no proposal of member 1, nothing was heard of 1."
    )
    assert only(lines, "Round 1").startswith("Round 1: member 2 proposed block ")


def test_a_proposal_that_came_too_late(tmp_path: Path) -> None:
    lines = playing(tmp_path, by_fate(lambda _s, _r, message: (201 if isinstance(message, Proposal) else 1,)))
    assert "+202 ms; our node" in only(lines, "Round 0")
    assert only(lines, "The round failed").endswith(
        "the proposal of member 1 came after its time was up, 1 of the 3 prevotes that a block needs."
    )


def test_a_proposal_that_did_not_reach_enough_members(tmp_path: Path) -> None:
    def fate(_sender: int, receiver: int, message: Message) -> tuple[int, ...]:
        return () if isinstance(message, Proposal) and receiver in (2, 3, 4) else (1,)

    lines = playing(tmp_path, by_fate(fate))
    assert re.search(
        r"Prevotes: \w+\.\. by 0 \(.*\), 1 \(.*\); nil by 2 \(.*\), 3 \(.*\), 4 ", only(lines[:3], "Prevotes")
    )
    assert only(lines, "The round failed").endswith("ms: 2 of the 3 prevotes that a block needs.")


def test_a_block_that_only_we_precommitted(tmp_path: Path) -> None:
    def fate(sender: int, receiver: int, message: Message) -> tuple[int, ...]:
        is_lost = isinstance(message, Proposal) and receiver in (3, 4)
        return () if is_lost or (isinstance(message, Prevote) and sender == 0) else (1,)

    lines = playing(tmp_path, by_fate(fate))
    assert only(lines, "The round failed").endswith("ms: 1 of the 3 precommits that a block needs.")


def test_a_block_that_our_node_refused(tmp_path: Path) -> None:
    with Recording(tmp_path, 5, 3) as recording:
        recording.member.rejects_all = True
        recording.cluster.run_for(1500)
        recording.cluster.sync(0)
        recording.wait_written()
    lines = told(tmp_path)
    assert only(lines, "Round 0").endswith("; our node refused it +3 ms: why.")
    assert "nil by 0 (+3)" in only(lines[:3], "Prevotes")
    assert only(lines, "The round failed").endswith("the others want the block, which our node did not find valid.")


def test_our_own_turn_without_a_block(tmp_path: Path) -> None:
    with Recording(tmp_path, 5, 3) as recording:
        recording.grow(4)
        recording.member.node_down = True
        recording.cluster.run_for(1500)
        recording.member.node_down = False
        recording.grow(1)
    assert only(told(tmp_path, 5), "Round 0") == (
        "Round 0: member 0 (we) proposed nothing, for our node built no block: no block."
    )


def test_a_signer_that_is_away(tmp_path: Path) -> None:
    def take_away(recording: Recording) -> None:
        recording.member.signer_down = True

    signing = only(playing(tmp_path, take_away), "Signed by")
    assert "; missing 0" in signing
    assert "Our signer gave no signature: unavailable: no token." in signing


def test_a_block_from_elsewhere(tmp_path: Path) -> None:
    with Recording(tmp_path, 5, 3) as recording:
        recording.cluster.deliver = lambda sender, receiver, _: () if 0 in (sender, receiver) else (1,)
        recording.cluster.run_for(1500)
        recording.cluster.sync(0)
        recording.wait_written()
    assert only(told(tmp_path), "Closed").endswith("which our node had from elsewhere.")


def test_all_heights_restarts_and_gaps_are_told_in_order(tmp_path: Path) -> None:
    with Recording(tmp_path, 5, 3) as recording:
        recording.grow(1)
        recording.restart()
        recording.grow(1)
    lines = told(tmp_path, None)
    assert [line.split(",")[0] for line in lines if line.startswith("Height")] == [
        "Height 1", "Height 2", "Height 2", "Height 3",
    ]  # fmt: skip
    starts = [line for line in lines if "the daemon of member 0 starts" in line]
    assert [line.split(" line ")[0].split("/")[-1] for line in starts] == [
        "trace-000001.jsonl.gz", "trace-000002.jsonl",
    ]  # fmt: skip
    assert "The height was open when this part of the trace ended." in lines[-1]


def test_a_height_that_is_not_there_and_a_trace_that_is_none_are_refused_in_one_line(tmp_path: Path) -> None:
    with Recording(tmp_path, 5, 3) as recording:
        recording.grow(1)
    for arguments, said in (
        ((str(tmp_path), "--height", "9"), f"{tmp_path} tells nothing of height 9"),
        ((str(tmp_path / "nothing"),), f"{tmp_path / 'nothing'}: no such file or directory"),
    ):
        with pytest.raises(FedsmError) as caught:
            CliRunner().invoke(cli, ["explain", *arguments], catch_exceptions=False)
        assert str(caught.value) == said
