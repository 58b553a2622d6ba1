"""An engine on fakes: a scripted core, a guard, node and signer that do what the test says, a clock that stands.

The engine runs in the test's own thread. It ends by itself once the core has seen the event that the test
waits for, so nothing here waits for time to pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from fedsm.beacon import Beacon
from fedsm.chains.base import FederationScript, Tip
from fedsm.chains.script import Multisig
from fedsm.engine import Engine, Parts
from fedsm.evidence import EvidenceLog
from fedsm.intake import Intake
from fedsm.peers import Peers
from fedsm.services import NodeService, SigningService
from fedsm.tips import TipNews
from signers.guard import Guard, GuardError
from states.effects import Effect, SignDigest
from states.events import DigestSigned, Event
from states.memory import Memory, Record
from states.quorum import Quorum
from states.round import Round
from tests.members import CHAIN, Federation
from tests.unit.log_lines import LogLines
from transports.base import Transport
from transports.envelope import Sealer

MEMBERS = Federation(size=3, quorum=2)
MULTISIG = Multisig(2, tuple(member.public_key for member in MEMBERS.members))
FEDERATION = FederationScript(
    multisig=MULTISIG,
    dynafed=False,
    max_signed_size=MULTISIG.worst_case_size(dynafed=False),
    signblockscript=MULTISIG.script,
    max_block_witness=500,
)
TIP = "7f" * 32
LIMIT_S = 20.0


def news(height: int = 9, block_hash: str = TIP, federation: FederationScript = FEDERATION) -> TipNews:
    return TipNews(Tip(height, block_hash, 1_600_000_000, syncing=False), federation, 1_500_000_000)


class Clock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def wall_ms(self) -> int:
        return self.now_ms

    def steady_ms(self) -> int:
        return self.now_ms


class Core:
    """Answers each event with the effects that the test laid out for its type, and keeps the events."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self.events: list[Event] = []
        self.answers: list[tuple[type, Callable[[Any], Sequence[Effect]]]] = []
        self.until: Callable[[Event], bool] = lambda _event: False
        self.state, self.height, self.round, self.tip, self.slot_ms, self.fresh = "Idle", 0, 0, TIP, 0, False
        self.settings = SimpleNamespace(quorum=Quorum(3, 2, 2), member=0)
        self.agreement = SimpleNamespace(decision=None)
        self._stop = stop

    def step(self, event: Event) -> list[Effect]:
        self.events.append(event)
        if self.until(event):
            self._stop()
        for position, (kind, answer) in enumerate(self.answers):
            if isinstance(event, kind):
                del self.answers[position]
                return list(answer(event))
        return []

    def seen(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class FakeGuard:
    """Keeps records; refuses with ``refusal`` if there is one."""

    refusal: GuardError | None = None
    recorded: list[tuple[Record, ...]] = field(default_factory=list)
    calls: list[tuple[str, int]] = field(default_factory=list)

    def record(self, records: tuple[Record, ...]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.recorded.append(records)

    def restore(self, height: int) -> Memory:
        self.calls.append(("restore", height))
        return Memory(height)

    def close_height(self, height: int) -> None:
        self.calls.append(("close", height))


@dataclass
class FakeTransport:
    """Keeps what was sent."""

    sent: list[bytes] = field(default_factory=list)

    def send(self, data: bytes) -> None:
        self.sent.append(data)


@dataclass
class FakeSigning:
    """A signer that waits for ``release``, and notes what it is asked."""

    asked: list[SignDigest] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def sign(self, effect: SignDigest) -> DigestSigned:
        self.asked.append(effect)
        assert self.release.wait(LIMIT_S)
        return DigestSigned(effect.height, effect.block_hash, b"signature")


class Bench:
    """An engine of member 0 of a 2-of-3 federation, its parts in reach of the test."""

    def __init__(self, directory: Path, *, own_serial: int = 1, **parts: Any) -> None:
        self.logs = LogLines()
        self.clock = Clock()
        self.core = Core(self.stop)
        self.guard = FakeGuard()
        self.transport = FakeTransport()
        self.signing = FakeSigning()
        self.opener = MEMBERS.opener()
        member = MEMBERS.members[0]
        certificate = member.certificate()
        assert certificate.serial == own_serial
        core = cast(Round, self.core)
        self.evidence_path = directory / "evidence.jsonl"
        evidence = EvidenceLog(self.evidence_path)
        self.intake = Intake(self.opener, self.clock, self.logs.log, evidence)
        built: dict[str, Any] = {
            "core": core,
            "node": cast(NodeService, SimpleNamespace()),
            "signing": cast(SigningService, self.signing),
            "guard": cast(Guard, self.guard),
            "transport": cast(Transport, self.transport),
            "sealer": Sealer(CHAIN, 0, 0, member.identity.secret, 1_000),
            "intake": self.intake,
            "beacon": Beacon(core, certificate, "0.1.0", self.intake.serials),
            "peers": Peers(0, "0.1.0", "", self.logs.log),
            "evidence": evidence,
            "clock": self.clock,
            "log": self.logs.log,
        }
        self.engine = Engine(Parts(**(built | parts)), 0, FEDERATION)

    def stop(self) -> None:
        self.engine.stop()

    def on(self, kind: type, *effects: Effect, then: Callable[[], None] | None = None) -> None:
        """Answer the next event of this type with ``effects``, after doing ``then``."""

        def answer(_event: Event) -> Sequence[Effect]:
            if then is not None:
                then()
            return effects

        self.core.answers.append((kind, answer))

    def run_until(self, kind: type, count: int = 1) -> list[Any]:
        """Run until the core has seen that many events of this type; returns them."""
        self.core.until = lambda event: isinstance(event, kind) and len(self.core.seen(kind)) >= count
        self.engine.run()
        return self.core.seen(kind)

    def run_out(self) -> None:
        """Take everything that was delivered before, without worker threads; may be done again and again."""
        self.engine.stop()
        while self.engine._turn():
            pass
