"""The chain profile of Ocean nodes (2.1): challenge in every header, no dynafed, three hashes that no node checks.

A block is signed as a legacy Elements block is. What differs from Elements are the header's layout and the RPCs
that tell the tip and the signers of the next block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fedsm.chains.base import ChainError, FederationScript, Tip
from fedsm.chains.header import DecodeError, parse_block, parse_header
from fedsm.chains.node_chain import NodeChain, as_bytes, parse_federation
from fedsm.chains.script import LONGEST_LOW_S_DER

if TYPE_CHECKING:
    from fedsm.chains.base import ProposedParameters
    from fedsm.chains.header import BlockHeader, Layout
    from fedsm.chains.rpc import RpcCaller

HashPolicy = Literal["node", "any"]

LARGEST_SOLUTION = 10_000  # bytes: Ocean limits a block's proof only as every script is limited
OLDER_THAN_ALL = 2**31 - 1  # seconds: no transaction has waited so long, so that the block is an empty one
MOST_HEADERS_AHEAD = 1  # a header may always be on its way a moment before its block


class OceanChain(NodeChain):
    """An Ocean node's chain, as ChainProfile describes it.

    ``hash_policy`` is what a proposal's contract, attestation and mapping hashes must be: with "node" each is that
    of the block before or the one that our own node would write now (so that the files behind them can be changed
    at one member after the other), with "any" they are left alone as the nodes leave them.
    """

    name = "ocean"

    def __init__(self, rpc: RpcCaller, *, hash_policy: HashPolicy = "node") -> None:
        super().__init__(rpc)
        self._hash_policy = hash_policy

    def federation(self) -> FederationScript:
        """The signers of the block after the tip: the challenge that the node gives to a new block.

        It is that of the tip, unless the nodes were started with -signblockscriptchange for this height.
        """
        script = self._template().challenge
        multisig = parse_federation(script)
        return FederationScript(
            multisig=multisig,
            dynafed=False,
            max_signed_size=multisig.worst_case_size(dynafed=False, longest_der=LONGEST_LOW_S_DER),
            signblockscript=script,
            max_block_witness=LARGEST_SOLUTION,
        )

    def tip(self) -> Tip:
        """The best block by getblockchaininfo and getblockheader.

        There is no initialblockdownload in Ocean's answers. Since a header counts only when it is signed, a node
        that knows of two headers beyond its tip is behind M members.
        """
        info = self._info()
        height = self._field(info, "blocks", int)
        best = self._field(info, "bestblockhash", str)
        return Tip(
            height=height,
            block_hash=best,
            time=self._header(best).time,
            syncing=self._field(info, "headers", int) > height + MOST_HEADERS_AHEAD,
        )

    def build_block(
        self,
        parent: str,
        min_tx_age: int = 0,
        proposed: ProposedParameters | None = None,
        commit_data: bytes | None = None,
    ) -> bytes:
        """A block by getnewblockhex, which takes nothing but the age of transactions."""
        if proposed is not None or commit_data is not None:
            raise ChainError("Ocean blocks carry neither proposed parameters nor committed data")
        return self._new_block(parent, [min_tx_age])

    def _layout(self) -> Layout:
        return "ocean"

    def _read_header(self, data: bytes) -> BlockHeader:
        header, end = parse_header(data, layout="ocean")
        if end != len(data):
            raise DecodeError(f"{len(data) - end} bytes too many behind the solution")
        return header

    def _own_objection(self, header: BlockHeader, tip: Tip) -> str | None:
        """Why a hash in the header is not one that this member stands for; ``None`` if all are."""
        if self._hash_policy == "any":
            return None
        parent = self._header(tip.block_hash).ocean
        if header.ocean == parent:
            return None
        ours = self._template().ocean
        for name in ("contract", "attestation", "mapping"):
            found = getattr(header.ocean, name)
            if found not in (getattr(parent, name), getattr(ours, name)):
                return f"unapproved-hash: {name} hash {found}, our node has {getattr(ours, name)}"
        return None

    def _template(self) -> BlockHeader:
        """The header of the block that our node would build now, without any transaction."""
        return parse_block(as_bytes(self._rpc.call("getnewblockhex", [OLDER_THAN_ALL])), layout="ocean").header
