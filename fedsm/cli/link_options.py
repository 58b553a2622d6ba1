"""Options of ``fedsm run`` about the links between members: addresses, federation file, CURVE, Kafka."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fedsm.cli.options import option
from fedsm.errors import FedsmError
from fedsm.federation_file import FederationFile
from transports.base import TransportError
from transports.kafka_settings import (
    DEFAULT_RETENTION_MS,
    DEFAULT_SERVERS,
    SASL_MECHANISMS,
    KafkaSasl,
    KafkaSettings,
    KafkaTls,
    parse_servers,
)

F = TypeVar("F", bound=Callable[..., Any])

NODES_HELP = 'Addresses of all members in the order of their ids, "host:port,host:port,..."; ours is listened on.'
KINDS = {"zmq": ("zmq",), "kafka": ("kafka",), "both": ("zmq", "kafka")}


def link_options(function: F) -> F:
    """The options, in the order in which help shows them."""
    path = click.Path(path_type=Path)
    decorators = (
        option("--nodes", default="", help=NODES_HELP),
        option("--federation", type=path, help="The federation file that all members share (TOML)."),
        option(
            "--msgtype",
            "--msg_type",
            type=click.Choice(list(KINDS)),
            help="Transport.  [default: zmq when member addresses are known, else kafka]",
        ),
        option("--curve-key-file", type=path, help="This member's CURVE key (fedsm keygen --transport), mode 600."),
        option(
            "--kafka", default=DEFAULT_SERVERS, show_default=True, help="Kafka brokers, host:port,host:port,..."
        ),
        option("--kafka-prefix", default="", help="Put before each topic's name."),
        option(
            "--kafka-retention",
            type=float,
            default=DEFAULT_RETENTION_MS / 1000,
            show_default=True,
            help="Seconds that topics which we create keep messages.",
        ),
        option("--kafka-tls", is_flag=True, help="Speak TLS with the brokers, and check their names."),
        option("--kafka-ca-file", type=path, help="CA of the brokers (PEM).  [default: the system's]"),
        option("--kafka-cert-file", type=path, help="Our certificate for the brokers (PEM)."),
        option("--kafka-cert-key-file", type=path, help="The certificate's key (PEM)."),
        option("--kafka-sasl", type=click.Choice(SASL_MECHANISMS), help="SASL mechanism."),
        option("--kafka-user", default="", help="SASL user."),
        option("--kafka-password", default="", help="SASL password; better by FEDSM_KAFKA_PASSWORD."),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def transports_of(given: dict[str, Any], nodes: str) -> tuple[str, ...]:
    """Which transports to use: as told, else ZeroMQ if we know where the members are, else Kafka."""
    kind = given["msgtype"] or ("zmq" if nodes else "kafka")
    transports = KINDS[kind]
    if "zmq" in transports and not nodes:
        raise FedsmError("--nodes is missing: the addresses of all members, host:port,host:port,...")
    return transports


def nodes_of(given: dict[str, Any], file: FederationFile | None) -> str:
    """The members' addresses: the flag's, else the federation file's, else none."""
    return str(given["nodes"]) or (file.nodes if file is not None else None) or ""


def kafka_of(given: dict[str, Any]) -> KafkaSettings:
    """The values of the --kafka options. FedsmError names what is wrong."""
    tls = KafkaTls(given["kafka_ca_file"], given["kafka_cert_file"], given["kafka_cert_key_file"])
    if not given["kafka_tls"] and tls != KafkaTls():
        raise FedsmError("--kafka-ca-file and --kafka-cert-file need --kafka-tls")
    if given["kafka_sasl"] is None and (given["kafka_user"] or given["kafka_password"]):
        raise FedsmError("--kafka-user and --kafka-password need --kafka-sasl")
    try:
        sasl = None
        if given["kafka_sasl"] is not None:
            sasl = KafkaSasl(given["kafka_sasl"], given["kafka_user"], given["kafka_password"])
        return KafkaSettings(
            parse_servers(given["kafka"]),
            prefix=given["kafka_prefix"],
            retention_ms=round(given["kafka_retention"] * 1000),
            tls=tls if given["kafka_tls"] else None,
            sasl=sasl,
        )
    except TransportError as error:
        raise FedsmError(str(error)) from None
