"""The engine: effects in order, results back as events, and what makes a daemon stop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from fedsm.chains.base import ChainError
from fedsm.chains.script import Multisig
from fedsm.engine import NODE_THREADS
from fedsm.errors import FedsmError
from fedsm.intake import MAX_PENDING_PER_MEMBER
from signers.guard import GuardError
from states.effects import (
    Broadcast,
    CombineBlock,
    Effect,
    Persist,
    Relay,
    Report,
    RequestBlock,
    SetTimer,
    SignDigest,
    SubmitBlock,
    ValidateBlock,
)
from states.events import (
    BlockBuilt,
    BlockCombined,
    BlockJudged,
    BlockSubmitted,
    DigestSigned,
    PersistFailed,
    Received,
    TimerFired,
    TipChanged,
)
from states.memory import VoteCast
from states.messages import Heartbeat, Precommit, Prevote, Proposal
from tests.members import BLOCK, HASH
from tests.unit.engine_harness import FEDERATION, MEMBERS, MULTISIG, Bench, news
from transports.envelope import message_of, parse
from transports.limits import MAX_MESSAGE_BYTES

VOTE = Prevote(10, 0, HASH)
PERSIST = Persist((VoteCast("prevote", 10, 0, HASH),))
SIGN = SignDigest(10, HASH, BLOCK)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def sent_messages(bench: Bench) -> list[Any]:
    """What the member sent, without its heartbeats."""
    messages = [message_of(parse(data)) for data in bench.transport.sent]
    return [message for message in messages if not isinstance(message, Heartbeat)]


def heartbeats(bench: Bench) -> list[Heartbeat]:
    messages = [message_of(parse(data)) for data in bench.transport.sent]
    return [message for message in messages if isinstance(message, Heartbeat)]


def hear(bench: Bench, message: Any = None, *, sender: int = 1) -> None:
    """Deliver a peer's message: by default a vote that no other test message equals."""
    sent = Precommit(10, 0, HASH) if message is None else message
    bench.engine.deliver_data(MEMBERS.members[sender].seal(sent), "link")


# Effects


def test_a_failed_persist_drops_the_rest_of_its_list_and_comes_back_as_an_event(bench: Bench) -> None:
    bench.guard.refusal = GuardError("conflicting-vote", "we voted otherwise")
    bench.core.height, bench.core.round = 10, 3
    bench.on(TipChanged, PERSIST, Broadcast(VOTE), SIGN, Relay((b"vote",)))
    bench.engine.deliver_tip(news())
    (failed,) = bench.run_until(PersistFailed)
    assert failed == PersistFailed(10, 3, "conflicting-vote", "we voted otherwise")
    assert sent_messages(bench) == []
    assert bench.signing.asked == []


def test_what_stands_before_a_failed_persist_is_done_and_heard_first(bench: Bench) -> None:
    bench.guard.refusal = GuardError("write-failed", "disk full")
    bench.on(TipChanged, Broadcast(VOTE), PERSIST, Broadcast(Precommit(10, 0, HASH)))
    bench.engine.deliver_tip(news())
    bench.run_until(PersistFailed)
    assert sent_messages(bench) == [VOTE]
    assert [type(event) for event in bench.core.events] == [TipChanged, Received, PersistFailed]


def test_a_vote_is_on_disk_before_it_is_sent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded_when_sent = []
    monkeypatch.setattr(bench.transport, "send", lambda _data: recorded_when_sent.append(len(bench.guard.recorded)))
    bench.on(TipChanged, PERSIST, Broadcast(VOTE))
    bench.engine.deliver_tip(news())
    bench.run_until(Received)
    assert recorded_when_sent[0] == 1
    assert bench.guard.recorded == [PERSIST.records]


def test_a_broadcast_comes_back_as_received_in_the_envelope_that_was_sent(bench: Bench) -> None:
    bench.on(TipChanged, Broadcast(VOTE))
    bench.engine.deliver_tip(news())
    (own,) = bench.run_until(Received)
    assert (own.sender, own.message) == (0, VOTE)
    assert own.envelope == bench.transport.sent[0]


def test_relayed_envelopes_leave_as_they_are(bench: Bench) -> None:
    bench.on(TipChanged, Relay((b"one", b"two")))
    bench.engine.deliver_tip(news())
    bench.run_out()
    assert bench.transport.sent[:2] == [b"one", b"two"]


def test_a_proposal_too_large_to_send_is_logged_and_the_engine_goes_on(bench: Bench) -> None:
    bench.on(TipChanged, Broadcast(Proposal(10, 0, HASH, bytes(MAX_MESSAGE_BYTES))), Broadcast(VOTE))
    bench.engine.deliver_tip(news())
    (own,) = bench.run_until(Received)
    assert own.message == VOTE, "nothing of the oversize proposal comes back"
    assert "oversize" in bench.logs.of("message_not_sent")[0]["detail"]


def test_a_slow_signer_is_asked_once_however_often_the_machines_remind(bench: Bench) -> None:
    bench.on(TipChanged, SIGN)
    bench.on(Received, SIGN, SIGN)
    bench.on(Received, SIGN, then=bench.signing.release.set)
    bench.engine.deliver_tip(news())
    hear(bench)
    hear(bench, sender=2)
    assert bench.run_until(DigestSigned) == [DigestSigned(10, HASH, b"signature")]
    assert bench.signing.asked == [SIGN]


def test_a_signer_that_answered_may_be_asked_again_and_another_block_at_once(bench: Bench) -> None:
    other = SignDigest(11, "22" * 32, BLOCK)
    bench.signing.release.set()
    bench.on(TipChanged, SIGN)
    bench.on(DigestSigned, SIGN, other)
    bench.engine.deliver_tip(news())
    bench.run_until(DigestSigned, count=3)
    assert bench.signing.asked == [SIGN, SIGN, other]


def test_the_results_of_node_jobs_come_back_as_events(tmp_path: Path) -> None:
    block, signed = b"block", b"signed block"
    calls: list[tuple[Any, ...]] = []

    def answer(event: Any, *, takes_chain_state: int) -> Any:
        def job(*arguments: Any) -> Any:
            assert len(arguments) == 1 + takes_chain_state
            calls.append(arguments)
            return event

        return job

    node = SimpleNamespace(
        build=answer(BlockBuilt(10, 0, HASH, block), takes_chain_state=0),
        judge=answer(BlockJudged(10, HASH, True, "valid"), takes_chain_state=2),
        combine=answer(BlockCombined(10, HASH, signed), takes_chain_state=1),
        submit=answer(BlockSubmitted(10, HASH, "accepted"), takes_chain_state=0),
    )
    bench = Bench(tmp_path, node=node)
    effects: list[tuple[type, Effect]] = [
        (TipChanged, RequestBlock(10, 0, "7f" * 32)),
        (BlockBuilt, ValidateBlock(10, HASH, block, True)),
        (BlockJudged, CombineBlock(10, HASH, block, ((0, b"der"),))),
        (BlockCombined, SubmitBlock(10, HASH, signed)),
    ]
    for kind, effect in effects:
        bench.on(kind, effect)
    bench.engine.deliver_tip(news())
    bench.run_until(BlockSubmitted)
    assert [type(event) for event in bench.core.events] == [
        TipChanged, BlockBuilt, BlockJudged, BlockCombined, BlockSubmitted,
    ]  # fmt: skip
    assert [arguments[0] for arguments in calls] == [effect for _, effect in effects]
    assert calls[1][1:] == (news().tip, FEDERATION), "judged against the tip and the signers of its moment"


def test_a_job_that_fails_unexpectedly_costs_its_answer_and_no_thread(tmp_path: Path) -> None:
    def fail(_effect: RequestBlock) -> BlockBuilt:
        raise RuntimeError("unforeseen")

    submitted = BlockSubmitted(10, HASH, "accepted")
    bench = Bench(tmp_path, node=SimpleNamespace(build=fail, submit=lambda _effect: submitted))
    failing = [RequestBlock(10, 0, "7f" * 32)] * (NODE_THREADS + 1)
    bench.on(TipChanged, *failing, SubmitBlock(10, HASH, b"signed"))
    bench.engine.deliver_tip(news())
    with capture_logs() as lines:
        assert bench.run_until(BlockSubmitted) == [submitted]
    assert {line["event"] for line in lines} == {"worker_failed"}


# Timers and heartbeats


def test_a_timer_fires_when_the_steady_clock_reaches_it(bench: Bench) -> None:
    bench.on(TipChanged, SetTimer("slot", 10, 2, 500))
    bench.on(Received, then=lambda: advance(bench, 499))
    bench.on(Received, then=lambda: advance(bench, 1))
    bench.engine.deliver_tip(news())
    hear(bench)
    hear(bench, sender=2)
    (fired,) = bench.run_until(TimerFired)
    assert fired == TimerFired("slot", 10, 2, bench.clock.now_ms)
    assert len(bench.core.seen(Received)) == 2


def test_setting_a_timer_again_replaces_it(bench: Bench) -> None:
    bench.on(TipChanged, SetTimer("resend", 10, 0, 100), SetTimer("resend", 10, 1, 300))
    bench.on(Received, then=lambda: advance(bench, 200))
    bench.on(Received, then=lambda: advance(bench, 100))
    bench.engine.deliver_tip(news())
    hear(bench)
    hear(bench, sender=2)
    bench.run_out()
    assert [fired.round for fired in bench.core.seen(TimerFired)] == [1]


def test_a_timer_set_anew_by_another_that_fires_with_it_keeps_its_new_time(bench: Bench) -> None:
    bench.on(TipChanged, SetTimer("precommit", 10, 0, 100), SetTimer("propose", 10, 0, 100))
    bench.on(Received, then=lambda: advance(bench, 100))
    bench.on(TimerFired, SetTimer("propose", 10, 1, 150))
    bench.engine.deliver_tip(news())
    hear(bench)
    bench.run_out()
    assert [fired.timer for fired in bench.core.seen(TimerFired)] == ["precommit"]


def test_heartbeats_begin_with_the_first_tip_and_come_every_second(bench: Bench) -> None:
    hear(bench)
    bench.run_out()
    assert heartbeats(bench) == []

    bench.engine.deliver_tip(news())
    bench.on(Received, then=lambda: advance(bench, 999))
    bench.on(Received, then=lambda: advance(bench, 1))
    hear(bench)
    hear(bench, sender=2)
    bench.run_out()
    first, second = heartbeats(bench)
    assert second.time_ms - first.time_ms == 1000
    assert first.serials == (1, 1, 1)


def test_a_peer_without_our_certificate_gets_a_heartbeat_at_once(bench: Bench) -> None:
    bench.engine.deliver_tip(news())
    bench.on(Received, then=lambda: advance(bench, 100))
    hear(bench)
    hear(bench, MEMBERS.members[1].heartbeat(serials=(0, 1, 1)))
    bench.run_out()
    assert len(heartbeats(bench)) == 2


# What is heard


def test_messages_reach_the_core_as_received_and_make_room_for_more(bench: Bench) -> None:
    for _ in range(MAX_PENDING_PER_MEMBER + 1):
        hear(bench)
    assert bench.logs.of("message_refused") == [
        {"reason": "queue-full", "via": "link", "claimed": 1, "count": 1, "log_level": "warning"}
    ]
    bench.run_out()
    assert len(bench.core.seen(Received)) == MAX_PENDING_PER_MEMBER
    hear(bench)
    bench.run_out()
    assert len(bench.core.seen(Received)) == MAX_PENDING_PER_MEMBER + 1


def test_garbage_never_reaches_the_core(bench: Bench) -> None:
    bench.engine.deliver_data(b"\x00garbage", "link")
    bench.engine.deliver_data(MEMBERS.members[1].seal(VOTE)[:-1], "link")
    bench.run_out()
    assert bench.core.events == []


def test_messages_below_the_tip_are_refused_once_the_tip_is_known(bench: Bench) -> None:
    bench.engine.deliver_tip(news(height=11))
    bench.run_out()
    hear(bench)
    bench.run_out()
    assert bench.core.seen(Received) == []
    assert bench.intake.refused() == {"stale-height": 1}


# The guard


def test_the_guard_is_asked_about_the_new_height_before_lower_ones_are_closed(bench: Bench) -> None:
    bench.engine.deliver_tip(news(height=9))
    bench.run_out()
    assert bench.guard.calls == [("restore", 10), ("close", 8)]
    (tip,) = bench.core.seen(TipChanged)
    assert (tip.height, tip.block_hash, tip.first_block_time, tip.memory.height) == (
        9,
        "7f" * 32,
        1_500_000_000,
        10,
    )


def test_a_guard_that_cannot_be_written_counts_as_empty_and_does_not_end_the_daemon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_height: int) -> None:
        raise GuardError("write-failed", "no space left on device")

    monkeypatch.setattr(bench.guard, "restore", refuse)
    bench.engine.deliver_tip(news())
    bench.run_out()
    assert bench.core.seen(TipChanged)[0].memory.fresh
    assert bench.logs.of("guard_not_written")[0]["detail"] == "no space left on device"


def test_a_damaged_guard_ends_the_daemon(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_height: int) -> None:
        raise GuardError("corrupt", "the guard file is damaged")

    monkeypatch.setattr(bench.guard, "restore", refuse)
    bench.engine.deliver_tip(news())
    with pytest.raises(GuardError, match="damaged"):
        bench.engine.run()


# What makes a daemon stop


def test_another_script_of_the_chain_stops_the_daemon_with_one_line_that_names_it(bench: Bench) -> None:
    rotated = Multisig(2, MULTISIG.public_keys[::-1])
    bench.engine.deliver_tip(news(height=9))
    bench.engine.deliver_tip(news(height=19, federation=replace(FEDERATION, multisig=rotated)))
    with pytest.raises(FedsmError) as stopped:
        bench.engine.run()
    line = str(stopped.value)
    assert "the federation changed at height 20" in line
    assert rotated.script.hex() in line
    assert "\n" not in line
    assert [tip.height for tip in bench.core.seen(TipChanged)] == [9], "nothing is voted on under the new script"


def test_the_change_to_dynafed_with_the_same_members_is_no_other_federation(bench: Bench) -> None:
    dynafed = replace(FEDERATION, dynafed=True, signblockscript=MULTISIG.p2wsh_program)
    bench.engine.deliver_tip(news(federation=dynafed))
    bench.run_out()
    assert len(bench.core.seen(TipChanged)) == 1


def test_a_chain_that_cannot_be_worked_any_more_stops_the_daemon(bench: Bench) -> None:
    bench.engine.deliver_tip(ChainError("no script known here hashes to it"))
    with pytest.raises(FedsmError, match="no script known here hashes to it"):
        bench.engine.run()


def test_n_minus_q_plus_one_members_with_a_newer_identity_of_ours_stop_the_daemon(bench: Bench) -> None:
    hear(bench, MEMBERS.members[1].heartbeat(serials=(2, 1, 1)))
    bench.run_out()  # one of two: it may be lying
    hear(bench, MEMBERS.members[2].heartbeat(serials=(2, 1, 1)), sender=2)
    with pytest.raises(FedsmError, match="another daemon runs as member 0") as stopped:
        bench.engine.run()
    assert "\n" not in str(stopped.value)


def test_a_member_that_takes_its_word_back_is_not_counted(bench: Bench) -> None:
    hear(bench, MEMBERS.members[1].heartbeat(serials=(2, 1, 1)))
    hear(bench, MEMBERS.members[1].heartbeat(serials=(1, 1, 1)))
    hear(bench, MEMBERS.members[2].heartbeat(serials=(2, 1, 1)), sender=2)
    bench.run_out()
    assert len(bench.core.seen(Received)) == 3


# Evidence


def test_a_report_with_evidence_is_logged_and_its_envelopes_are_kept(bench: Bench) -> None:
    bench.on(TipChanged, Report("equivocation", 10, 0, 1, "prevote", (b"one", b"other")))
    bench.engine.deliver_tip(news())
    bench.run_out()
    (kept,) = [json.loads(line) for line in bench.evidence_path.read_text().splitlines()]
    assert (kept["code"], kept["envelopes"]) == ("equivocation", [b"one".hex(), b"other".hex()])
    assert bench.logs.of("equivocation")[0]["peer"] == 1


def test_a_report_without_evidence_is_only_logged(bench: Bench) -> None:
    failed = Report("signing-failed", 10, 0, 0, "unavailable: locked")
    bench.on(TipChanged, failed, failed)
    bench.engine.deliver_tip(news())
    bench.run_out()
    assert len(bench.logs.of("signing_failed")) == 2
    assert not bench.evidence_path.exists()


def test_evidence_that_cannot_be_kept_is_said_and_nothing_else_happens(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "missing")
    bench.on(TipChanged, Report("equivocation", 10, 0, 2, "prevote", (b"one", b"other")))
    bench.engine.deliver_tip(news())
    bench.run_out()
    assert bench.logs.of("evidence_not_kept") == [{"code": "equivocation", "peer": 2, "log_level": "error"}]
    assert len(bench.logs.of("equivocation")) == 1


@pytest.mark.parametrize("halts", [False, True])
def test_a_deferred_reissuance_stops_the_daemon_only_where_that_is_wanted(tmp_path: Path, halts: bool) -> None:
    bench = Bench(tmp_path, halt_on_deferral=halts)
    bench.on(TipChanged, Report("reissuance-deferred", 10, 0, None, "asset a5a5: nobody drafts"))
    bench.engine.deliver_tip(news())
    if halts:
        with pytest.raises(FedsmError, match="on-reissue-failure halt: due at height 10, deferred, asset a5a5"):
            bench.run_out()
    else:
        bench.run_out()
    assert len(bench.logs.of("reissuance_deferred")) == 1


def advance(bench: Bench, by_ms: int) -> None:
    bench.clock.now_ms += by_ms
