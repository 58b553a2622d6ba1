"""The recorded answers of Elements nodes, and what the tests need of them in one place."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fedsm.chains.header import Layout

VECTORS = Path(__file__).parent / "vectors" / "elements"
CHAIN_FILES = ("blocks_predynafed", "blocks_dynafed", "rotation")


@cache
def load(name: str) -> Any:
    """One vector file, without the ``.json``."""
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def chains() -> list[tuple[str, dict[str, Any]]]:
    """Every recorded chain, with a name for test ids."""
    return [(f"{name}-{i}", chain) for name in CHAIN_FILES for i, chain in enumerate(load(name)["chains"])]


def blocks() -> list[Any]:
    """Every recorded block with its chain, each as a pytest parameter set (chain, block)."""
    return [
        pytest.param(chain, block, id=f"{name}-{block['height']}")
        for name, chain in chains()
        for block in chain["blocks"]
    ]


def raw_blocks() -> list[str]:
    """The hex of every complete block that was recorded, signed and unsigned."""
    return [
        block[form]
        for _, chain in chains()
        for block in chain["blocks"]
        for form in ("unsigned_block_hex", "signed_block_hex")
        if form in block
    ]


def federation_of(chain: dict[str, Any], block: dict[str, Any]) -> dict[str, Any]:
    """The federation (m, n, script, members) that signed a recorded block."""
    if "federations" in chain:
        found: dict[str, Any] = chain["federations"][block["signed_by_federation"]]
        return found
    return {"m": chain["m"], "n": chain["n"], "script": chain["signblockscript"], "members": chain["members"]}


def layout_of(chain: dict[str, Any]) -> Layout:
    """How the legacy headers of a recorded chain are laid out."""
    return "elements" if chain["height_in_header"] else "heightless"
