"""The kinds of chain that devnet runs, told by their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.devnet.chain_rules import ChainRules
from fedsm.devnet.ocean.params import OceanParams
from fedsm.devnet.ocean.rules import OceanRules

if TYPE_CHECKING:
    from fedsm.devnet.params import ChainParams


def rules_of(params: ChainParams) -> ChainRules:
    """The rules of a chain with these parameters."""
    return OceanRules(params) if isinstance(params, OceanParams) else ChainRules(params)
