"""A federation for integration tests: real daemons in processes of their own, on devnet or on real nodes."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from fedsm.chains.facts import BlockFacts, facts_of
from fedsm.chains.header import parse_header
from fedsm.chains.rpc import NodeRpc
from fedsm.demo.cast import Cast, HsmMember, demo_secrets, multisig_of
from fedsm.demo.links import Links
from fedsm.demo.nodes import CHAIN_NAME, ElementsNodes
from fedsm.demo.ports import free_ports
from fedsm.demo.process import LogLine
from fedsm.observe.status import Status
from fedsm.replay import replay
from fedsm.trace import TraceError
from states.quorum import Quorum, default_vote_quorum
from tests.integration.devnet import TestDevnet

LIMIT_S = 60.0


class Federation:
    """N daemons on N nodes. Use as a context manager; everything ends with it."""

    def __init__(
        self,
        directory: Path,
        kind: str,
        *,
        members: int = 5,
        threshold: int = 3,
        votes: int | None = None,
        dynafed: bool = True,
        interval_s: float = 1.0,
        chain: str = CHAIN_NAME,
        extra: tuple[str, ...] = (),
        links: Links | None = None,
        http: bool = False,
        keys_of: Federation | None = None,
        hsms: Mapping[int, HsmMember] | None = None,
    ) -> None:
        self.kind = kind
        # Keys of its own: a key that is in use elsewhere on this machine is refused.
        self.secrets = demo_secrets(members, f"integration {directory}") if keys_of is None else keys_of.secrets
        self.multisig = multisig_of(self.secrets, threshold)
        self.quorum = Quorum(members, threshold, votes or default_vote_quorum(members, threshold))
        self.directory = directory
        self.interval_s = interval_s
        self._extra = extra if votes is None else ("--quorum", str(votes), *extra)
        self._hsms = hsms
        self.links = links or Links("zmq", members)
        self.http_ports = free_ports(members) if http else None
        node_directory = directory / "nodes"
        self.nodes: TestDevnet | ElementsNodes
        if kind == "elementsd":
            self.nodes = ElementsNodes(self.multisig, node_directory, dynafed=dynafed, chain=chain)
        else:
            flavour = "ocean" if kind == "ocean" else "elements"
            self.nodes = TestDevnet(self.multisig, node_directory, dynafed=dynafed, chain=chain, flavour=flavour)

    def __enter__(self) -> Federation:
        self.nodes.start()
        self.rpcs: list[NodeRpc] = [address.rpc() for address in self.nodes.addresses]
        genesis = self.rpcs[0].call("getblockhash", [0])
        self.links.prepare(self.directory, self.multisig, genesis, self.interval_s)
        self.cast = Cast(
            self.secrets,
            self.nodes.addresses,
            self.directory,
            self.interval_s,
            links=self.links,
            extra=self._extra,
            http_ports=self.http_ports,
            hsms=self._hsms,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.cast.close()
        finally:
            self.nodes.close()
        if kind is None:
            self.check_traces()

    def ask(self, member: int, path: str, token: str | None = None) -> tuple[int, bytes]:
        """Status and body of a member's answer over HTTP (with ``http``)."""
        assert self.http_ports is not None
        connection = http.client.HTTPConnection("127.0.0.1", self.http_ports[member], timeout=20)
        connection.request("GET", path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def status(self, member: int) -> Status:
        """What a member's daemon tells."""
        return msgspec.json.decode(self.ask(member, "/status.json")[1], type=Status)

    def height(self, member: int) -> int:
        return int(self.rpcs[member].call("getblockcount"))

    def wait_height(self, height: int, members: list[int] | None = None, limit_s: float = LIMIT_S) -> None:
        """Wait until the nodes of these members (all by default) have ``height`` blocks."""
        wanted = range(len(self.rpcs)) if members is None else members
        wait_until(
            lambda: all(self.height(i) >= height for i in wanted),
            limit_s,
            lambda: f"heights {[self.height(i) for i in wanted]}, wanted {height}",
        )

    def wait_more(self, blocks: int, members: list[int] | None = None, limit_s: float = LIMIT_S) -> None:
        """Wait for ``blocks`` more blocks than now."""
        wanted = list(range(len(self.rpcs))) if members is None else members
        self.wait_height(max(self.height(i) for i in wanted) + blocks, wanted, limit_s)

    def wait_event(self, member: int, event: str, limit_s: float = LIMIT_S, *, count: int = 1) -> LogLine:
        """Wait until a member has logged an event ``count`` times; returns the last of them."""
        found = self.cast.wait_for(lambda: len(self.cast.lines(member, event)) >= count, limit_s)
        lines = self.cast.lines(member, event)
        last = self.cast.lines(member)[-3:]
        assert found, f"member {member} logged {event} {len(lines)} times, not {count}: {lines}, last {last}"
        return lines[count - 1]

    def block(self, member: int, height: int) -> BlockFacts:
        """The facts of a block as a member's node has it."""
        block_hash = self.rpcs[member].call("getblockhash", [height])
        return facts_of(
            parse_header(bytes.fromhex(self.rpcs[member].call("getblockheader", [block_hash, False])))[0]
        )

    def check_chain(self) -> None:
        """Every block is signed by the federation, all nodes agree, none holds a side branch."""
        common = min(self.height(i) for i in range(len(self.rpcs)))
        for height in range(1, common + 1):
            facts = self.block(0, height)
            assert facts.complete, f"block {height} is not complete"
            assert facts.script == self.multisig.script.hex()
            assert {self.rpcs[i].call("getblockhash", [height]) for i in range(len(self.rpcs))} == {facts.hash}
        for rpc in self.rpcs:
            tips = rpc.call("getchaintips")
            assert [tip["status"] for tip in tips] == ["active"], tips
        for member in range(len(self.rpcs)):
            assert not self.cast.lines(member, "fork")
            assert not self.cast.lines(member, "double_signature")
            assert not self.cast.lines(member, "equivocation")

    def check_traces(self) -> None:
        """Whatever was done to the daemons: the machines do again, bit for bit, what each of them did."""
        for folder in self.directory.glob("member-*/*/*/trace"):
            try:
                replay(folder)
            except TraceError as error:
                if "in the middle of a line" not in str(error):  # killed in mid-write, and not started again
                    raise


def wait_until(condition: Callable[[], bool], limit_s: float, explain: Callable[[], str]) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, explain()
        time.sleep(0.05)
