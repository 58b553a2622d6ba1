"""Members that are hostile, each in a way of its own, for tests against real daemons.

``is_named`` of each says by which log line an honest member notices it, ``evidence`` under which code it keeps the
proof, if what this one does can be proved.
"""

from __future__ import annotations

import random
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from fedsm.chains.header import parse_block
from fedsm.demo.process import LogLine
from states.messages import BlockSignature, Precommit, Prevote, Proposal
from tests.false_member import FalseMember
from transports.envelope import Sealer
from transports.opener import Opened

if TYPE_CHECKING:
    from tests.integration.federation import Federation

AGAIN_S = 0.15  # between two times of the same bytes: sooner they would be an echo
NO_HASH = "11" * 32


class Hostile(FalseMember):
    """Misbehaves at each ``turn``. Its heartbeats go on, so that nobody takes it for dead."""

    evidence: str | None = None

    def turn(self) -> None:
        """Hear what is new and misbehave."""
        self.beat()
        self.misbehave(self.hear())

    def misbehave(self, news: Sequence[Opened]) -> None:
        raise NotImplementedError

    def is_named(self, line: LogLine) -> bool:
        """Whether a line of an honest member's log speaks of us and of what we do."""
        raise NotImplementedError

    def is_missed(self, line: LogLine) -> bool:
        """Whether it says that a round failed in which we were not heard."""
        missed = str(line.get("detail", "")).partition("not heard: ")[2]
        return line["event"] == "round_failed" and str(self.member) in missed

    def is_brought_by_us(self, line: LogLine, *reasons: str) -> bool:
        """Whether it says that a message was refused that came over the link to us."""
        links = self.fed.links.addresses[self.member], *getattr(self.fed.links, "second", {}).values()
        return (
            line["event"] == "message_refused"
            and line["reason"] in reasons
            and line["via"].removeprefix("tcp://") in links
        )


class Silent(Hostile):
    """Takes connections and says nothing more."""

    def turn(self) -> None:
        self.hear()

    def is_named(self, line: LogLine) -> bool:
        return self.is_missed(line)


class Slow(Hostile):
    """Votes as the others do, but so late that the round is over."""

    DELAY_S = 2.0

    def __init__(self, fed: Federation, member: int) -> None:
        super().__init__(fed, member)
        self._late: deque[tuple[float, Prevote | Precommit]] = deque()

    def misbehave(self, news: Sequence[Opened]) -> None:
        now_s = time.monotonic()
        for opened in news:
            vote = opened.message
            if isinstance(vote, Prevote | Precommit) and all(vote != other for _, other in self._late):
                self._late.append((now_s + self.DELAY_S, vote))
        while self._late and self._late[0][0] < now_s:
            self.say(self._late.popleft()[1])

    def is_named(self, line: LogLine) -> bool:
        return self.is_missed(line)


class Replaying(Hostile):
    """Repeats what the others said before, all heights and rounds in disorder, and its own too."""

    def misbehave(self, _news: Sequence[Opened]) -> None:
        for opened in random.sample(self.heard, min(10, len(self.heard))):
            self.throw(opened.data)

    def is_named(self, line: LogLine) -> bool:
        return self.is_missed(line)  # what it sends is genuine


class WrongHeight(Hostile):
    """Speaks of heights that are closed, and of heights that are far away."""

    def misbehave(self, _news: Sequence[Opened]) -> None:
        for height in (0, self.height - 2, self.height - 1, self.height + 2, self.height + 1000, 2**31 - 1):
            if height >= 0:
                self.say(Prevote(height, 0, NO_HASH))
                self.say(Precommit(height, 3, NO_HASH))

    def is_named(self, line: LogLine) -> bool:
        return line["event"] == "too_early" and line["peer"] == self.member


class WrongChain(Hostile):
    """Speaks of another chain."""

    def misbehave(self, _news: Sequence[Opened]) -> None:
        other = Sealer(bytes(32), 0, self.member, self.identity.secret, time.time_ns() >> 4)
        self.throw(other.seal(Prevote(self.height, 0, NO_HASH)))
        self.throw(other.seal(self.heartbeat()))

    def is_named(self, line: LogLine) -> bool:
        return self.is_brought_by_us(line, "wrong-chain") and line["claimed"] == self.member


class GarbageSignature(Hostile):
    """Signs the decided block with garbage and with the others' signatures, and some envelopes not at all."""

    evidence = "bad-block-signature"

    def misbehave(self, news: Sequence[Opened]) -> None:
        vote = self.sealer.seal(Prevote(self.height, 0, None))
        self.throw(vote[:-64] + random.randbytes(64))
        for opened in news:
            signed = opened.message
            if isinstance(signed, BlockSignature):
                self.say(signed)
                self.say(msgspec.structs.replace(signed, signature=random.randbytes(70)))

    def is_named(self, line: LogLine) -> bool:
        is_refused = line["event"] == "message_refused" and line["reason"] == "bad-block-signature"
        return is_refused and line.get("peer") == self.member


class ForgedSender(Hostile):
    """Speaks as somebody else, with that one's name and its own keys."""

    def misbehave(self, _news: Sequence[Opened]) -> None:
        for victim in range(self.fed.quorum.members):
            if victim != self.member:
                forger = Sealer(self.genesis, 0, victim, self.identity.secret, time.time_ns() >> 4)
                self.throw(forger.seal(Prevote(self.height, 0, NO_HASH)))
                self.throw(forger.seal(Precommit(self.height, 0, None)))
                claim = self.certificate_for(victim, self.certificate.serial + 1)
                self.throw(forger.seal(msgspec.structs.replace(self.heartbeat(), certificate=claim)))
                self.throw(forger.seal(self.heartbeat()))

    def is_named(self, line: LogLine) -> bool:
        return self.is_brought_by_us(line, "bad-signature", "bad-certificate", "mismatch")


class DoubleVoter(Hostile):
    """Votes for everything that anybody wants, and for a block that nobody knows."""

    evidence = "equivocation"

    def __init__(self, fed: Federation, member: int) -> None:
        super().__init__(fed, member)
        self._voted: set[tuple[int, int, str | None]] = set()

    def misbehave(self, news: Sequence[Opened]) -> None:
        for opened in news:
            wanted = opened.message
            if isinstance(wanted, Proposal | Prevote):
                for block_hash in (wanted.block_hash, NO_HASH):
                    self._vote(wanted.height, wanted.round, block_hash)

    def _vote(self, height: int, round_: int, block_hash: str | None) -> None:
        if (height, round_, block_hash) not in self._voted:
            self._voted.add((height, round_, block_hash))
            self.say(Prevote(height, round_, block_hash))
            self.say(Precommit(height, round_, block_hash))

    def is_named(self, line: LogLine) -> bool:
        return line["event"] == "equivocation" and line["peer"] == self.member


class EquivocatingProposer(Hostile):
    """In its turn it proposes one valid block to each half of the others, and votes for what it told them.

    What it tells them again is the other story.
    """

    evidence = "equivocation"

    def __init__(self, fed: Federation, member: int) -> None:
        super().__init__(fed, member)
        self.proposed: set[str] = set()
        self._height = 0
        self._told_s = 0.0
        self._stories: list[list[bytes]] = []  # for each half of the others

    def misbehave(self, _news: Sequence[Opened]) -> None:
        # Its own node knows first that it is its turn: nobody else has anything to say then.
        height = int(self.fed.rpcs[self.member].call("getblockcount")) + 1
        if self.fed.quorum.proposer(height, 0) != self.member:
            return
        if height != self._height:
            self._prepare(height)
        if time.monotonic() - self._told_s > AGAIN_S:
            self._told_s = time.monotonic()
            for face, story in enumerate(self._stories):
                for envelope in story:
                    self.throw(envelope, face=face)
            self._stories.reverse()

    def _prepare(self, height: int) -> None:
        """Make two blocks and all that belongs to them."""
        block = parse_block(bytes.fromhex(self.fed.rpcs[self.member].call("getnewblockhex", [0])))
        later = replace(block, header=replace(block.header, time=block.header.time + 1))
        self._stories = []
        for each in (block, later):
            block_hash, place = each.header.hash, (height, 0)
            self.proposed.add(block_hash)
            messages = (
                Proposal(*place, block_hash, each.serialize()),
                Prevote(*place, block_hash),
                Precommit(*place, block_hash),
            )
            self._stories.append([self.sealer.seal(message) for message in messages])
        self._height, self._told_s = height, 0.0

    def is_named(self, line: LogLine) -> bool:
        return line["event"] == "equivocation" and line["peer"] == self.member


class TwoFaced(EquivocatingProposer, DoubleVoter):
    """Proposes two ways in its turn, and votes for all that others want."""

    def misbehave(self, news: Sequence[Opened]) -> None:
        EquivocatingProposer.misbehave(self, news)
        DoubleVoter.misbehave(self, news)


class Flood(Hostile):
    """Sends ``PER_S`` messages a second, of which the others can use none."""

    PER_S = 20_000

    def __init__(self, fed: Federation, member: int) -> None:
        super().__init__(fed, member)
        self.sent = 0
        self._began_s = 0.0

    def misbehave(self, _news: Sequence[Opened]) -> None:
        now_s = time.monotonic()
        self._began_s = self._began_s or now_s
        genuine = self.sealer.seal(Prevote(self.height, 0, NO_HASH))
        while self.sent < (now_s - self._began_s) * self.PER_S:
            self.throw(random.randbytes(100) if self.sent % 2 else genuine[:-64] + random.randbytes(64))
            self.sent += 1

    def is_named(self, line: LogLine) -> bool:
        return line["event"] == "link_slowed" and line["peer"] == self.member


class HalfOpen:
    """Holds connections in which nothing is ever said: at the others' ports, and at its own with whoever comes."""

    MANY = 40

    def __init__(self, fed: Federation, member: int) -> None:
        self._own = fed.links.addresses[member]
        self._others = [address for i, address in enumerate(fed.links.addresses) if i != member]
        self._open: list[socket.socket] = []

    def __enter__(self) -> HalfOpen:
        host, port = self._own.split(":")
        self._open.append(socket.create_server((host, int(port)), backlog=64))  # the kernel takes them, nobody else
        for address in self._others:
            host, port = address.split(":")
            self._open += [socket.create_connection((host, int(port))) for _ in range(self.MANY)]
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            each.close()


ALL: tuple[type[Hostile], ...] = (
    Silent,
    Slow,
    Replaying,
    WrongHeight,
    WrongChain,
    GarbageSignature,
    ForgedSender,
    DoubleVoter,
    EquivocatingProposer,
)
