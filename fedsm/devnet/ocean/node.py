"""One Ocean node: a node with a wallet and a memory for issuances and freezes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.devnet.node import Node
from fedsm.devnet.ocean.mempool import OceanMempool
from fedsm.devnet.ocean.records import Records
from fedsm.devnet.ocean.wallet import Wallet

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.block import ParsedBlock
    from fedsm.devnet.chainstate import Change
    from fedsm.devnet.connect import ScriptCache
    from fedsm.devnet.ocean.params import OceanParams
    from fedsm.devnet.ocean.template import OceanTemplate
    from fedsm.devnet.store import BlockStore


class OceanNode(Node):
    """As Node. With ``rescan`` a node that starts looks through its old blocks again, as -rescan does; without, it
    knows nothing of their issuances and freezes. The wallet is kept in ``wallet_file``, if there is one.
    """

    params: OceanParams
    mempool: OceanMempool

    def __init__(
        self,
        number: int,
        params: OceanParams,
        cache: ScriptCache,
        *,
        store: BlockStore | None = None,
        wallet_file: Path | None = None,
        rescan: bool = True,
    ) -> None:
        self.wallet = Wallet(wallet_file)
        self.records = Records()
        self.last_block: OceanTemplate | None = None
        self._rescan_at_start = rescan
        super().__init__(number, params, cache, store=store)
        if self.chain.tip is self.chain.genesis:
            self.rescan()

    def load(self, blocks: Iterable[ParsedBlock], transactions: Iterable[Transaction]) -> None:
        """Take in what the node knew before, without telling anybody."""
        super().load(blocks, transactions)
        if self._rescan_at_start:
            self.rescan()
        else:
            self.records = Records()

    def rescan(self) -> None:
        """Look through all blocks of the active chain for issuances and freezes."""
        with self.lock:
            for entry in self.chain.active:
                self._record(entry.block, entry.height)

    def _record(self, block: ParsedBlock, height: int) -> None:
        if self.params.record_inflation:
            self.records.scan(block.transactions, height)

    def _new_mempool(self, cache: ScriptCache, *, require_standard: bool) -> OceanMempool:
        return OceanMempool(self.chain, cache, require_standard=require_standard)

    def _update_mempool(self, change: Change) -> None:
        super()._update_mempool(change)
        for entry in change.connected:
            self._record(entry.block, entry.height)
