"""What a demo's chain is worth: every block of every node is read back and verified with our own codec."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from fedsm.chains.facts import BlockFacts, facts_of
from fedsm.chains.header import parse_header
from fedsm.chains.script import Multisig
from fedsm.demo.cast import Cast
from fedsm.demo.inflation_verdict import InflationOutcome
from fedsm.demo.nodes import NodeAddress
from states.quorum import Quorum


@dataclass(frozen=True)
class BlockRecord:
    """One block: who proposed it in which round, and which members signed it."""

    height: int
    hash: str
    proposer: int
    round: int
    signers: list[int]


@dataclass
class Verdict:
    """The outcome of a demo. ``latency_ms`` runs from the opening of a slot to acceptance by all members up.

    ``inflation`` is there if assets were reissued.
    """

    ok: bool
    members: int
    threshold: int
    height: int
    blocks: list[BlockRecord]
    latency_ms: dict[str, float]
    forks: int
    double_signatures: int
    killed: list[int]
    restarted: list[int]
    stopped: list[int]
    faults: list[str] = field(default_factory=list)
    inflation: InflationOutcome | None = None

    def as_dict(self) -> dict[str, Any]:
        """The verdict as plain JSON values, those about reissuance among the others."""
        values = asdict(self)
        del values["inflation"]
        return values | ({} if self.inflation is None else self.inflation.as_dict())

    def take_inflation(self, outcome: InflationOutcome) -> None:
        """What became of the reissuances counts too."""
        self.inflation = outcome
        for fault in outcome.faults:
            self.add_fault(fault)

    def add_fault(self, fault: str) -> None:
        """Something went wrong."""
        self.faults.append(fault)
        self.ok = False


def judge(cast: Cast, nodes: list[NodeAddress], multisig: Multisig, quorum: Quorum, wanted: int) -> Verdict:
    """Read all nodes' chains and all daemons' logs. ``wanted`` is the least height that counts as success."""
    chains = [_chain(node) for node in nodes]
    longest = max(chains, key=len)
    faults = []
    if len(longest) < wanted:
        faults.append(f"only {len(longest)} of {wanted} blocks")
    forks = _forks(nodes, chains)
    if forks:
        faults.append(f"{forks} forks")
    rounds = _rounds(cast, quorum)
    blocks = []
    for height, header in enumerate(longest, 1):
        facts = facts_of(parse_header(header)[0])
        if not facts.complete or facts.script != multisig.script.hex():
            faults.append(f"block {height} is not signed by the federation")
        round_ = rounds.get(height, 0)
        signers = signing_members(facts, multisig)
        blocks.append(BlockRecord(height, facts.hash, quorum.proposer(height, round_), round_, signers))
    double_signatures = _double_signatures(cast, quorum)
    if double_signatures:
        faults.append(f"{double_signatures} double signatures")
    return Verdict(
        ok=not faults,
        members=quorum.members,
        threshold=quorum.threshold,
        height=len(longest),
        blocks=blocks,
        latency_ms=_latencies(cast, quorum),
        forks=forks,
        double_signatures=double_signatures,
        killed=[],
        restarted=[],
        stopped=[],
        faults=faults,
    )


def signing_members(facts: BlockFacts, multisig: Multisig) -> list[int]:
    """The members of the federation whose signatures a block carries."""
    return [member for member, key in enumerate(multisig.public_keys) if key.hex() in facts.signers]


def _chain(node: NodeAddress) -> list[bytes]:
    """The headers of a node's best chain, from height 1 on."""
    rpc = node.rpc()
    hashes = [rpc.call("getblockhash", [height]) for height in range(1, rpc.call("getblockcount") + 1)]
    return [bytes.fromhex(rpc.call("getblockheader", [block_hash, False])) for block_hash in hashes]


def _forks(nodes: list[NodeAddress], chains: list[list[bytes]]) -> int:
    """Side branches that any node holds, and heights at which two nodes have different blocks."""
    branches = sum(len(node.rpc().call("getchaintips")) - 1 for node in nodes)
    shortest = min(len(chain) for chain in chains)
    split = sum(len({parse_header(chain[i])[0].hash for chain in chains}) > 1 for i in range(shortest))
    return branches + split


def _rounds(cast: Cast, quorum: Quorum) -> dict[int, int]:
    """The round in which each height was decided, as the daemons logged it."""
    rounds = {}
    for member in range(quorum.members):
        for line in cast.lines(member, "block_accepted"):
            if line.get("round") is not None:
                rounds[line["height"]] = line["round"]
    return rounds


def _latencies(cast: Cast, quorum: Quorum) -> dict[str, float]:
    """Median and 99th percentile over heights that every member up took part in."""
    slots: dict[int, list[int]] = {}
    accepted: dict[int, list[int]] = {}
    for member in range(quorum.members):
        for line in cast.lines(member, "block_accepted"):
            slots.setdefault(line["height"], []).append(line["slot_ms"])
            accepted.setdefault(line["height"], []).append(line["accepted_ms"])
    latencies = sorted(max(accepted[height]) - min(slots[height]) for height in slots)
    if not latencies:
        return {"median": 0.0, "p99": 0.0}
    p99 = latencies[min(len(latencies) - 1, round(0.99 * (len(latencies) - 1)))]
    return {"median": float(statistics.median(latencies)), "p99": float(p99)}


def _double_signatures(cast: Cast, quorum: Quorum) -> int:
    """Members and heights with two different decided hashes, by their own logs or by others' evidence."""
    doubled = {
        (line["peer"], line["height"])
        for member in range(quorum.members)
        for line in cast.lines(member, "double_signature")
    }
    for member in range(quorum.members):
        signed: dict[int, set[str]] = {}
        for line in cast.lines(member, "decided"):
            signed.setdefault(line["height"], set()).add(line["detail"])
        doubled |= {(member, height) for height, hashes in signed.items() if len(hashes) > 1}
    return len(doubled)
