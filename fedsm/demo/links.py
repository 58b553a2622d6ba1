"""How the demo's daemons talk to each other: plain ZeroMQ, CURVE, Kafka, or ZeroMQ and Kafka at once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fedsm.chains.script import Multisig
from fedsm.demo.ports import free_ports
from transports.curve import make_pair, write_key_file

LinkKind = Literal["zmq", "curve", "kafka", "both"]


class Links:
    """The arguments that make each member's daemon use one kind of link. ``broker`` is needed for Kafka."""

    def __init__(self, kind: LinkKind, members: int, broker: str | None = None) -> None:
        self.kind = kind
        self.addresses = [f"127.0.0.1:{port}" for port in free_ports(members)]
        self._broker = broker

    def prepare(self, directory: Path, multisig: Multisig, genesis: str, interval_s: float) -> None:
        """Write the federation file and CURVE keys, where they are used."""
        self._directory = directory
        if self.kind != "curve":
            return
        lines = [f'chain = "{genesis}"', f"threshold = {multisig.m}", f"interval = {interval_s}"]
        for member, key in enumerate(multisig.public_keys):
            pair = make_pair()
            write_key_file(self._curve_file(member), pair)
            lines += [
                "[[member]]",
                f"id = {member}",
                f'public_key = "{key.hex()}"',
                f'address = "{self.addresses[member]}"',
                f"curve = '{pair.public_text}'",
            ]
        (directory / "federation.toml").write_text("\n".join(lines) + "\n")

    def arguments(self, member: int) -> list[str]:
        """What a member's command line says about links."""
        nodes = ["--nodes", ",".join(self.addresses)]
        if self.kind == "zmq":
            return nodes
        if self.kind == "curve":
            file = self._directory / "federation.toml"
            return ["--federation", str(file), "--curve-key-file", str(self._curve_file(member))]
        kafka = ["--msgtype", self.kind, "--kafka", str(self._broker)]
        return kafka if self.kind == "kafka" else [*nodes, *kafka]

    def _curve_file(self, member: int) -> Path:
        return self._directory / f"member-{member}.curve"
