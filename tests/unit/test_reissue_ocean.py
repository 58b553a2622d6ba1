"""Reissuance on Ocean, against the recorded answers and blocks of real nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedsm.chains.header import parse_block
from fedsm.chains.script import parse_multisig
from fedsm.chains.transaction import parse_transaction
from fedsm.reissue.book import AssetBook
from fedsm.reissue.config import default_blinding_key
from fedsm.reissue.custody import Custody
from fedsm.reissue.issuance import tags_of
from fedsm.reissue.multisign import signature_digests, with_signatures
from fedsm.reissue.ocean import OceanReissue
from fedsm.reissue.ocean_draft import make_ocean_draft, ocean_refusal
from fedsm.reissue.order import AssetTags, FeeCoin, Order
from fedsm.reissue.strategy import ReissueError
from signers.ecdsa import verify_der
from states.amounts import Inflation, Unfrozen, amount_due

VECTORS = Path(__file__).parents[1] / "vectors" / "ocean"
DERIVED = json.loads((VECTORS / "derived_tx_vectors.json").read_text())


def rows_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=Decimal) for line in (VECTORS / name).read_text().splitlines()]


ISSUANCE, LATER = rows_of("issuance.jsonl"), rows_of("reissue_confirm_and_freeze.jsonl")
SCRIPT = parse_multisig(bytes.fromhex(ISSUANCE[0]["redeemscript"]))
CUSTODY = Custody("p2sh", SCRIPT, default_blinding_key(SCRIPT))
TOKEN_ADDRESS = "XQ2hNjJLyFX5sqSGjujchCeCjNDFsWmsEN"
[CREATED] = [row for row in ISSUANCE if row["seq"] == 38]
TAGS = AssetTags(bytes.fromhex(DERIVED["issuance"]["entropy"])[::-1])
ASSET = DERIVED["issuance"]["asset"]
DRAFT = bytes.fromhex(CREATED["response"]["result"]["hex"])
TOKEN = FeeCoin(bytes.fromhex(CREATED["params"][4])[::-1] + (1).to_bytes(4, "little"), 10_000 * 10**8)
DESTINATION = parse_transaction(DRAFT).outputs[0].script
ORDER = Order(TAGS, 20, 12_345_678, DESTINATION)


# --- transactions


def test_tags_are_those_of_the_issuance() -> None:
    told = DERIVED["issuance"]
    outpoint = bytes.fromhex(told["prevout_txid"])[::-1] + told["prevout_n"].to_bytes(4, "little")
    assert tags_of(outpoint) == TAGS
    assert (TAGS.asset[::-1].hex(), TAGS.token[::-1].hex()) == (told["asset"], told["token"])


def test_our_draft_is_that_of_createrawreissuance_byte_for_byte() -> None:
    assert make_ocean_draft(ORDER, TOKEN, CUSTODY.script_pubkey) == DRAFT
    assert len({row["response"]["result"]["hex"] for row in ISSUANCE if row["seq"] in (38, 39, 40)}) == 1


def test_the_recorded_signatures_verify_and_are_put_together_to_the_same_bytes() -> None:
    told = DERIVED["reissuance"]
    [digest] = signature_digests(DRAFT, [b""], CUSTODY)
    assert digest.hex() == told["sighash"]
    signatures = {0: bytes.fromhex(told["sig0"])[:-1], 1: bytes.fromhex(told["sig1"])[:-1]}
    assert all(verify_der(SCRIPT.public_keys[i], digest, der) for i, der in signatures.items())
    complete = with_signatures(DRAFT, [signatures], CUSTODY)
    assert complete.hex() == told["hex"]
    assert parse_transaction(complete).txid[::-1].hex() == told["txid"]
    [combined] = [row for row in ISSUANCE if row.get("kind") == "combined"]
    assert complete.hex() == combined["hex"]


@pytest.mark.parametrize("seq", [42, 43, 44])
def test_each_members_partial_signature_is_of_its_key(seq: int) -> None:
    [row] = [row for row in ISSUANCE if row["seq"] == seq]
    script = parse_transaction(bytes.fromhex(row["response"]["result"]["hex"])).inputs[0].script_sig
    der = script[2 : 2 + script[1]][:-1]
    [digest] = signature_digests(DRAFT, [b""], CUSTODY)
    assert [verify_der(key, digest, der) for key in SCRIPT.public_keys].index(True) == seq - 42


def test_drafts_that_are_not_ours_are_told_apart() -> None:
    script = CUSTODY.script_pubkey
    assert ocean_refusal(DRAFT, ORDER, TOKEN, script) is None
    other_script = b"\xa9\x14" + bytes(20) + b"\x87"
    other_token = FeeCoin(TOKEN.outpoint[:32] + bytes(4), TOKEN.satoshi)
    for draft, code in (
        (make_ocean_draft(replace(ORDER, amount=12_345_679), TOKEN, script), "wrong-amount"),
        (make_ocean_draft(replace(ORDER, destination=other_script), TOKEN, script), "wrong-destination"),
        (make_ocean_draft(replace(ORDER, tags=AssetTags(bytes(32))), TOKEN, script), "wrong-entropy"),
        (make_ocean_draft(ORDER, TOKEN, other_script), "token-return"),
        (make_ocean_draft(ORDER, FeeCoin(TOKEN.outpoint, TOKEN.satoshi - 1), script), "token-return"),
        (make_ocean_draft(ORDER, other_token, script), "token-input"),
        (bytes.fromhex(DERIVED["reissuance"]["hex"]), "already-signed"),
        (DRAFT[:-4] + b"\x01\x00\x00\x00", "locktime"),
        (DRAFT.replace(b"\x80\x00\xff\xff\xff\xff", b"\x80\x00\xfd\xff\xff\xff"), "another-draft"),
        (b"", "undecodable"),
        (bytes(30_000), "undecodable"),
    ):
        refusal = ocean_refusal(draft, ORDER, TOKEN, script)
        assert refusal is not None, code
        assert refusal.code == code


# --- a node that answers as recorded


class Node:
    """The recorded blocks from 20 on, and what the nodes said at the tip that is set."""

    def __init__(self) -> None:
        mined = [row for row in ISSUANCE + LATER if row.get("kind") == "mined"]
        self.blocks = {row["height"]: parse_block(bytes.fromhex(row["hex"]), layout="ocean") for row in mined}
        self.height = 20
        self.asked: list[str] = []
        self.history: list[dict[str, Any]] = []
        self.report = self._report(ISSUANCE, 33)
        self.lost = False

    def _report(self, rows: list[dict[str, Any]], seq: int) -> list[dict[str, Any]]:
        [row] = [row for row in rows if row["seq"] == seq]
        return list(row["response"]["result"])

    def thaw(self) -> None:
        """The state after block 28: an output frozen in block 24 and unfrozen in 28."""
        self.height = 28
        self.report, self.history = self._report(LATER, 18), self._report(LATER, 15)

    # as a ChainReader

    def tip(self) -> SimpleNamespace:
        return SimpleNamespace(height=self.height)

    def hash_at(self, height: int) -> str:
        return self.blocks[height].header.hash

    def block(self, block_hash: str) -> Any:
        return next(block for block in self.blocks.values() if block.header.hash == block_hash)

    # as an RpcCaller

    def call(self, method: str, params: Any = (), *, timeout_ms: int | None = None) -> Any:  # noqa: ARG002
        self.asked.append(method)
        match method:
            case "getbestblockhash":
                return self.hash_at(self.height)
            case "getutxoassetinfo":
                lost = {"entropy": "null", "token": "null"} if self.lost else {}
                return [{**entry, **lost} for entry in self.report]
            case "getfreezehistory":
                return self.history
            case "createrawreissuance":
                [paid, amount, back, tokens, txid, index, entropy] = params
                assert (paid, back, tokens) == (CREATED["params"][0], TOKEN_ADDRESS, "10000.00000000")
                tags = AssetTags(bytes.fromhex(entropy)[::-1])
                token = FeeCoin(bytes.fromhex(txid)[::-1] + int(index).to_bytes(4, "little"), TOKEN.satoshi)
                order = Order(tags, 0, int(Decimal(amount) * 10**8), DESTINATION)
                return {"hex": make_ocean_draft(order, token, CUSTODY.script_pubkey).hex()}
        raise AssertionError(method)


def strategy_of(node: Node, period: int, file: Path | None = None) -> OceanReissue:
    book = AssetBook(None, "00" * 32, CUSTODY, bytes(32), first_height=20)
    inflation = Inflation("0.5", period, 60_000)
    paid = CREATED["params"][0]
    return OceanReissue(node, node, book, CUSTODY, inflation, DESTINATION, TOKEN_ADDRESS, paid, file)  # type: ignore[arg-type]


def test_the_book_reads_recorded_ocean_blocks() -> None:
    node = Node()
    node.thaw()
    strategy = strategy_of(node, 100)
    strategy.follow()
    book = strategy.book
    assert [(c.height, c.kind, c.amount) for c in book.changes(TAGS.asset)] == [
        (20, "issuance", 1000 * 10**8),
        (22, "reissuance", 12_345_678),
    ]
    assert book.open_token(TAGS.token, 20) == TOKEN.outpoint
    reissued = bytes.fromhex(DERIVED["reissuance"]["txid"])[::-1]
    assert book.open_token(TAGS.token, 21) == TOKEN.outpoint
    assert book.open_token(TAGS.token, 22) == reissued + (1).to_bytes(4, "little")


def test_what_is_due_follows_from_the_nodes_report_at_the_due_height() -> None:
    node = Node()
    strategy = strategy_of(node, 20)
    [due] = strategy.due(20)
    assert (due.asset, due.supply, due.confirmed, due.obstacle) == (ASSET, 1000 * 10**8, "", "")
    assert due.amount == amount_due(Inflation("0.5", 20, 60_000), 20, 1000 * 10**8)
    draft = strategy.draft(20, ASSET)
    assert draft.outpoint == f"{CREATED['params'][4]}:1"
    assert parse_transaction(draft.draft).inputs[0].issuance is not None
    assert strategy.refusal(20, ASSET, draft.draft_id, draft.draft) is None
    refusal = strategy.refusal(20, ASSET, "00" * 32, draft.draft)
    assert refusal is not None
    assert refusal.code == "wrong-id"
    assert strategy.coins(20, ASSET) == (draft.outpoint, None)


def test_an_unfrozen_output_is_paid_what_it_missed() -> None:
    node = Node()
    node.thaw()
    strategy = strategy_of(node, 4)
    [due] = strategy.due(28)
    back_pay = Unfrozen(99_989_800_000, 24, 28)
    assert (due.supply, due.unfrozen) == (100_012_145_678, (back_pay,))
    assert due.amount == amount_due(Inflation("0.5", 4, 60_000), 28, 100_012_145_678, [back_pay])
    assert due.amount > amount_due(Inflation("0.5", 4, 60_000), 28, 100_012_145_678)


def test_the_amount_stays_what_it_was_at_the_due_height_also_after_a_restart(tmp_path: Path) -> None:
    node, file = Node(), tmp_path / "facts.json"
    first = strategy_of(node, 20, file)
    [before] = first.due(20)
    node.height = 22
    node.report = []
    again = strategy_of(node, 20, file)
    [after] = again.due(20)
    assert (after.supply, after.amount) == (before.supply, before.amount)
    assert after.confirmed.startswith("block 22, transaction ")


def test_who_was_not_there_at_the_due_height_cannot_tell_the_amount_any_more() -> None:
    node = Node()
    node.height = 22
    [due] = strategy_of(node, 20).due(20)
    assert due.obstacle.startswith("our node was not asked while block 20 was its tip")


def test_an_answer_given_while_the_tip_moved_is_not_kept() -> None:
    node = Node()
    strategy = strategy_of(node, 20)
    real = node.call

    def moving(method: str, params: Any = (), *, timeout_ms: int | None = None) -> Any:
        answer = real(method, params, timeout_ms=timeout_ms)
        if method == "getfreezehistory":
            node.height = 21
        return answer

    node.call = moving  # type: ignore[method-assign]
    [due] = strategy.due(20)
    assert due.obstacle.startswith("our node was not asked")


def test_a_node_that_lost_its_freeze_history_is_named() -> None:
    node = Node()
    node.lost = True
    [due] = strategy_of(node, 20).due(20)
    assert due.obstacle.endswith("start it once with -rescan=1 and -recordinflation=1")


def test_a_node_whose_draft_is_not_what_it_should_be_is_not_believed() -> None:
    node = Node()
    strategy = strategy_of(node, 20)
    real = node.call

    def lying(method: str, params: Any = (), *, timeout_ms: int | None = None) -> Any:
        if method == "createrawreissuance":
            return {"hex": DRAFT.hex()}
        return real(method, params, timeout_ms=timeout_ms)

    node.call = lying  # type: ignore[method-assign]
    with pytest.raises(ReissueError, match="createrawreissuance gave another transaction than it should"):
        strategy.draft(20, ASSET)


def test_a_damaged_file_of_facts_is_as_good_as_none(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    for content in ("[]", "{", '{"20": 5}'):
        file.write_text(content)
        node = Node()
        [due] = strategy_of(node, 20, file).due(20)
        assert due.supply == 1000 * 10**8
