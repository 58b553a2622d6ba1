"""Members' reissuances beside a node, order by order; and what plan and ledger say of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import wallycore as wally

from fedsm.chains.rpc import RpcError
from fedsm.chains.script import Multisig
from fedsm.chains.transaction import ELEMENTS, parse_transaction
from fedsm.devnet.script_types import address_of
from fedsm.reissue.blinding import Source, add_explicit, add_token_output, derive_secrets
from fedsm.reissue.config import ReissueConfig
from fedsm.reissue.issuance import Issue, make_issuance, tags_of
from fedsm.reissue.order import AssetTags
from fedsm.reissue.policy import MEANINGS
from fedsm.reissue.report import Plan, ledger_of, plan_of, units
from fedsm.reissue.service import ReissueService
from fedsm.reissue.setup import Schedule, open_schedule, reissue_signer
from fedsm.reissue.strategy import ReissueError
from signers.guard import Guard
from signers.software import SoftwareSigner, encode_wif, generate_key
from states.amounts import Inflation, amount_due
from states.effects import (
    CheckReissuance,
    CombineDraft,
    JudgeDraft,
    MakeDraft,
    PlanReissuance,
    SendReissuance,
    SignDraft,
)
from states.events import (
    DraftCombined,
    DraftJudged,
    DraftMade,
    DraftSigned,
    ReissuanceSeen,
    ReissuanceSent,
    ReissueEvent,
    ReissuePlanned,
)
from states.memory import DraftLocked
from tests.miner import OP_TRUE, P2WSH_TRUE, Miner, mining
from tests.unit.cli_runner import CommandLine

pytestmark = pytest.mark.one_chain  # it is about Elements; Ocean has test_reissue_ocean.py

PERIOD = 4
INFLATION = Inflation("50", PERIOD, 60_000)
# New in each process: a guard holds its key on this machine.
KEYS = [generate_key() for _ in range(3)]
SCRIPT = Multisig(2, tuple(SoftwareSigner(key).public_key for key in KEYS))
DESTINATION = b"\x00\x14" + bytes(range(20))
ADDRESS = "ert1qqqqsyqcyq5rqwzqfpg9scrgwpugpzysn9hc38w"
OTHER_ADDRESS = str(address_of(b"\x00\x14" + bytes(20)))
CONFIG = ReissueConfig(INFLATION, ADDRESS, SCRIPT)


@pytest.fixture
def miner(kind: str, tmp_path: Path) -> Iterator[Miner]:
    with mining(kind, tmp_path) as opened:
        yield opened


def schedule_of(miner: Miner, config: ReissueConfig = CONFIG) -> Schedule:
    return open_schedule(config, miner.rpc, miner.chain, miner.chain.hash_at(0), None)


def issue(miner: Miner, amount: int = 10**13, fee_coins: tuple[int, ...] = (100_000,)) -> AssetTags:
    funding = miner.funding()
    custody = schedule_of(miner).custody
    miner.send(make_issuance(Issue(amount, DESTINATION, 7, fee_coins), funding, custody))
    return tags_of(funding.outpoint)


def mine_to(miner: Miner, height: int) -> None:
    while miner.chain.tip().height < height:
        miner.mine()


@dataclass
class Desk:
    """One member's service with a guard of its own."""

    service: ReissueService
    guard: Guard

    def ask(self, order: object) -> ReissueEvent:
        return self.service.serve(order)  # type: ignore[arg-type]


@pytest.fixture
def desks(miner: Miner, tmp_path: Path) -> Iterator[list[Desk]]:
    made = []
    for number, key in enumerate(KEYS):
        made.append(desk(miner, tmp_path / f"guard{number}", key))
    yield made
    for one in made:
        one.guard.close()


def desk(miner: Miner, path: Path, key: bytes, config: ReissueConfig = CONFIG) -> Desk:
    signer = SoftwareSigner(key)
    guard = Guard.open(path, miner.chain.hash_at(0), signer.public_key)
    guard.restore(1)
    schedule = schedule_of(miner, config)
    signer = reissue_signer(replace(config, key=encode_wif(key, 239)), None)
    service = ReissueService(schedule.strategy, SCRIPT, schedule.rate, schedule.policy, guard, signer)
    return Desk(service, guard)


def drafted(one: Desk, due: int, asset: str) -> DraftLocked:
    made = one.ask(MakeDraft(due, asset))
    assert isinstance(made, DraftMade)
    assert made.draft is not None, made.reason
    return made.draft


def signed(one: Desk, draft: DraftLocked) -> tuple[bytes, ...]:
    one.guard.record([draft])
    given = one.ask(SignDraft(draft.due_height, draft.asset, draft.draft_id, draft.draft))
    assert isinstance(given, DraftSigned)
    assert given.signatures is not None, given.reason
    return given.signatures


def test_members_plan_draft_judge_sign_and_send_alike(miner: Miner, desks: list[Desk]) -> None:
    tags = issue(miner)
    asset = tags.asset[::-1].hex()
    mine_to(miner, PERIOD)
    amount = amount_due(INFLATION, PERIOD, 10**13)
    plans = [one.ask(PlanReissuance(PERIOD)) for one in desks]
    assert len({str(plan) for plan in plans}) == 1
    [item] = plans[0].items  # type: ignore[union-attr]
    assert (item.asset, item.amount, item.confirmed, item.objection) == (asset, amount, False, "")
    mine_to(miner, PERIOD + 1)  # whoever comes a block later makes the same draft
    draft = drafted(desks[0], PERIOD, asset)
    assert drafted(desks[2], PERIOD, asset) == draft
    order = JudgeDraft(PERIOD, asset, draft.draft_id, 1, draft.draft)
    judged = desks[1].ask(order)
    assert judged == DraftJudged(PERIOD, asset, draft.draft_id, 1, "valid", draft.outpoint)
    given = tuple((member, signed(desks[member], draft)) for member in (0, 2))
    spoilt = (*given, (1, (given[0][1][0], given[1][1][1])))
    combined = desks[1].ask(CombineDraft(PERIOD, asset, draft.draft_id, draft.draft, spoilt))
    assert combined == DraftCombined(PERIOD, asset, draft.draft_id, None, (1,))
    combined = desks[1].ask(CombineDraft(PERIOD, asset, draft.draft_id, draft.draft, given))
    assert isinstance(combined, DraftCombined)
    assert combined.transaction is not None
    send = SendReissuance(PERIOD, asset, draft.draft_id, combined.transaction)
    check = CheckReissuance(PERIOD, asset)
    assert desks[0].ask(check) == ReissuanceSeen(PERIOD, asset, "absent", "")
    assert desks[1].ask(send) == ReissuanceSent(PERIOD, asset, draft.draft_id, "accepted", "")
    assert desks[2].ask(send).outcome in ("accepted", "duplicate")  # type: ignore[union-attr]
    assert desks[0].ask(check) == ReissuanceSeen(PERIOD, asset, "pending", "")
    miner.mine()
    txid = parse_transaction(combined.transaction).txid[::-1].hex()
    seen = ReissuanceSeen(PERIOD, asset, "confirmed", f"block {PERIOD + 2}, transaction {txid}")
    assert desks[0].ask(check) == seen
    assert desks[0].ask(send).outcome == "duplicate"  # type: ignore[union-attr]
    [item] = desks[0].ask(PlanReissuance(PERIOD)).items  # type: ignore[union-attr]
    assert item.confirmed
    schedule = schedule_of(miner)
    schedule.strategy.follow()
    mine_to(miner, 2 * PERIOD + 3)
    schedule.strategy.follow()
    first, second = ledger_of(schedule.strategy.book, INFLATION, tags.asset)
    assert (first.period, first.height, first.amount, first.supply) == (PERIOD, PERIOD + 2, amount, 10**13 + amount)
    assert (first.txid, first.note) == (txid, "")
    assert (second.period, second.amount, second.note) == (2 * PERIOD, None, "nothing was reissued in this period")


def test_a_member_that_would_draft_otherwise_is_not_followed(miner: Miner, desks: list[Desk]) -> None:
    asset = issue(miner).asset[::-1].hex()
    mine_to(miner, PERIOD)
    for changes, code in (
        ({"inflation": Inflation("51", PERIOD, 60_000)}, "wrong-amount"),
        ({"address": OTHER_ADDRESS}, "wrong-destination"),
        ({"fee_rate": 200}, "another-draft"),
        ({"fee_rate": 20_000}, "fee"),
    ):
        config = replace(CONFIG, **changes)  # type: ignore[arg-type]
        strategy = schedule_of(miner, config).strategy
        draft = strategy.draft(PERIOD, asset)
        judged = desks[1].ask(JudgeDraft(PERIOD, asset, draft.draft_id, 1, draft.draft))
        assert isinstance(judged, DraftJudged)
        assert (judged.verdict, judged.reason.partition(":")[0]) == ("invalid", code), judged
    honest = drafted(desks[0], PERIOD, asset)
    judged = desks[1].ask(JudgeDraft(PERIOD, asset, "00" * 32, 1, honest.draft))
    assert judged.reason.startswith("wrong-id: ")  # type: ignore[union-attr]


def test_a_token_that_is_moved_ends_the_period_and_serves_the_next(miner: Miner, desks: list[Desk]) -> None:
    asset = issue(miner).asset[::-1].hex()
    mine_to(miner, PERIOD)
    stale = drafted(desks[0], PERIOD, asset)
    given = tuple((member, signed(desks[member], stale)) for member in (0, 2))
    combined = desks[1].ask(CombineDraft(PERIOD, asset, stale.draft_id, stale.draft, given))
    assert isinstance(combined, DraftCombined)
    assert combined.transaction is not None
    moved = move_token(miner, stale)
    miner.mine()
    seen = desks[0].ask(CheckReissuance(PERIOD, asset))
    assert seen == ReissuanceSeen(PERIOD, asset, "absent", f"the token was moved in block {PERIOD + 1}")
    desks[0].ask(SendReissuance(PERIOD, asset, stale.draft_id, combined.transaction))
    mine_to(miner, 2 * PERIOD)
    strategy = schedule_of(miner).strategy
    strategy.follow()
    assert [change.kind for change in strategy.book.changes(bytes.fromhex(asset)[::-1])] == ["issuance"]
    [item] = desks[1].ask(PlanReissuance(2 * PERIOD)).items  # type: ignore[union-attr]
    assert (item.confirmed, item.objection) == (False, "")
    fresh = drafted(desks[0], 2 * PERIOD, asset)
    assert fresh.outpoint == f"{moved}:0"
    judged = desks[1].ask(JudgeDraft(2 * PERIOD, asset, fresh.draft_id, 0, fresh.draft))
    assert judged.verdict == "valid"  # type: ignore[union-attr]


def move_token(miner: Miner, draft: DraftLocked) -> str:
    """The federation's keys pay its token to its own script, outside fedsm; returns the transaction's id."""
    strategy, custody = schedule_of(miner).strategy, schedule_of(miner).custody
    strategy.follow()
    coins = [found.outpoint for found in parse_transaction(draft.draft).inputs]
    _, token, fee_coin = strategy._order(draft.due_height, draft.asset)  # type: ignore[attr-defined]
    held, policy = token.holds, miner.funding().policy_asset
    handle = wally.tx_init(2, 0, 2, 3)
    for outpoint in coins:
        index = int.from_bytes(outpoint[32:], "little")
        wally.tx_add_elements_raw_input(handle, outpoint[:32], index, 0xFFFFFFFD, *(None,) * 9, 0)
    secrets = derive_secrets(custody, b"moved/1", token.outpoint)
    sources = [Source(held.asset, held.asset_blinder), Source(policy)]
    add_token_output(handle, custody, held.asset, held.value, held, secrets, sources)
    add_explicit(handle, policy, fee_coin.satoshi - 2000, custody.script_pubkey)
    add_explicit(handle, policy, 2000, None)
    data = bytes(wally.tx_to_bytes(handle, wally.WALLY_TX_FLAG_USE_WITNESS | ELEMENTS))
    digests = strategy.digests(data)
    signers = [SoftwareSigner(key) for key in KEYS[:2]]
    signatures = [{i: signer.sign_block(digest, b"") for i, signer in enumerate(signers)} for digest in digests]
    return miner.send(strategy.complete(data, signatures)).txid[::-1].hex()


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ({"assets": frozenset({"ab" * 32})}, "policy-asset"),
        ({"max_rate": INFLATION.years}, "policy-rate"),
        ({"max_amount": 1}, "policy-amount"),
        ({"only_address": OTHER_ADDRESS}, "policy-destination"),
    ],
)
def test_beyond_its_operators_limits_a_member_signs_nothing(
    miner: Miner, tmp_path: Path, limit: dict[str, object], code: str
) -> None:
    asset = issue(miner).asset[::-1].hex()
    mine_to(miner, PERIOD)
    config = replace(CONFIG, **limit)  # type: ignore[arg-type]
    one = desk(miner, tmp_path / "guard", KEYS[0], config)
    [item] = one.ask(PlanReissuance(PERIOD)).items  # type: ignore[union-attr]
    assert item.objection.startswith(f"{code}: ")
    draft = schedule_of(miner).strategy.draft(PERIOD, asset)
    judged = one.ask(JudgeDraft(PERIOD, asset, draft.draft_id, 1, draft.draft))
    assert isinstance(judged, DraftJudged)
    assert (judged.verdict, judged.reason.partition(":")[0]) == ("invalid", code)
    assert code in MEANINGS
    one.guard.close()


def test_a_guard_made_in_the_middle_of_a_period_signs_nothing_in_it(miner: Miner, tmp_path: Path) -> None:
    issue(miner)
    mine_to(miner, PERIOD + 1)
    guard = Guard.open(tmp_path / "guard", miner.chain.hash_at(0), SoftwareSigner(KEYS[0]).public_key)
    guard.restore(PERIOD + 2)
    schedule = schedule_of(miner)
    service = ReissueService(
        schedule.strategy, SCRIPT, schedule.rate, schedule.policy, guard, SoftwareSigner(KEYS[0])
    )
    [item] = service.serve(PlanReissuance(PERIOD)).items  # type: ignore[union-attr]
    assert item.objection.startswith("guard-new: ")
    guard.close()


def test_a_node_behind_is_asked_again(miner: Miner, desks: list[Desk]) -> None:
    asset = issue(miner).asset[::-1].hex()
    planned = desks[0].ask(PlanReissuance(PERIOD))
    assert planned == ReissuePlanned(PERIOD, None, f"our node is at height 0, before {PERIOD}")
    judged = desks[0].ask(JudgeDraft(PERIOD, asset, "00" * 32, 1, b"draft"))
    assert judged.verdict == "unavailable"  # type: ignore[union-attr]


# --- the dry run


def plan(miner: Miner, config: ReissueConfig = CONFIG) -> Plan:
    return plan_of(schedule_of(miner, config))


def test_the_plan_says_what_is_due_and_why(miner: Miner) -> None:
    tags = issue(miner)
    mine_to(miner, 2)
    found = plan(miner)
    assert (found.height, found.due_height, found.missing) == (2, PERIOD, ())
    [planned] = found.assets
    assert (planned.asset, planned.supply) == (tags.asset[::-1].hex(), 10**13)
    assert planned.amount == amount_due(INFLATION, PERIOD, 10**13)
    assert planned.why == "100000.00000000 * ((1 + 50)^(1/131400 of a year) - 1)"
    assert planned.token is not None
    assert planned.fee_coin is not None
    assert found.is_complete


def test_the_plan_names_what_is_missing(miner: Miner) -> None:
    mine_to(miner, 1)
    [text] = plan(miner).missing
    assert text == f"no reissuance token is on the script: send it to {schedule_of(miner).address}"
    unknown = "ab" * 32
    found = plan(miner, replace(CONFIG, assets=frozenset({unknown})))
    assert f"asset {unknown} of [reissuance]: no issuance of asset {unknown} is in the chain" in found.missing
    issue(miner, fee_coins=())
    miner.mine()
    [planned] = plan(miner).assets
    assert planned.missing[0].startswith("there is no coin for its fee: pay one of the policy asset, unblinded")
    [free] = plan(miner, replace(CONFIG, fee_rate=0)).assets
    assert free.missing == ()


def test_the_plan_tells_of_an_unblinded_token_and_how_to_make_a_blinded_one(miner: Miner) -> None:
    """As the node's own issueasset makes it with blind=false, paid to the script."""
    funding = miner.funding(script=P2WSH_TRUE)
    tags = tags_of(funding.outpoint)
    custody = schedule_of(miner).custody
    handle = wally.tx_init(2, 0, 1, 4)
    index = int.from_bytes(funding.outpoint[32:], "little") | 1 << 31
    values = (b"\x01" + (10**10).to_bytes(8, "big"), b"\x01" + (3).to_bytes(8, "big"))
    issuance = (bytes(32), bytes(32), *values, None, None, None, 0)
    wally.tx_add_elements_raw_input(handle, funding.outpoint[:32], index, 0xFFFFFFFF, None, None, *issuance)
    add_explicit(handle, tags.asset, 10**10, DESTINATION)
    add_explicit(handle, tags.token, 3, custody.script_pubkey)
    add_explicit(handle, funding.policy_asset, funding.satoshi - 2000, custody.script_pubkey)
    add_explicit(handle, funding.policy_asset, 2000, None)
    with pytest.raises(RpcError, match="bad-txns-in-ne-out"):  # an issuance without any witness
        miner.send(bytes(wally.tx_to_bytes(handle, wally.WALLY_TX_FLAG_USE_WITNESS)))
    stack = wally.tx_witness_stack_init(1)
    wally.tx_witness_stack_add(stack, OP_TRUE)
    wally.tx_set_input_witness(handle, 0, stack)
    sent = miner.send(bytes(wally.tx_to_bytes(handle, wally.WALLY_TX_FLAG_USE_WITNESS)))
    miner.mine()
    [planned] = plan(miner).assets
    [text] = planned.missing
    assert f"{tags.token[::-1].hex()} is unblinded in {sent.txid[::-1].hex()}:1" in text
    assert "Elements reissues from blinded token outputs only" in text
    assert text.endswith(f"send it to the confidential address {schedule_of(miner).address}")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"address": "2dZRkPXcFDDpCrBvmjTLWhWvvDRDNGGTfpA"}, "is not an address of this chain"),
        ({"only_address": "nowhere"}, "[reissuance] destination nowhere is not an address of this chain"),
    ],
)
def test_addresses_of_another_chain_are_refused(miner: Miner, changes: dict[str, str], line: str) -> None:
    with pytest.raises(ReissueError, match=line.replace("[", r"\[").replace("]", r"\]")):
        schedule_of(miner, replace(CONFIG, **changes))  # type: ignore[arg-type]


def test_a_key_that_is_not_in_the_script_is_refused() -> None:
    stranger = SoftwareSigner(bytes([9] * 32))
    with pytest.raises(ReissueError, match=f"the reissuance key {stranger.public_key.hex()} is not in the"):
        reissue_signer(replace(CONFIG, key=encode_wif(bytes([9] * 32), 239)), None)
    with pytest.raises(ReissueError, match="no reissuance key: give --reissuanceprivkey"):
        reissue_signer(CONFIG, stranger)
    with pytest.raises(ReissueError, match="neither WIF"):
        reissue_signer(replace(CONFIG, key="secret"), None)
    assert reissue_signer(CONFIG, SoftwareSigner(KEYS[1])).public_key == SCRIPT.public_keys[1]


# --- the commands


def command_line(miner: Miner, *more: str) -> list[str]:
    address = miner.address
    return [
        *("--rpcport", str(address.port), "--rpccookiefile", str(address.cookie_file), "--blocktime", "60"),
        *("--inflationrate", INFLATION.rate, "--inflationperiod", str(PERIOD), "--inflationaddress", ADDRESS),
        *("--reissuancescript", SCRIPT.script.hex(), *more),
    ]


def test_plan_prints_what_is_due_and_fails_when_something_is_missing(
    miner: Miner, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = CommandLine(monkeypatch)
    asset = issue(miner).asset[::-1].hex()
    miner.mine()
    result = command.invoke("reissue", "plan", *command_line(miner))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert "next due      height 4, in 3 blocks" in lines
    assert f"asset         {asset}" in lines
    assert f"amount        {units(amount_due(INFLATION, PERIOD, 10**13))}" in lines
    as_json = json.loads(command.invoke("reissue", "plan", "--json", *command_line(miner)).stdout)
    assert (as_json["due_height"], as_json["assets"][0]["asset"]) == (PERIOD, asset)
    stranger = encode_wif(bytes([9] * 32), 239)
    result = command.invoke("reissue", "plan", *command_line(miner, "--reissuanceprivkey", stranger))
    assert result.exit_code == 1
    assert "is not in the reissuance script" in result.stdout
    assert stranger not in result.output


def test_a_wrong_schedule_ends_the_plan_with_one_line(miner: Miner, monkeypatch: pytest.MonkeyPatch) -> None:
    command = CommandLine(monkeypatch)
    for wrong, line in (
        (("--inflationaddress", "nowhere"), "--inflationaddress nowhere is not an address of this chain"),
        (("--inflationrate", "0"), "there is no reissuance schedule: --inflationrate is 0"),
        (("--inflationperiod", "0"), "--inflationperiod 0: a period has at least 2 blocks"),
    ):
        assert command.refusal("reissue", "plan", *command_line(miner, *wrong)) == line


def test_the_ledger_lists_periods_and_names_differences(
    miner: Miner, desks: list[Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = CommandLine(monkeypatch)
    asset = issue(miner).asset[::-1].hex()
    mine_to(miner, PERIOD)
    draft = drafted(desks[0], PERIOD, asset)
    given = tuple((member, signed(desks[member], draft)) for member in (0, 1))
    combined = desks[0].ask(CombineDraft(PERIOD, asset, draft.draft_id, draft.draft, given))
    miner.send(combined.transaction or b"")  # type: ignore[union-attr]
    mine_to(miner, PERIOD + 2)
    amount = units(amount_due(INFLATION, PERIOD, 10**13))
    result = command.invoke("reissue", "ledger", *command_line(miner))
    assert result.exit_code == 0, result.output
    assert "1 periods, no differences from the rule" in result.stdout
    mine_to(miner, 2 * PERIOD + 2)
    result = command.invoke("reissue", "ledger", "--csv", *command_line(miner))
    assert result.exit_code == 1
    head, first, second = csv.reader(result.stdout.splitlines())
    assert head == ["asset", "period", "height", "txid", "amount", "supply after", "rule", "difference"]
    assert first == [
        *(asset, "4", "5", draft.draft_id, amount, units(10**13 + amount_due(INFLATION, PERIOD, 10**13))),
        *(amount, ""),
    ]
    assert second[1:5] == ["8", "", "", ""]
    assert second[-1] == "nothing was reissued in this period"
