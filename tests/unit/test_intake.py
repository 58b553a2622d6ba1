"""The intake: bounded for each member, quiet about routine, and nobody is named without proof."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedsm import intake as module
from fedsm.evidence import EvidenceLog
from fedsm.intake import LOG_EVERY, MAX_PENDING_BYTES_PER_MEMBER, MAX_PENDING_PER_MEMBER, Intake
from states.messages import BlockRequest, Prevote
from tests.members import CHAIN, HASH, Federation, Member, force_seal
from tests.unit.engine_harness import Clock
from tests.unit.log_lines import LogLines
from transports.envelope import Sealer

FEDERATION = Federation()
ALICE, BOB, CAROL = FEDERATION.members


@pytest.fixture
def logs() -> LogLines:
    return LogLines()


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    return tmp_path / "evidence.jsonl"


@pytest.fixture
def intake(logs: LogLines, evidence: Path) -> Intake:
    return Intake(FEDERATION.opener(), Clock(), logs.log, EvidenceLog(evidence))


def test_verified_messages_get_in_with_their_sender_and_bytes(intake: Intake) -> None:
    data = ALICE.seal(Prevote(10, 0, HASH))
    opened = intake.admit(data, "link")
    assert opened is not None
    assert (opened.sender, opened.message, opened.data) == (0, Prevote(10, 0, HASH), data)


def test_no_member_has_more_than_its_share_pending_and_others_have_theirs(intake: Intake, logs: LogLines) -> None:
    admitted = [intake.admit(ALICE.seal(Prevote(10, 0, HASH)), "link") for _ in range(MAX_PENDING_PER_MEMBER + 5)]
    assert [opened is None for opened in admitted] == [False] * MAX_PENDING_PER_MEMBER + [True] * 5
    assert intake.admit(BOB.seal(Prevote(10, 0, HASH)), "link") is not None
    assert len(logs.of("message_refused")) == 1
    first = admitted[0]
    assert first is not None
    intake.release(first)
    assert intake.admit(ALICE.seal(Prevote(10, 0, HASH)), "link") is not None
    assert intake.admit(ALICE.seal(Prevote(10, 0, HASH)), "link") is None


def test_the_share_is_bounded_in_bytes_too(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ALICE.seal(Prevote(10, 0, HASH))
    monkeypatch.setattr(module, "MAX_PENDING_BYTES_PER_MEMBER", 2 * len(data))
    first, second, third = (intake.admit(ALICE.seal(Prevote(10, 0, HASH)), "link") for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is None
    intake.release(first)
    assert intake.admit(ALICE.seal(Prevote(10, 0, HASH)), "link") is not None


def test_a_few_of_the_largest_blocks_fit_in_a_share() -> None:
    assert MAX_PENDING_BYTES_PER_MEMBER >= 2 * 8 * 1024 * 1024


def test_refusals_are_counted_by_reason_and_logged_once_in_a_thousand(intake: Intake, logs: LogLines) -> None:
    for number in range(LOG_EVERY + 1):
        assert intake.admit(b"garbage %d" % number, "link") is None
    assert intake.refused() == {"malformed": LOG_EVERY + 1}
    assert [line["count"] for line in logs.of("message_refused")] == [1, LOG_EVERY + 1]


def test_what_happens_between_honest_members_is_counted_and_not_logged(intake: Intake, logs: LogLines) -> None:
    intake.set_floor(11)
    data = ALICE.seal(Prevote(11, 0, HASH))
    assert intake.admit(data, "link") is not None
    assert intake.admit(data, "link") is None
    assert intake.admit(ALICE.seal(Prevote(10, 0, HASH)), "link") is None
    old = ALICE.seal(ALICE.heartbeat())
    assert intake.admit(ALICE.seal(ALICE.heartbeat()), "link") is not None
    assert intake.admit(old, "link") is None
    assert intake.refused() == {"duplicate": 1, "stale-height": 1, "replayed": 1}
    assert logs.lines == []


def test_an_offender_is_named_when_its_own_signature_proves_it(intake: Intake, logs: LogLines) -> None:
    assert intake.admit(force_seal(ALICE, BlockRequest(10, 0, "no hash", 1)), "link") is None
    (line,) = logs.of("message_refused")
    assert (line["reason"], line["peer"], line["log_level"], line["via"]) == ("bad-payload", 0, "error", "link")


def test_the_envelope_that_convicts_an_offender_is_kept_as_often_as_it_is_logged(
    intake: Intake, evidence: Path
) -> None:
    first, *others = (force_seal(ALICE, BlockRequest(10, 3, "no hash", 1)) for _ in range(LOG_EVERY + 1))
    for data in (first, *others):
        assert intake.admit(data, "link") is None
    kept = [json.loads(line) for line in evidence.read_text().splitlines()]
    assert [entry["envelopes"] for entry in kept] == [[first.hex()], [others[-1].hex()]]
    assert {(e["code"], e["member"], e["height"], e["round"]) for e in kept} == {("bad-payload", 0, 10, 3)}


def test_evidence_that_cannot_be_kept_is_told(logs: LogLines, tmp_path: Path) -> None:
    intake = Intake(FEDERATION.opener(), Clock(), logs.log, EvidenceLog(tmp_path / "missing" / "evidence.jsonl"))
    assert intake.admit(force_seal(ALICE, BlockRequest(10, 0, "no hash", 1)), "link") is None
    assert [line["peer"] for line in logs.of("evidence_not_kept")] == [0]


def test_who_brings_forgeries_is_told_by_its_link_and_not_by_whom_it_claims_to_be(
    intake: Intake, logs: LogLines, evidence: Path
) -> None:
    forged = Sealer(CHAIN, 0, 0, BOB.identity.secret, 1)
    for way in ("tcp://liar:1", "tcp://liar:1", "new-sig2"):
        assert intake.admit(forged.seal(Prevote(10, 0, HASH)), way) is None
    assert [(line["via"], line["claimed"], line["log_level"]) for line in logs.of("message_refused")] == [
        ("tcp://liar:1", 0, "warning"),
        ("new-sig2", 0, "warning"),
    ]
    assert not evidence.exists()


def test_who_is_only_claimed_to_have_sent_a_thing_is_not_named(intake: Intake, logs: LogLines) -> None:
    stranger = Sealer(CHAIN, 0, 2, BOB.identity.secret, 1)  # says it is member 2, and is not
    assert intake.admit(stranger.seal(Prevote(10, 0, HASH)), "link") is None
    assert intake.admit(Member(1, chain=bytes(32)).seal(Prevote(10, 0, HASH)), "link") is None
    forged, foreign = logs.of("message_refused")
    assert (forged["reason"], forged["claimed"], "peer" in forged) == ("bad-signature", 2, False)
    assert (foreign["reason"], foreign["claimed"], "peer" in foreign) == ("wrong-chain", 1, False)


def test_the_serials_of_the_newest_certificates_are_told(logs: LogLines, evidence: Path) -> None:
    newcomer = Intake(FEDERATION.opener(acquainted=False), Clock(), logs.log, EvidenceLog(evidence))
    assert newcomer.serials() == (0, 0, 0)
    assert newcomer.admit(CAROL.seal(CAROL.heartbeat()), "link") is not None
    assert newcomer.serials() == (0, 0, 1)
