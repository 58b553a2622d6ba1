"""The Ocean flavour of devnet against the recorded calls of a real node, one by one and in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fedsm.chains.header import parse_block
from fedsm.chains.transaction import parse_transaction
from fedsm.devnet.ocean.genesis import genesis_block
from fedsm.devnet.ocean.params import OceanParams
from fedsm.devnet.ocean.proof import sign
from tests.ocean_vectors import answered, keys, result_of, rows
from tests.unit.ocean_replay import Replay, recorded_answer, recorded_params, secret_of

FILES = ("blocks_2of3", "bad_blocks_2of3", "issuance", "reissue_confirm_and_freeze", "misc_errors")
# What depends on the moment, on random keys or on links that were not recorded, by method.
VOLATILE = {
    "getinfo": ("connections", "keypoololdest"),
    "getnetworkinfo": ("connections",),
    "getwalletinfo": ("keypoololdest", "hdmasterkeyid"),
    "validateaddress": ("confidential",),
}


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    nodes = Replay()
    yield nodes
    nodes.close()


def test_the_genesis_block_is_that_of_the_node_byte_for_byte() -> None:
    recorded = answered("blocks_2of3", "getblock")[1]
    assert genesis_block(recorded_params()).serialize().hex() == result_of(recorded)


def test_what_the_chain_commits_to_changes_its_genesis_block() -> None:
    base = OceanParams(b"\x51")
    others = [
        OceanParams(b"\x52"),
        OceanParams(b"\x51", chain="other"),
        OceanParams(b"\x51", fedpegscript=b"\x52"),
        OceanParams(b"\x51", initial_free_coins=100),
        OceanParams(b"\x51", contract_hash="11" * 32),
    ]
    assert len({genesis_block(params).hash for params in [base, *others]}) == 6


@pytest.mark.parametrize("name", FILES)
def test_every_recorded_call_gets_the_recorded_answer(replay: Replay, name: str) -> None:
    """The files tell one story: each goes on where the one before has ended."""
    for row in rows(name):
        if row.get("kind") == "mined":
            assert replay.mine(row) is None, row["height"]
        elif "method" in row:
            prepare(replay, name, row)
            status, answer = replay.play(row)
            assert (status, comparable(row, answer)) == (row["http"], comparable(row, recorded_answer(row))), row


def prepare(replay: Replay, name: str, row: dict[str, Any]) -> None:
    """What happened between the calls without being recorded."""
    node = replay.nodes[row["node"]]
    note = row["note"] or ""
    if "wallet with two of three keys" in note:
        for wif in keys()["wif"][::2]:
            node.wallet.import_key(secret_of(wif), "")
    if note.startswith("node restarted without -rescan"):
        node.records.issuances.clear()
        node.records.freezes.clear()
    if note == "restarted with -rescan=1":
        node.rescan()
    if name == "issuance" and note == "watch-only token output at P2SH" and row["node"] == 0:
        for entry in recorded_answer(row)["result"]:  # the node had these keys, nobody else does
            if entry.get("spendable") and "address" in entry:
                node.wallet.watch(bytes.fromhex(entry["scriptPubKey"]), "")


def comparable(row: dict[str, Any], answer: Any) -> Any:
    """The answer without what no other node can give."""
    method, result = row["method"], answer["result"]
    if method in ("getnewaddress", "getpeerinfo"):
        return type(result)
    if method == "getchaintips":  # nodes order tips of one height by where they lie in memory
        return sorted(result, key=lambda tip: (-tip["height"], tip["hash"]))
    if (
        method == "signrawtransaction"
        and result
        and len(row["params"]) == 1
        and row["response"]["result"]["complete"]
    ):
        return None  # signed by a key that only that node had; what it signed is sent later, and must be taken
    if method == "listunspent" and result:
        own = [entry for entry in result if "address" in entry]
        return [{**entry, "spendable": None, "solvable": None} for entry in own] + result[len(own) :]
    if isinstance(result, dict):
        result = {name: value for name, value in result.items() if name not in VOLATILE.get(method, ())}
    error = answer["error"]
    if error is not None and "\n\n" in error["message"]:
        error = {**error, "message": error["message"].split("\n\n")[0] + " [usage text]"}
    return [result, list(result) if isinstance(result, dict) else None, error]


def test_every_recorded_transaction_is_read_to_its_last_byte_and_has_its_id() -> None:
    seen = 0
    for name in ("issuance", "reissue_confirm_and_freeze"):
        for row in answered(name, "decoderawtransaction"):
            transaction = parse_transaction(bytes.fromhex(row["params"][0]))
            assert transaction.txid[::-1].hex() == result_of(row)["txid"]
            seen += 1
    assert seen >= 5


@pytest.mark.parametrize(
    "row", [r for r in rows("misc_errors") if r.get("kind") == "raw_http"], ids=lambda r: r["note"]
)
def test_raw_requests_get_the_recorded_bodies(replay: Replay, row: dict[str, Any]) -> None:
    if row["http"] == 401 or row["path"] != "/":
        assert not replay.dispatchers[0].serves("/x")
        return
    status, body = replay.post(0, row["request"])
    assert (status, body) == (row["http"], row["body"])


def test_blocks_signed_by_a_chain_that_we_do_not_have_are_combined_all_the_same(replay: Replay) -> None:
    for row in answered("equivocation", "combineblocksigs"):
        status, answer = replay.call(2, "combineblocksigs", row["params"])
        assert (status, answer) == (row["http"], json.loads(json.dumps(row["response"])))


def test_block_signatures_that_the_old_daemon_sent_are_those_of_a_members_wallet() -> None:
    """Ocean does not look for a small r as Elements does; with the same key the bytes are the same."""
    held = {bytes.fromhex(k["public"]): bytes.fromhex(k["secret"]) for k in members()}
    for row in rows("out_of_turn"):
        header = parse_block(bytes.fromhex(row["blockhex"])).header
        sent = json.loads(row["msg"].partition(" ")[2])["sig"]["blocksig"]
        assert sent in {sign(header, {public: secret}).hex() for public, secret in held.items()}


def members() -> list[dict[str, str]]:
    pairs = zip(keys()["pubkeys"], keys()["privhex"], strict=True)
    return [{"public": public, "secret": secret} for public, secret in pairs]
