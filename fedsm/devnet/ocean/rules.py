"""The rules of Ocean for blocks, in the order in which its nodes apply them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.devnet import rules
from fedsm.devnet.chain_rules import ChainRules
from fedsm.devnet.encoding import CONSENSUS, Flags
from fedsm.devnet.ocean.amounts import check_amounts
from fedsm.devnet.ocean.genesis import genesis_block
from fedsm.devnet.ocean.proof import has_valid_proof
from fedsm.devnet.rejection import Rejection
from fedsm.devnet.rules import FUTURE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.chains.header import BlockHeader
    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.block import ParsedBlock
    from fedsm.devnet.coins import Coin
    from fedsm.devnet.index import BlockEntry
    from fedsm.devnet.ocean.params import OceanParams

NEGATIVE = 1 << 31  # from here on a version is a negative number


class OceanRules(ChainRules):
    """As ChainRules. Nobody checks the three hashes of a header, or how long its solution is."""

    maturity = 2
    missing_parent = "bad-prevblk"

    def __init__(self, params: OceanParams) -> None:
        super().__init__(params)
        self._params = params

    def genesis(self) -> ParsedBlock:
        """The first block of the chain."""
        return genesis_block(self._params)

    def check_arrival(self, block: ParsedBlock, known: BlockEntry | None, now: float) -> None:
        """A known block is known whatever signatures it comes with."""
        if known is not None:
            if known.failed:
                raise Rejection("duplicate-invalid")
            return
        if not has_valid_proof(block.header):
            raise Rejection("block-proof-invalid")
        if block.header.time > now + FUTURE_LIMIT:
            raise Rejection("time-too-new")
        rules.check_block(block)

    def check_header(self, header: BlockHeader, tip: BlockEntry, now: float) -> None:
        """As Elements, but that the version is a signed number."""
        super().check_header(header, tip, now)
        if header.version >= NEGATIVE:
            raise Rejection(f"bad-version(0x{header.version:08x})")

    def check_amounts(self, transaction: Transaction, spent: Sequence[Coin]) -> None:
        """Inputs and issuances equal outputs."""
        check_amounts(transaction, spent)

    def check_coinbase(self, coinbase: Transaction) -> None:
        """Whatever a coinbase pays goes to the script that the chain demands, if it does."""
        demanded = self._params.mandatory_coinbase
        if demanded and any(output.script != demanded and output.satoshi != 0 for output in coinbase.outputs):
            raise Rejection("bad-coinbase-txos")

    def script_rules(self, tip: BlockEntry) -> Flags:  # noqa: ARG002 - they are the same from the start
        """The rules for scripts in the block on top of ``tip``."""
        return CONSENSUS
