"""A member that does not run fedsm: it holds a member's keys and says what the test wants on its ZeroMQ port."""

from __future__ import annotations

import time
from types import TracebackType

import zmq

from signers.software import SoftwareSigner
from states.messages import Heartbeat, IdentityCertificate, Message
from tests.integration.federation import Federation
from transports.envelope import Sealer
from transports.identity import Identity, certify


class FalseMember:
    """Publishes at the address of ``member``. The member's own daemon must not run."""

    def __init__(self, fed: Federation, member: int) -> None:
        self.fed, self.member = fed, member
        self.signer = SoftwareSigner(fed.secrets[member])
        self.genesis = bytes.fromhex(fed.rpcs[0].call("getblockhash", [0]))[::-1]
        identity = Identity.from_secret(bytes([7]) * 32)
        now_ms = time.time_ns() // 1_000_000
        self.certificate: IdentityCertificate = certify(
            self.signer.sign_text,
            chain=self.genesis,
            member=member,
            public_key=self.signer.public_key,
            identity_key=identity.public_key,
            serial=now_ms,
        )
        self.sealer = Sealer(self.genesis, 0, member, identity.secret, now_ms << 16)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)

    def __enter__(self) -> FalseMember:
        address = self.fed.cast.addresses.split(",")[self.member]
        self._socket.bind(f"tcp://{address}")
        self.introduce()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._context.destroy(0)

    def introduce(self) -> None:
        """Until every other daemon has connected and knows our identity, say hello."""
        for _ in range(30):
            self.say(self.heartbeat())
            time.sleep(0.1)

    def heartbeat(self) -> Heartbeat:
        return Heartbeat(
            height=self.fed.height(0) + 1,
            round=0,
            version="0",
            tip=self.fed.rpcs[0].call("getbestblockhash"),
            state="Idle",
            time_ms=time.time_ns() // 1_000_000,
            fresh=False,
            serials=(0,) * self.fed.quorum.members,
            certificate=self.certificate,
        )

    def say(self, message: Message) -> bytes:
        """Sign and publish a message; returns the envelope."""
        envelope = self.sealer.seal(message)
        self._socket.send(envelope)
        return envelope

    def throw(self, *frames: bytes) -> None:
        """Publish bytes as they are."""
        self._socket.send_multipart(frames)
