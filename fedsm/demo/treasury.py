"""The assets of a demo federation: issued by its clients, reissued by its daemons, read back from its nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fedsm.chains.node_chain import NodeChain
from fedsm.chains.selection import open_chain
from fedsm.clients.base import SATOSHI, ClientError, Payment
from fedsm.clients.opening import open_teller
from fedsm.clients.traffic import Traffic
from fedsm.errors import FedsmError
from fedsm.pace import interval_of
from fedsm.reissue.config import ReissueConfig, default_blinding_key
from fedsm.reissue.custody import Custody
from fedsm.reissue.report import LedgerEntry, ledger_of
from fedsm.reissue.setup import open_schedule
from fedsm.reissue.strategy import ReissueError
from states.amounts import Inflation

if TYPE_CHECKING:
    from fedsm.chains.script import Multisig
    from fedsm.demo.nodes import NodeAddress

RATE = "0.05"
ISSUED_UNITS = (1_000_000, 250_000)  # of the first and of the second asset


class NodeLedger(NamedTuple):
    """What a node's chain says: its height, and the periods of each asset (by id as displayed)."""

    height: int
    entries: dict[str, list[LedgerEntry]]


@dataclass
class Treasury:
    """Two assets, ``issued`` by id (satoshi); their tokens are on the federation's block-signing script."""

    config: ReissueConfig
    issued: dict[str, int]
    traffic: Traffic
    node: NodeAddress

    @classmethod
    def open(cls, node: NodeAddress, multisig: Multisig, period: int, interval_s: float) -> Treasury:
        """Issue the assets. Their reissuances are paid to the first client."""
        teller = open_teller(node.rpc())
        custody = Custody(teller.kind, multisig, default_blinding_key(multisig))
        issued = {}
        try:
            for amount in ISSUED_UNITS:
                asset = teller.issue_with_token(amount * SATOSHI, custody)
                issued[asset[::-1].hex()] = amount * SATOSHI
        except ClientError as error:
            raise FedsmError(f"no asset was issued: {error}") from None
        inflation = Inflation(RATE, period, interval_of(interval_s))
        config = ReissueConfig(inflation, teller.address(0), multisig)
        return cls(config, issued, Traffic(teller, list(issued), interval_s / 2), node)

    @property
    def options(self) -> tuple[str, ...]:
        """What every daemon's command line says of the schedule."""
        config = self.config
        return (
            *("--inflationrate", config.inflation.rate, "--inflationperiod", str(config.inflation.period)),
            *("--inflationaddress", config.address, "--reissuancescript", config.multisig.script.hex()),
        )

    def ledger(self, node: NodeAddress) -> NodeLedger:
        """The ledger as ``fedsm reissue ledger`` makes it. FedsmError when the node's chain cannot be read."""
        rpc = node.rpc()
        chain = open_chain(rpc)
        if not isinstance(chain, NodeChain):
            raise FedsmError("assets of this chain cannot be reissued")
        try:
            strategy = open_schedule(self.config, rpc, chain, chain.hash_at(0), None).strategy
            strategy.follow()
        except ReissueError as error:
            raise FedsmError(f"the ledger of a node cannot be read: {error}") from None
        book, inflation = strategy.book, self.config.inflation
        entries = {asset: list(ledger_of(book, inflation, bytes.fromhex(asset)[::-1])) for asset in self.issued}
        return NodeLedger(book.height, entries)

    def unconfirmed(self, payments: Iterable[Payment]) -> list[Payment]:
        """Those payments that are in no block of the best chain."""
        rpc = self.node.rpc()
        hashes = [rpc.call("getblockhash", [height]) for height in range(1, rpc.call("getblockcount") + 1)]
        confirmed = {txid for block_hash in hashes for txid in rpc.call("getblock", [block_hash])["tx"]}
        return [payment for payment in payments if payment.txid not in confirmed]
