"""One node and the key of its one-member federation: blocks are made when a test wants them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import wallycore as wally

from fedsm.chains.elements import ElementsChain
from fedsm.chains.rpc import NodeRpc
from fedsm.chains.transaction import Transaction, parse_transaction
from fedsm.demo.cast import demo_secrets, multisig_of
from fedsm.demo.nodes import ElementsNodes
from fedsm.reissue.blinding import add_explicit
from fedsm.reissue.issuance import Funding
from signers.software import SoftwareSigner
from tests.integration.devnet import TestDevnet

OP_TRUE = b"\x51"
# Nodes refuse an issuance in a transaction without any witness, so that one that blinds nothing must spend this.
P2WSH_TRUE = b"\x00\x20" + bytes(wally.sha256(OP_TRUE))


class FreeCoins:
    """The chain's anyone-can-spend coin, of which smaller ones are taken."""

    def __init__(self, rpc: NodeRpc) -> None:
        self.rpc = rpc
        [_, free] = rpc.call("getblock", [rpc.call("getblockhash", [0]), 2])["tx"]
        self._free = bytes.fromhex(free["txid"])[::-1] + bytes(4)
        self._satoshi = int(free["vout"][0]["value"] * 10**8)
        self.policy_asset = bytes.fromhex(rpc.call("getsidechaininfo")["pegged_asset"])[::-1]

    def funding(self, satoshi: int = 10**9, fee: int = 2000, script: bytes = OP_TRUE) -> Funding:
        """A coin that everybody can spend, still in the mempool.

        All amounts of a transaction together must stay below 21 million units, whatever their assets: the free
        coin cannot issue anything itself.
        """
        handle = wally.tx_init(2, 0, 1, 3)
        nothing = (None,) * 9
        wally.tx_add_elements_raw_input(handle, self._free[:32], int(self._free[32]), 0xFFFF_FFFF, *nothing, 0)
        self._satoshi -= satoshi + fee
        for amount, pays in ((self._satoshi, OP_TRUE), (satoshi, script), (fee, None)):
            add_explicit(handle, self.policy_asset, amount, pays)
        split = self.send(bytes(wally.tx_to_bytes(handle, wally.WALLY_TX_FLAG_USE_WITNESS)))
        self._free = split.outpoint(0)
        return Funding(split.outpoint(1), satoshi, self.policy_asset, OP_TRUE, fee)

    def send(self, data: bytes) -> Transaction:
        """Give a transaction to the node, which must take it."""
        transaction = parse_transaction(data)
        assert self.rpc.call("sendrawtransaction", [data.hex()]) == transaction.txid[::-1].hex()
        return transaction


class Miner(FreeCoins):
    """Makes blocks on the first of the nodes."""

    def __init__(self, nodes: TestDevnet | ElementsNodes, signer: SoftwareSigner) -> None:
        self.address = nodes.addresses[0]
        super().__init__(self.address.rpc())
        self.chain = ElementsChain(self.rpc)
        self._signer = signer

    def mine(self) -> list[Transaction]:
        """Make the next block; its transactions."""
        tip, federation = self.chain.tip(), self.chain.federation()
        block = self.chain.build_block(tip.block_hash)
        digest = bytes.fromhex(self.chain.block_hash(block))[::-1]
        signatures = {0: self._signer.sign_block(digest, block)}
        assert self.chain.submit(self.chain.combine(block, federation, signatures)).outcome == "accepted"
        mined = self.rpc.call("getblock", [self.rpc.call("getbestblockhash"), 1])["tx"]
        assert self.chain.tip().height == tip.height + 1
        return [self.transaction(txid) for txid in mined]

    def transaction(self, txid: str) -> Transaction:
        """A transaction of the best block."""
        params = [txid, False, self.rpc.call("getbestblockhash")]
        return parse_transaction(bytes.fromhex(self.rpc.call("getrawtransaction", params)))


@contextmanager
def mining(kind: str, directory: Path) -> Iterator[Miner]:
    """A chain of one node, devnet or elementsd."""
    [secret] = secrets = demo_secrets(1, "miner")
    node_kind = TestDevnet if kind == "devnet" else ElementsNodes
    nodes = node_kind(multisig_of(secrets, 1), directory / "nodes", dynafed=True)
    try:
        nodes.start()
        yield Miner(nodes, SoftwareSigner(secret))
    finally:
        nodes.close()
