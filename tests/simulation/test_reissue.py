"""Members that reissue on a virtual clock, under faults and lies: never twice, never another amount."""

from __future__ import annotations

import random
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from pathlib import Path

import msgspec
import pytest
import wallycore as wally

from fedsm.chains.script import parse_multisig
from fedsm.reissue.book import AssetBook
from fedsm.reissue.curve import supply_curves
from fedsm.reissue.custody import Custody
from fedsm.reissue.report import ledger_of
from fedsm.simulator.member import Member
from fedsm.simulator.papers import Paper
from fedsm.simulator.reissue import ReissueCluster
from fedsm.simulator.violation import Violation
from fedsm.simulator.wire import seal, signature_word
from fedsm.trace.recorder import Untraced
from signers.guard_codes import GuardError
from states.amounts import Inflation, amount_due
from states.effects import Effect
from states.events import DraftJudged, Event, ReissuePlanned
from states.messages import Message, ReissueDraft, ReissueSignature
from states.round import Round

PERIOD = 10
INFLATION = Inflation("20", PERIOD, 1000)
GOLD, SILVER = "a5" * 32, "b6" * 32
SUPPLIES = {GOLD: 10**14, SILVER: 3 * 10**13}


def cluster(n: int = 5, m: int = 3, **options: object) -> ReissueCluster:
    made = ReissueCluster(n, m, None, SUPPLIES, INFLATION, **options)
    made.start()
    return made


def done(sim: ReissueCluster, asset: str = GOLD, member: int = 0) -> list[tuple[int, Paper]]:
    """The reissuances of an asset in a member's chain, by height."""
    return [(height, paper) for height, paper in sim.assets(sim.members[member]).done if paper.asset == asset]


def periods(sim: ReissueCluster, asset: str = GOLD, member: int = 0) -> list[int]:
    return [paper.due_height for _, paper in done(sim, asset, member)]


def run_to_due_block(sim: ReissueCluster) -> Member:
    """Until some node has the block that makes reissuances due, to the millisecond; whose block it was."""
    sim.run_until_height(PERIOD - 1)
    end = sim.now_ms + 60_000
    while max(member.height for member in sim.members) < PERIOD:
        assert sim.now_ms < end, sim.describe()
        sim.run_for(1)
    author = next(member.chain[PERIOD] for member in sim.members if member.height == PERIOD)
    return sim.members[int(author[8:16], 16)]


class DiesIn(Untraced):
    """Ends a member when its machine of gold has entered a state, once so many more effects are carried out."""

    def __init__(self, member: Member, state: str, effects: int) -> None:
        self.member, self.state, self.effects = member, state, effects

    def step(self, core: Round, event: Event) -> list[Effect]:
        effects = core.step(event)
        machines = core.reissuances.machines if core.reissuances else {}
        if self.member.alive and GOLD in machines and machines[GOLD].state == self.state:
            self.member.crash_after = self.effects
            self.state = ""
        return effects


def test_every_period_every_asset_by_the_rule() -> None:
    sim = cluster()
    sim.run_until_height(5 * PERIOD + 3)
    supply = dict(SUPPLIES)
    for due in range(PERIOD, 6 * PERIOD, PERIOD):
        for asset in (GOLD, SILVER):
            supply[asset] += amount_due(INFLATION, due, supply[asset])
    for asset in (GOLD, SILVER):
        assert periods(sim, asset) == list(range(PERIOD, 6 * PERIOD, PERIOD))
        assert [height - paper.due_height for height, paper in done(sim, asset)] == [1] * 5
        assert sim.assets(sim.members[3]).supply[asset] == supply[asset]
    assert not sim.reports("reissuance-deferred")


@pytest.mark.parametrize("effects", [0, 1])
@pytest.mark.parametrize("state", ["Due", "Draft", "Collect", "Broadcast", "Confirm"])
def test_a_leader_that_dies_in_any_state_is_followed_by_the_next(state: str, effects: int) -> None:
    sim = cluster()
    leader = run_to_due_block(sim)
    if state == "Due":  # which a leader leaves at once when it knows what is due
        leader.crash()
    leader.trace = DiesIn(leader, state, effects)
    sim.run_until_height(PERIOD + 4)
    assert not leader.alive
    witness = (leader.index + 1) % 5
    assert periods(sim, GOLD, witness) == periods(sim, SILVER, witness) == [PERIOD]


def test_m_members_suffice_and_fewer_defer_with_an_alarm() -> None:
    sim = cluster()
    sim.run_until_height(PERIOD - 1)
    for index in (0, 1):
        sim.members[index].crash()
    sim.run_until_height(PERIOD + 3, limit_ms=120_000)
    assert periods(sim, GOLD, 2) == [PERIOD]
    sim = cluster()
    sim.run_until_height(PERIOD - 1)
    for member in sim.members[:3]:
        member.store.sign_draft = _no_token  # type: ignore[attr-defined]
    sim.run_until_height(PERIOD + 6)
    assert periods(sim) == []
    assert {index for index, _ in sim.reports("reissuance-deferred")} == set(range(5))
    assert sim.members[0].height >= PERIOD + 6  # blocks went on


def _no_token(*_: object) -> tuple[bytes, ...]:
    raise GuardError("bad-signature", "no token")


@pytest.mark.parametrize("points", [0, 1, 2, 3])
@pytest.mark.parametrize("index", [0, 1])
def test_power_cut_around_the_lock_never_leads_to_a_second_draft(index: int, points: int) -> None:
    """A member goes down while it locks its draft, and comes back while the others go on."""
    sim = cluster()
    sim.run_until_height(PERIOD)
    member = sim.members[index]
    member.store.cut_after = points
    sim.run_for(900)
    sim.restart(index)
    sim.run_until_height(2 * PERIOD + 3)
    assert periods(sim, GOLD) == [PERIOD, 2 * PERIOD]


def test_a_member_that_starts_late_takes_part_and_one_that_was_away_for_the_period_does_not_disturb() -> None:
    sim = cluster()
    sim.run_until_height(PERIOD - 2)
    sim.members[2].crash()
    sim.run_until_height(PERIOD + 4)
    sim.restart(2)
    sim.sync(2)
    sim.run_until_height(2 * PERIOD + 2)
    assert periods(sim, GOLD, 2) == [PERIOD, 2 * PERIOD]


def test_a_node_that_cannot_tell_what_is_due_leaves_it_to_the_others() -> None:
    sim = cluster()
    real = sim._plan

    def plan(member: Member, due_height: int) -> ReissuePlanned:
        return real(member, due_height) if member.index else ReissuePlanned(due_height, None, "no index")

    sim._plan = plan  # type: ignore[method-assign]
    sim.run_until_height(PERIOD + 6)
    assert periods(sim, GOLD) == [PERIOD]
    assert {index for index, _ in sim.reports("reissuance-not-planned")} == {0}


def test_a_confirmation_that_is_late_counts_and_a_lost_transaction_is_sent_again() -> None:
    sim = cluster()
    sim.run_until_height(PERIOD)
    sim.hides = {0, 1, 2, 3, 4}
    sim.run_until_height(PERIOD + 3)
    assert periods(sim) == []
    for index in range(5):
        sim.forget(index)
    sim.hides = set()
    sim.run_until_height(PERIOD + 5)
    assert periods(sim) == [PERIOD]
    assert not sim.reports("reissuance-deferred")


def test_what_confirms_after_its_time_is_not_made_again() -> None:
    """Deferred, still in the mempools, confirmed in the next period: that one counts as done then."""
    sim = cluster()
    sim.run_until_height(PERIOD)
    sim.hides = {0, 1, 2, 3, 4}
    sim.run_until_height(PERIOD + 7)
    assert {index for index, _ in sim.reports("reissuance-deferred")} == set(range(5))
    sim.hides = set()
    sim.run_until_height(3 * PERIOD + 3)
    assert periods(sim) == [PERIOD, 2 * PERIOD, 3 * PERIOD]


# --- lies


class Liar:
    """Speaks for a member whose machines are down."""

    def __init__(self, sim: ReissueCluster, index: int) -> None:
        self.sim, self.index = sim, index
        sim.members[index].crash()
        sim.watch.liars |= {index}
        self._copies = iter(range(10**9, 10**9 + 1000))

    def say(self, message: Message, to: list[int] | None = None) -> None:
        envelope = seal(self.index, message, next(self._copies))
        for member in self.sim.members:
            if to is None or member.index in to:
                self.sim.deliver_to(member, envelope)

    def draft(self, paper: Paper, to: list[int] | None = None) -> None:
        self.say(ReissueDraft(paper.due_height, 0, paper.asset, paper.id, paper.data), to)

    def sign(self, paper: Paper, word: bytes | None = None, to: list[int] | None = None) -> None:
        word = signature_word(self.index, paper.id) if word is None else word
        self.say(ReissueSignature(paper.due_height, 0, paper.asset, paper.id, paper.data, (word,)), to)


def at_due_height() -> tuple[ReissueCluster, Liar, Paper]:
    """The liar made the block, so it has the first turn: it speaks before any other member's draft."""
    sim = cluster()
    liar = Liar(sim, run_to_due_block(sim).index)
    witness = sim.members[(liar.index + 1) % 5]
    while witness.height < PERIOD:
        sim.run_for(1)
    return sim, liar, sim.paper(witness, PERIOD, GOLD)


def check_refused(sim: ReissueCluster, liar: Liar, code: str) -> None:
    sim.run_until_height(PERIOD + 4, limit_ms=120_000)
    honest = (liar.index + 1) % 5
    assert periods(sim, GOLD, honest) == [PERIOD]
    assert liar.index in {report.member for _, report in sim.reports(code)}
    assert {report.member for _, report in sim.reports(code)} == {liar.index}


@pytest.mark.parametrize("lie", ["more", "less", "elsewhere", "another token"])
def test_a_draft_that_is_not_the_rules_is_refused_and_the_next_member_makes_the_right_one(lie: str) -> None:
    sim, liar, paper = at_due_height()
    false = {
        "more": Paper(GOLD, PERIOD, paper.amount + 1, paper.outpoint),
        "less": Paper(GOLD, PERIOD, paper.amount - 1, paper.outpoint),
        "elsewhere": Paper(GOLD, PERIOD, paper.amount, paper.outpoint, "the liar"),
        "another token": Paper(GOLD, PERIOD, paper.amount, f"{GOLD}:1"),
    }[lie]
    liar.draft(false)
    liar.sign(false)
    check_refused(sim, liar, "draft-refused")


def test_members_that_do_not_judge_amounts_are_found_out_by_what_their_blocks_bring() -> None:
    sim, liar, paper = at_due_height()
    false = Paper(GOLD, PERIOD, paper.amount + 1, paper.outpoint)

    def judge(_: Member, judged: DraftJudged, draft: bytes) -> DraftJudged:
        found = msgspec.msgpack.decode(draft, type=Paper)
        return msgspec.structs.replace(judged, outpoint=found.locked_outpoint)

    sim._judge = judge  # type: ignore[method-assign]
    liar.draft(false)
    with pytest.raises(Violation, match="wrong-reissuance"):
        sim.run_until_height(PERIOD + 4)


def test_rival_drafts_are_reported_and_only_the_right_one_is_signed() -> None:
    sim, liar, paper = at_due_height()
    rival = Paper(GOLD, PERIOD, 2 * paper.amount, paper.outpoint)
    others = [i for i in range(5) if i != liar.index]
    liar.draft(paper, others[:2])
    liar.draft(rival, others[2:])
    sim.run_for(50)
    liar.draft(rival, others[:2])
    liar.draft(paper, others[2:])
    check_refused(sim, liar, "rival-drafts")


def test_a_signature_that_is_none_is_found_out_and_done_without() -> None:
    sim, liar, paper = at_due_height()
    liar.sign(paper, b"garbage")
    check_refused(sim, liar, "bad-reissue-signature")


def test_repeated_and_late_messages_inflate_nothing_twice() -> None:
    sim, liar, paper = at_due_height()
    for _ in range(3):
        liar.draft(paper)
        liar.sign(paper)
    sim.run_until_height(PERIOD + 3, limit_ms=120_000)
    for _ in range(3):
        liar.draft(paper)
        liar.sign(paper)
    sim.run_until_height(2 * PERIOD + 3, limit_ms=240_000)
    assert periods(sim, GOLD, (liar.index + 1) % 5) == [PERIOD, 2 * PERIOD]


# --- faults by chance


def strike(sim: ReissueCluster, choice: random.Random) -> None:
    """One fault, or the end of one."""
    member = choice.choice(sim.members)
    match choice.randint(0, 8):
        case 0 if member.alive:
            member.crash()
        case 1 | 2 if not member.alive:
            sim.restart(member.index)
        case 3:
            member.node_down = not member.node_down
        case 4:
            member.disk_full = not member.disk_full
        case 5:
            member.signer_down = not member.signer_down
        case 6:
            member.store.cut_after = choice.randint(0, 5)
        case 7:
            sim.forget(member.index)
        case _:
            sim.gossip()


@pytest.mark.parametrize("seed", range(8))
def test_under_random_faults_nothing_is_reissued_twice_or_otherwise(seed: int) -> None:
    """Lost and late messages, crashes, full disks, nodes and signers that go away; then quiet, and it goes on."""
    choice = random.Random(seed)
    sim = cluster(*choice.choice([(3, 2), (4, 3), (5, 3)]), seed=seed)
    sim.deliver = lambda *_: (choice.randint(1, 400),) * choice.choice([0, 1, 1, 1, 2])
    for _ in range(120):
        strike(sim, choice)
        sim.run_for(choice.randint(50, 700))
        sim.gossip()
    sim.deliver = lambda *_: (1,)
    for member in sim.members:
        member.node_down = member.signer_down = member.disk_full = False
        sim.restart(member.index)
    for _ in range(5):
        sim.gossip()
        sim.run_for(1000)
    height = max(member.height for member in sim.members)
    due = height - height % PERIOD + PERIOD
    sim.run_until_height(due + 4)
    assert periods(sim)[-1] == due
    sim.check_agreement()


# --- the ledger


def test_ledger_and_expected_curve_are_equal_to_the_satoshi_over_a_thousand_periods(tmp_path: Path) -> None:
    """What members reissued, as ``fedsm reissue ledger`` tells it, beside the rule in decimals of 60 digits."""
    periods_, start, interval_ms = 1000, 10**12, 30_000
    inflation = Inflation("0.05", 2, interval_ms)
    sim = ReissueCluster(2, 2, None, {GOLD: start}, inflation, heartbeats=False)
    sim.start()
    sim.run_until_height(2 * periods_ + 1, limit_ms=10**9)
    book = _book(sim, tmp_path / "assets.sqlite", start)
    entries = list(ledger_of(book, inflation, bytes.fromhex(GOLD)[::-1]))
    with localcontext(Context(prec=60)):
        growth = Decimal("1.05") ** (Decimal(2 * interval_ms) / 1000 / 31_536_000) - 1
        expected = [start]
        for _ in range(periods_):
            expected.append(expected[-1] + int((expected[-1] * growth).to_integral_value(ROUND_HALF_UP)))
    assert [entry.supply for entry in entries] == expected[1:]
    assert not [entry for entry in entries if entry.note]
    (curve,) = supply_curves(tmp_path / "assets.sqlite")
    assert [point.supply for point in curve.points] == expected[-len(curve.points) :]


def _book(sim: ReissueCluster, path: Path, start: int) -> AssetBook:
    """The book that a daemon would have of the simulated chain."""
    custody = Custody(
        "p2wsh",
        parse_multisig(
            bytes.fromhex(f"5121{bytes(wally.ec_public_key_from_private_key(bytes([1]) * 32)).hex()}51ae")
        ),
        bytes([2]) * 32,
    )
    book = AssetBook(path, "00" * 32, custody, bytes(32))
    asset, token = bytes.fromhex(GOLD)[::-1], bytes([7]) * 32
    with book._connection as connection:
        connection.executemany("INSERT INTO blocks VALUES (?, ?)", enumerate(sim.members[0].chain))
        connection.execute("INSERT INTO assets VALUES (?, ?, ?, 0)", (asset, token, bytes(32)))
        coin = (bytes(36), token, bytes(33), bytes(33))
        connection.execute("INSERT INTO coins VALUES (?, 0, NULL, ?, 1, ?, ?, NULL, NULL)", coin)
        connection.execute("INSERT INTO changes VALUES (0, ?, 'issuance', ?, ?)", (asset, start, bytes(32)))
        rows = [(height, asset, "reissuance", p.amount, bytes.fromhex(p.id)[::-1]) for height, p in done(sim)]
        connection.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", rows)
    return book
