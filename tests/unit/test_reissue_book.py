"""The book of assets, on the recorded transactions of a real node: supplies, coins, and what a reorg undoes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedsm.reissue.book import AssetBook
from fedsm.reissue.config import default_blinding_key
from fedsm.reissue.custody import Custody
from fedsm.reissue.judge import show_outpoint
from tests.reissue_vectors import KINDS, Recorded, internal, recorded

CHAIN = "00" * 32


class Blocks:
    """A chain of blocks with these transactions (hex); ``name`` tells one branch from another."""

    def __init__(self, blocks: list[list[str]], name: str = "a", fork: int = 0) -> None:
        self.blocks, self.name, self.fork, self.read = blocks, name, fork, 0

    def tip(self) -> SimpleNamespace:
        return SimpleNamespace(height=len(self.blocks))

    def hash_at(self, height: int) -> str:
        branch = self.name if height > self.fork else "a"
        return f"{branch}{height}".rjust(64, "0")

    def block(self, block_hash: str) -> SimpleNamespace:
        self.read += 1
        [height] = [h for h in range(1, len(self.blocks) + 1) if self.hash_at(h) == block_hash]
        transactions = self.blocks[height - 1]
        data = bytes([len(transactions)]) + b"".join(map(bytes.fromhex, transactions))
        return SimpleNamespace(header=SimpleNamespace(previous=self.hash_at(height - 1)), transactions=data)


def chain_of(vectors: Recorded) -> list[list[str]]:
    """The recorded blocks with transactions of the asset, at the recorded heights."""
    scenario = vectors.scenario
    blocks: list[list[str]] = [[] for _ in range(10)]
    blocks[2].append(scenario["issuance"]["tx_hex"])
    for reissuance in scenario["reissuances"]:
        blocks[reissuance["mined_height"] - 1].append(reissuance["final_tx_hex"])
    blocks[8].append(scenario["zero_fee"]["tx_hex"])
    blocks[9].append(scenario["burn"]["tx_hex"])
    return blocks


def book_of(vectors: Recorded, path: Path | None = None, **changes: object) -> AssetBook:
    custody = changes.get("custody", vectors.custody)
    return AssetBook(path, CHAIN, custody, vectors.policy_asset)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_changes_and_supply_are_those_that_were_recorded(kind: str) -> None:
    vectors = recorded(kind)
    book = book_of(vectors)
    book.catch_up(Blocks(chain_of(vectors)))
    told = vectors.scenario["supply"]
    assert [
        (change.height, change.txid[::-1].hex(), change.kind, change.amount)
        for change in book.changes(vectors.tags.asset)
    ] == [(event["height"], event["txid"], event["kind"], event["amount_satoshi"]) for event in told["events"]]
    assert book.supply(vectors.tags.asset, 10) == told["circulating_satoshi"]
    assert book.supply(vectors.tags.asset, 9) == told["issued_satoshi"]
    assert book.supply(vectors.tags.asset, 2) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_token_is_followed_from_output_to_output(kind: str) -> None:
    vectors = recorded(kind)
    book = book_of(vectors)
    book.catch_up(Blocks(chain_of(vectors)))
    scenario = vectors.scenario
    for height, utxo in ((3, scenario["token_utxo"]), (10, scenario["final_token_utxo"])):
        token = book.token(vectors.tags.token, height)
        assert token is not None
        assert show_outpoint(token.outpoint) == f"{utxo['txid']}:{utxo['vout']}"
        assert token == vectors.token(utxo)
    assert book.token(vectors.tags.token, 2) is None
    [known] = [known for known in book.assets() if known.asset == vectors.tags.asset]
    assert (known.token, known.entropy, known.height) == (vectors.tags.token, vectors.tags.entropy, 3)


def test_a_reissuance_is_found_from_its_period_on() -> None:
    vectors = recorded("p2wsh")
    book = book_of(vectors)
    book.catch_up(Blocks(chain_of(vectors)))
    heights = []
    for due in range(10):
        found = book.reissued_after(vectors.tags.asset, due)
        heights.append(None if found is None else found.height)
    assert heights == [4, 4, 4, 4, 5, 6, 9, 9, 9, None]


def test_what_a_reorganisation_undoes_is_forgotten_and_read_again() -> None:
    vectors = recorded("p2wsh")
    blocks = chain_of(vectors)
    book = book_of(vectors)
    book.catch_up(Blocks(blocks))
    other = Blocks([*blocks[:4], [], blocks[4]], name="b", fork=4)  # the second reissuance comes a block later
    book.catch_up(other)
    assert (book.height, book.hash_at(5), other.read) == (6, other.hash_at(5), 2)
    assert [change.height for change in book.changes(vectors.tags.asset)] == [3, 4, 6]
    token = book.token(vectors.tags.token, 5)
    assert token is not None
    assert token == book.token(vectors.tags.token, 4)
    assert book.token(vectors.tags.token, 6) != token
    shorter = Blocks(blocks[:3])
    book.catch_up(shorter)
    assert book.height == 3
    again = book.token(vectors.tags.token, 3)
    assert again == vectors.token(vectors.scenario["token_utxo"])


def test_a_chain_that_changes_while_it_is_read_is_sorted_out_by_the_next_call() -> None:
    vectors = recorded("p2wsh")
    blocks = Blocks(chain_of(vectors))
    book = book_of(vectors)
    torn = Blocks(chain_of(vectors))
    torn.block = lambda _: SimpleNamespace(  # type: ignore[method-assign]
        header=SimpleNamespace(previous="f" * 64), transactions=b"\x00"
    )
    book.catch_up(torn)
    book.catch_up(torn)
    book.catch_up(blocks)
    assert book.supply(vectors.tags.asset, 10) == vectors.scenario["supply"]["circulating_satoshi"]


def test_a_file_is_gone_on_with_and_made_again_when_it_is_anothers_or_damaged(tmp_path: Path) -> None:
    vectors, path = recorded("p2wsh"), tmp_path / "assets.sqlite"
    blocks = chain_of(vectors)
    first = book_of(vectors, path)
    first.catch_up(Blocks(blocks[:5]))
    first.close()
    again, reader = book_of(vectors, path), Blocks(blocks)
    again.catch_up(reader)
    assert reader.read == 5
    again.close()
    other = Custody("p2wsh", vectors.custody.multisig, default_blinding_key(vectors.custody.multisig))
    empty = book_of(vectors, path, custody=other)
    assert empty.height == 0
    empty.close()
    path.write_bytes(b"not a database, and long enough to be looked at as one" * 100)
    made = book_of(vectors, path)
    made.catch_up(Blocks(blocks))
    assert made.supply(vectors.tags.asset, 9) == vectors.scenario["supply"]["issued_satoshi"]
    made.close()
    with pytest.raises(sqlite3.ProgrammingError):
        made.catch_up(Blocks(blocks))


def test_an_issuance_with_hidden_amounts_leaves_the_supply_unknown() -> None:
    vectors = recorded("p2wsh")
    book = book_of(vectors)
    book.catch_up(Blocks(chain_of(vectors)))
    asset = internal("12" * 32)
    book._connection.execute("INSERT INTO changes VALUES (2, ?, 'issuance', NULL, x'00')", (asset,))
    assert book.supply(asset, 1) == 0
    assert book.supply(asset, 2) is None
