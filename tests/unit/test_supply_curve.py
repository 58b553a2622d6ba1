"""How supplies grew, as the page shows it: what recorded blocks say, read beside the daemon's connection."""

from __future__ import annotations

from pathlib import Path

from fedsm.reissue.curve import MAX_POINTS, supply_curves
from tests.unit.test_reissue_book import Blocks, book_of, chain_of, recorded


def test_the_curve_of_an_asset_is_that_of_the_recorded_changes(tmp_path: Path) -> None:
    vectors = recorded("p2wsh")
    path = tmp_path / "assets.sqlite"
    book = book_of(vectors, path)
    book.catch_up(Blocks(chain_of(vectors)))
    (curve,) = [it for it in supply_curves(path) if it.asset == vectors.tags.asset[::-1].hex()]
    told = vectors.scenario["supply"]
    assert curve.is_known
    assert [(point.height, point.kind) for point in curve.points] == [
        (event["height"], event["kind"]) for event in told["events"]
    ]
    assert curve.points[0].supply == told["events"][0]["amount_satoshi"]
    assert curve.points[-1].supply == told["circulating_satoshi"]


def test_a_hidden_part_makes_the_supply_unknown_and_a_long_history_is_cut(tmp_path: Path) -> None:
    vectors = recorded("p2wsh")
    path = tmp_path / "assets.sqlite"
    book = book_of(vectors, path)
    book.catch_up(Blocks(chain_of(vectors)))
    with book._connection as connection:
        row = (11, vectors.tags.asset, "reissuance", 1, bytes(32))
        connection.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", [row] * (MAX_POINTS + 10))
    asset = vectors.tags.asset[::-1].hex()
    (curve,) = [it for it in supply_curves(path) if it.asset == asset]
    assert len(curve.points) == MAX_POINTS
    assert curve.points[-1].supply == vectors.scenario["supply"]["circulating_satoshi"] + MAX_POINTS + 10
    with book._connection as connection:
        hidden = (vectors.tags.asset, bytes(32))
        connection.execute("INSERT INTO changes VALUES (12, ?, 'reissuance', NULL, ?)", hidden)
    (curve,) = [it for it in supply_curves(path) if it.asset == asset]
    assert (curve.is_known, curve.points) == (False, ())


def test_without_a_book_there_are_no_curves(tmp_path: Path) -> None:
    assert supply_curves(tmp_path / "assets.sqlite") == ()
    (tmp_path / "assets.sqlite").write_bytes(b"no database")
    assert supply_curves(tmp_path / "assets.sqlite") == ()
