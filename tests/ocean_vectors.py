"""The recorded answers of Ocean nodes, and what the tests need of them in one place."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent / "vectors" / "ocean"


@cache
def rows(name: str) -> list[dict[str, Any]]:
    """The rows of one vector file, without the ``.jsonl``."""
    return [json.loads(line) for line in (VECTORS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@cache
def keys() -> dict[str, Any]:
    """The federation that signed the recorded chain: m, n, pubkeys, privhex, signblockscript."""
    return rows("blocks_2of3")[0]


def answered(name: str, method: str) -> list[dict[str, Any]]:
    """The recorded calls of a method, in order."""
    return [row for row in rows(name) if row.get("method") == method]


def result_of(row: dict[str, Any]) -> Any:
    """The result of a call that succeeded."""
    assert row["response"]["error"] is None
    return row["response"]["result"]


def error_of(row: dict[str, Any]) -> tuple[int, str]:
    """Code and message of a call that failed."""
    error = row["response"]["error"]
    return error["code"], error["message"]


@cache
def recorded_blocks() -> list[dict[str, Any]]:
    """The rows that hold a proposal, its signatures and the whole block that they made."""
    return [row for row in rows("blocks_2of3") if row.get("kind") == "block"]


@cache
def raw_blocks() -> list[str]:
    """The hex of every whole block that a node made or took, signed and unsigned."""
    found = [
        *[
            result_of(row)
            for name in ("blocks_2of3", "bad_blocks_2of3")
            for row in answered(name, "getnewblockhex")
        ],
        *[row["fullhex"] for row in recorded_blocks()],
        *[
            row["params"][0]
            for name in ("blocks_2of3", "bad_blocks_2of3", "equivocation")
            for row in answered(name, "submitblock")
            if row["response"]["result"] in (None, "duplicate", "inconclusive") and row["response"]["error"] is None
        ],
        *[result_of(row) for row in answered("blocks_2of3", "getblock") if row["params"][1:] == [False]],
    ]
    return list(dict.fromkeys(found))


@cache
def raw_headers() -> dict[str, str]:
    """The headers that getblockheader gave as hex, by block hash."""
    return {
        row["params"][0]: result_of(row)
        for name in ("blocks_2of3", "bad_blocks_2of3")
        for row in answered(name, "getblockheader")
        if row["params"][1:] == [False]
    }
