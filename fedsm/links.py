"""The transports of a daemon, as its configuration wants them: ZeroMQ (plain or CURVE), Kafka, or both at once."""

from __future__ import annotations

from collections.abc import Callable

from fedsm.config import DaemonConfig
from fedsm.errors import FedsmError
from fedsm.log import Logger
from transports.base import Transport
from transports.curve import CurveKeys, load_key_file
from transports.fanout import FanoutTransport
from transports.kafka_settings import KafkaSettings
from transports.nodes import parse_nodes
from transports.zmq import ZmqTransport


def make_transport(config: DaemonConfig, members: int, log: Logger) -> Transport:
    """The transport of one of ``members`` members, not yet started. Raises FedsmError or TransportError."""
    makers: dict[str, Callable[[], Transport]] = {}
    if "zmq" in config.transports:
        makers["zmq"] = _zmq(config, members, log)
    if "kafka" in config.transports:
        makers["kafka"] = _kafka(config, members)
    if len(makers) == 1:
        return next(iter(makers.values()))()
    return FanoutTransport(makers)


def _zmq(config: DaemonConfig, members: int, log: Logger) -> Callable[[], Transport]:
    addresses = parse_nodes(config.nodes, config.member)
    if len(addresses) != members:
        raise FedsmError(f"--nodes names {len(addresses)} members, the chain's block-signing script has {members}")
    curve = curve_keys(config)
    if curve is None and members > 1:
        log.warning(
            "links_not_encrypted", detail="no CURVE keys in a federation file: anybody can listen and connect"
        )
    return lambda: ZmqTransport(addresses, config.member, curve=curve)


def curve_keys(config: DaemonConfig) -> CurveKeys | None:
    """The keys of encrypted links: pinned by the federation file, our own secret in its file."""
    pinned = {} if config.federation is None else config.federation.curve_keys
    if not pinned:
        if config.curve_key_file is not None:
            raise FedsmError("--curve-key-file needs a federation file with every member's CURVE key")
        return None
    if config.curve_key_file is None:
        raise FedsmError("the federation file has CURVE keys: name this member's with --curve-key-file")
    return CurveKeys.pinned(load_key_file(config.curve_key_file), config.member, pinned)


def _kafka(config: DaemonConfig, members: int) -> Callable[[], Transport]:
    settings: KafkaSettings | None = config.kafka
    if settings is None:
        raise FedsmError("no Kafka broker is named: use --kafka host:port")
    # kafka-python takes a quarter of a second to import, which daemons without Kafka need not wait.
    from transports.kafka import KafkaTransport  # noqa: PLC0415

    return lambda: KafkaTransport(settings, members, config.member)
