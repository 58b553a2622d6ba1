"""The chain profile of Elements nodes: bare multisig challenges before dynafed, P2WSH parameters after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.base import ChainError, FederationScript, Tip
from fedsm.chains.header import parse_header
from fedsm.chains.node_chain import NodeChain, as_bytes, parse_federation
from fedsm.chains.script import LONGEST_LOW_S_DER, Multisig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fedsm.chains.base import ProposedParameters
    from fedsm.chains.header import BlockHeader, Layout
    from fedsm.chains.rpc import RpcCaller


class ElementsChain(NodeChain):
    """An Elements node's chain, as ChainProfile describes it.

    ``witness_scripts`` are the multisig scripts known for P2WSH federations: the present one, and before a
    rotation the next one too.
    """

    name = "elements"

    def __init__(self, rpc: RpcCaller, *, witness_scripts: Sequence[bytes] = ()) -> None:
        super().__init__(rpc)
        self._witness_scripts = tuple(witness_scripts)

    def federation(self) -> FederationScript:
        """The signers of the block after the tip, which getblockchaininfo's current_signblock_hex names."""
        info = self._info()
        script = as_bytes(self._field(info, "current_signblock_hex", str))
        dynafed = "current_params_root" in info
        if dynafed:
            multisig = self._find_witness_script(script, self._field(info, "bestblockhash", str))
        else:
            multisig = parse_federation(script)
        return FederationScript(
            multisig=multisig,
            dynafed=dynafed,
            max_signed_size=multisig.worst_case_size(dynafed=dynafed, longest_der=LONGEST_LOW_S_DER),
            signblockscript=script,
            max_block_witness=self._field(info, "max_block_witness", int),
            params_root=self._field(info, "current_params_root", str) if dynafed else None,
        )

    def tip(self) -> Tip:
        """The best block by getblockchaininfo.

        initialblockdownload alone says little: a fresh chain and one whose tip is a day old report it too,
        and both go on by signing. Only with headers beyond the tip is the node behind others.
        """
        info = self._info()
        height = self._field(info, "blocks", int)
        behind = self._field(info, "headers", int) > height
        return Tip(
            height=height,
            block_hash=self._field(info, "bestblockhash", str),
            time=self._field(info, "time", int),
            syncing=behind and self._field(info, "initialblockdownload", bool),
        )

    def build_block(
        self,
        parent: str,
        min_tx_age: int = 0,
        proposed: ProposedParameters | None = None,
        commit_data: bytes | None = None,
    ) -> bytes:
        """A block by getnewblockhex."""
        params: list[object] = [min_tx_age]
        if proposed is not None or commit_data is not None:
            params.append(None if proposed is None else proposed.for_rpc())
        if commit_data is not None:
            params.append([commit_data.hex()])
        return self._new_block(parent, params)

    def _layout(self) -> Layout:
        """The chain's rule for legacy headers, told by its genesis header, which is a legacy one."""
        return "heightless" if self._genesis().height is None else "elements"

    def _read_header(self, data: bytes) -> BlockHeader:
        header = parse_header(data)[0]
        if header.ocean is not None:
            raise ChainError("the node's headers are those of an Ocean chain: use --chain ocean")
        return header

    def _find_witness_script(self, program: bytes, tip_hash: str) -> Multisig:
        if len(program) != 34 or not program.startswith(b"\x00\x20"):
            raise ChainError(f"the chain's block-signing script {program.hex()} is not P2WSH: not supported")
        for script in self._candidate_scripts(tip_hash):
            if program == b"\x00\x20" + bytes(wally.sha256(script)):
                return parse_federation(script)
        raise ChainError(
            f"the chain's block-signing script is the witness program {program.hex()}, and no script known here "
            "hashes to it: configure the federation's witness script (OP_M, the public keys, OP_N, "
            "OP_CHECKMULTISIG in hex)"
        )

    def _candidate_scripts(self, tip_hash: str) -> Iterator[bytes]:
        """Scripts to try, cheapest first: configured, the tip's own proof, the challenge the chain began with."""
        yield from self._witness_scripts
        tip = self._header(tip_hash)
        yield from tip.witness[-1:]
        yield tip.challenge
        yield self._genesis().challenge
