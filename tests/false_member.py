"""A member that does not run fedsm: it holds a member's keys, hears the others, and says what the test wants."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

import zmq

from fedsm.demo.links import Links
from fedsm.demo.ports import free_ports
from signers.software import SoftwareSigner
from states.messages import Heartbeat, IdentityCertificate, Message
from transports.envelope import Sealer, message_of, parse
from transports.identity import Identity, certify
from transports.opener import Opened

if TYPE_CHECKING:
    from tests.integration.federation import Federation

HEARTBEAT_S = 1.0
MEET_S = 60.0


class TwoFacedLinks(Links):
    """Plain ZeroMQ where members of odd number know the liars by another address, and can be told another story."""

    def __init__(self, members: int, liars: list[int]) -> None:
        super().__init__("zmq", members)
        self.second = {liar: f"127.0.0.1:{port}" for liar, port in zip(liars, free_ports(len(liars)), strict=True)}

    def arguments(self, member: int) -> list[str]:
        """The usual ones, with the liars' second addresses for members of odd number."""
        if member % 2 == 0:
            return super().arguments(member)
        return ["--nodes", ",".join(self.second.get(i, address) for i, address in enumerate(self.addresses))]


class FalseMember:
    """Publishes at the address of ``member``, and at its second one if it has one.

    The member's own daemon must not run. Use as a context manager.
    """

    def __init__(self, fed: Federation, member: int) -> None:
        self.fed, self.member = fed, member
        self.signer = SoftwareSigner(fed.secrets[member])
        self.genesis = bytes.fromhex(fed.rpcs[0].call("getblockhash", [0]))[::-1]
        self.identity = Identity.from_secret(bytes([7 + member]) * 32)
        now_ms = time.time_ns() // 1_000_000
        self.certificate = self.certificate_for(member, now_ms)
        self.sealer = Sealer(self.genesis, 0, member, self.identity.secret, now_ms << 16)
        self.height = 0  # that the others work on
        self.heard: deque[Opened] = deque(maxlen=2000)  # from the others, the newest last; not verified
        self._tip = ""
        self._beat_s = 0.0
        self._context = zmq.Context()
        self._ears = self._context.socket(zmq.SUB)
        self._ears.subscribe(b"")
        self._faces: list[zmq.Socket[bytes]] = []

    def __enter__(self) -> FalseMember:
        links = self.fed.links
        own = [links.addresses[self.member]]
        if isinstance(links, TwoFacedLinks) and self.member in links.second:
            own.append(links.second[self.member])
        for address in own:
            self._faces.append(self._context.socket(zmq.PUB))
            self._faces[-1].bind(f"tcp://{address}")
        for i, address in enumerate(links.addresses):
            if i != self.member:
                self._ears.connect(f"tcp://{address}")
        self.introduce()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._context.destroy(0)

    def certificate_for(self, member: int, serial: int) -> IdentityCertificate:
        """What certifies our identity key for a member, by our block-signing key: genuine only for our own."""
        return certify(
            self.signer.sign_text,
            chain=self.genesis,
            member=member,
            public_key=self.signer.public_key,
            identity_key=self.identity.public_key,
            serial=serial,
        )

    def introduce(self) -> None:
        """Say hello until every other daemon has connected and knows our identity."""
        strangers = {i for i, daemon in enumerate(self.fed.cast.daemons) if daemon.running}
        end = time.monotonic() + MEET_S
        while strangers:
            assert time.monotonic() < end, f"members {strangers} do not know us"
            self.say(self.heartbeat())
            time.sleep(0.1)
            for opened in self.hear():
                message = opened.message
                if isinstance(message, Heartbeat) and message.serials[self.member] == self.certificate.serial:
                    strangers.discard(opened.sender)

    def heartbeat(self) -> Heartbeat:
        return Heartbeat(
            height=self.height or self.fed.height(0) + 1,
            round=0,
            version="0",
            tip=self._tip or self.fed.rpcs[0].call("getbestblockhash"),
            state="Idle",
            time_ms=time.time_ns() // 1_000_000,
            fresh=False,
            serials=(0,) * self.fed.quorum.members,
            certificate=self.certificate,
        )

    def beat(self) -> None:
        """Say a heartbeat if it is time for one."""
        if time.monotonic() - self._beat_s > HEARTBEAT_S:
            self._beat_s = time.monotonic()
            self.say(self.heartbeat())

    def hear(self) -> list[Opened]:
        """What the others have said since the last time."""
        news = []
        while self._ears.poll(0):
            data = self._ears.recv()
            envelope = parse(data)
            news.append(Opened(envelope.sender, message_of(envelope), envelope, data))
        news = [opened for opened in news if opened.sender != self.member]  # some relay what we have said
        for opened in news:
            self.height = max(self.height, opened.message.height)
            if isinstance(opened.message, Heartbeat) and opened.message.height == self.height:
                self._tip = opened.message.tip
        self.heard.extend(news)
        return news

    def say(self, message: Message, face: int | None = None) -> bytes:
        """Sign and publish a message, to everybody or by one face only; returns the envelope."""
        envelope = self.sealer.seal(message)
        self.throw(envelope, face=face)
        return envelope

    def throw(self, *frames: bytes, face: int | None = None) -> None:
        """Publish bytes as they are."""
        for i, socket in enumerate(self._faces):
            if face is None or face % len(self._faces) == i:
                socket.send_multipart(frames)
