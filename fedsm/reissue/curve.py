"""How the supply of each asset of the federation grew, read beside the daemon from its book of assets."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

# Of an asset with a longer history the last changes are shown.
MAX_POINTS = 1000
BUSY_S = 1.0

_CHANGES = """
SELECT a.asset, c.height, c.kind, c.amount FROM assets a JOIN changes c ON c.asset = a.asset
WHERE EXISTS (SELECT 1 FROM coins WHERE coins.asset = a.token) ORDER BY a.asset, c.height, c.rowid
"""


class SupplyPoint(msgspec.Struct, frozen=True):
    """The supply after the block at a height, in satoshi, and what changed it: issuance, reissuance or burn."""

    height: int
    supply: int
    kind: str


class SupplyCurve(msgspec.Struct, frozen=True):
    """The supply of an asset (id as displayed). ``is_known`` is False when a part of it is hidden (blinded)."""

    asset: str
    is_known: bool
    points: tuple[SupplyPoint, ...]


def supply_curves(book: Path) -> tuple[SupplyCurve, ...]:
    """A curve for each asset whose token was ever on the federation's script; none while there is no book.

    Callable from any thread, while the daemon writes.
    """
    try:
        uri = f"{book.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S)) as connection:
            rows = connection.execute(_CHANGES).fetchall()
    except sqlite3.Error:
        return ()
    changes: dict[bytes, list[tuple[int, str, int | None]]] = {}
    for asset, height, kind, amount in rows:
        changes.setdefault(asset, []).append((height, kind, amount))
    return tuple(_curve(asset, found) for asset, found in changes.items())


def _curve(asset: bytes, changes: list[tuple[int, str, int | None]]) -> SupplyCurve:
    points: list[SupplyPoint] = []
    supply = 0
    for height, kind, amount in changes:
        if amount is None:
            return SupplyCurve(asset[::-1].hex(), is_known=False, points=())
        supply += -amount if kind == "burn" else amount
        points.append(SupplyPoint(height, supply, kind))
    return SupplyCurve(asset[::-1].hex(), is_known=True, points=tuple(points[-MAX_POINTS:]))
