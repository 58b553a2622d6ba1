"""The rules of a chain in the order in which its nodes apply them, where Elements and Ocean differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.devnet import rules
from fedsm.devnet.amounts import check_amounts
from fedsm.devnet.deployments import Deployments
from fedsm.devnet.encoding import CONSENSUS, Flags
from fedsm.devnet.genesis import genesis_block
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.chains.header import BlockHeader
    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.block import ParsedBlock
    from fedsm.devnet.coins import Coin
    from fedsm.devnet.index import BlockEntry
    from fedsm.devnet.params import ChainParams


class ChainRules:
    """The rules of Elements. Every check raises Rejection with the node's reason code, or returns.

    ``maturity`` is how many blocks deep a coinbase must be to be spent; ``missing_parent`` is what a node calls a
    block whose parent it does not know.
    """

    maturity = 100
    missing_parent = "prev-blk-not-found"

    def __init__(self, params: ChainParams) -> None:
        self.params = params
        self.deployments = Deployments(params)

    def genesis(self) -> ParsedBlock:
        """The first block of the chain."""
        return genesis_block(self.params)

    def check_arrival(self, block: ParsedBlock, known: BlockEntry | None, now: float) -> None:  # noqa: ARG002
        """What a submitted block shows by itself; ``known`` is its entry if the node has it already."""
        rules.check_proof(block.header, self.params)
        rules.check_block(block)
        if known is not None and known.failed:
            raise Rejection("duplicate-invalid")

    def check_header(self, header: BlockHeader, tip: BlockEntry, now: float) -> None:
        """A header on top of ``tip``."""
        rules.check_header(header, tip, self.params, self.deployments, now)

    def check_block(self, block: ParsedBlock) -> None:
        """What an unsigned block shows by itself."""
        rules.check_block(block)

    def check_contents(self, block: ParsedBlock, tip: BlockEntry) -> None:
        """What a block must be on top of ``tip``, coins aside."""
        rules.check_contents(block, tip)

    def check_amounts(self, transaction: Transaction, spent: Sequence[Coin]) -> None:
        """Inputs and issuances equal outputs."""
        check_amounts(transaction, spent)

    def check_coinbase(self, coinbase: Transaction) -> None:
        """Where a coinbase may pay to; the amounts are checked elsewhere."""

    def script_rules(self, tip: BlockEntry) -> Flags:
        """The rules for scripts in the block on top of ``tip``."""
        return CONSENSUS | Flags.RANGEPROOF if self.deployments.dynafed_active(tip) else CONSENSUS
