"""How to reach a Kafka cluster and what its topics are called. Values only: nothing here connects."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from transports.base import TransportError

DEFAULT_SERVERS = "kafka:9092"
DEFAULT_PORT = 9092
DEFAULT_RETENTION_MS = 3_600_000  # what is older helps nobody: members that were away ask their nodes
MAX_SERVERS = 32
MAX_TOPIC_LENGTH = 249  # Kafka's own limit
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_TOPIC = re.compile(r"[A-Za-z0-9._-]*")
_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9._:-]{0,252}")


@dataclass(frozen=True)
class KafkaServer:
    """The address of one broker. ``host`` is a name or an IP address, IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class KafkaTls:
    """TLS towards the brokers; their names are always checked. PEM files; without ``ca_file`` the system's CAs.

    ``certificate_file`` and ``key_file`` identify this member to brokers that ask for it. The key is not encrypted.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Read the files. Raises TransportError that names the one that cannot be used."""
        if self.key_file is not None and self.certificate_file is None:
            raise TransportError(f"the Kafka TLS key {self.key_file} has no certificate beside it")
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise TransportError(f"the Kafka CA file {self.ca_file} cannot be used: {_reason(error)}") from None
        if self.certificate_file is not None:
            try:
                # With a password at hand OpenSSL does not ask for one on the terminal.
                context.load_cert_chain(self.certificate_file, self.key_file, password="")
            except OSError as error:
                files = " and ".join(
                    str(path) for path in (self.certificate_file, self.key_file) if path is not None
                )
                raise TransportError(
                    f"the Kafka TLS certificate {files} cannot be used: {_reason(error)}"
                ) from None
        return context


@dataclass(frozen=True)
class KafkaSasl:
    """A user name and password for the brokers. Raises TransportError for a mechanism that is not supported."""

    mechanism: str
    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if self.mechanism not in SASL_MECHANISMS:
            known = ", ".join(SASL_MECHANISMS)
            raise TransportError(f"the Kafka SASL mechanism {self.mechanism!r} is not supported, only {known}")
        if not self.user or not self.password:
            raise TransportError(f"Kafka SASL {self.mechanism} needs a user and a password")
        if "\0" in self.user + self.password:
            raise TransportError("the Kafka SASL user and password cannot contain a zero byte")


@dataclass(frozen=True)
class KafkaSettings:
    """Everything the transport has to be told.

    ``servers`` are the brokers to begin with (the others are learnt from them), ``prefix`` comes before each
    topic's name, ``retention_ms`` is how long topics that we create keep messages. Raises TransportError.
    """

    servers: tuple[KafkaServer, ...]
    prefix: str = ""
    retention_ms: int = DEFAULT_RETENTION_MS
    tls: KafkaTls | None = None
    sasl: KafkaSasl | None = None

    def __post_init__(self) -> None:
        if not self.servers:
            raise TransportError("no Kafka broker is named")
        if not _TOPIC.fullmatch(self.prefix) or len(self.prefix) + len("new-sig19") > MAX_TOPIC_LENGTH:
            raise TransportError(
                f"the Kafka topic prefix {self.prefix!r} is not made of letters, digits, '.', '_', '-'"
            )
        if self.retention_ms < 1000:
            raise TransportError(
                f"a Kafka retention of {self.retention_ms} ms is too short, at least 1000 ms are needed"
            )

    @property
    def proposals_topic(self) -> str:
        """The topic on which every member proposes blocks."""
        return f"{self.prefix}new-block"

    def member_topic(self, member: int) -> str:
        """The topic of everything else that a member sends."""
        return f"{self.prefix}new-sig{member}"

    @property
    def address(self) -> str:
        """All servers, for people."""
        return ",".join(str(server) for server in self.servers)


def parse_servers(text: str) -> tuple[KafkaServer, ...]:
    """Read "host:port,host:port,..."; a port may be left out. Raises TransportError that names the bad entry."""
    entries = [entry.strip() for entry in text.split(",")]
    if len(entries) > MAX_SERVERS:
        raise TransportError(f"{len(entries)} Kafka brokers are named, at most {MAX_SERVERS} can be")
    return tuple(_parse_server(entry) for entry in entries)


def _parse_server(entry: str) -> KafkaServer:
    try:
        parts = urlsplit(f"//{entry}")
        server = server_of(parts.hostname or "", DEFAULT_PORT if parts.port is None else parts.port)
        plain = parts.netloc == entry and "@" not in entry and not entry.endswith(":")
    except ValueError:
        server, plain = None, False
    if server is None or not plain:
        raise TransportError(f"the Kafka broker {entry!r} is not host:port")
    return server


def server_of(host: str, port: int) -> KafkaServer | None:
    """A server at this address, ``None`` if no server can be there."""
    return KafkaServer(host, port) if _HOST.fullmatch(host) and 0 < port < 65536 else None


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not a PEM file of the right kind").lower().replace("_", " ")
    return error.strerror or str(error)
