"""A broker for tests that speaks just enough of Kafka's protocol, honestly by default and as badly as told to."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kafka.protocol.admin import CreateTopicsRequest, CreateTopicsResponse
from kafka.protocol.consumer import FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse
from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse
from kafka.protocol.producer import ProduceRequest, ProduceResponse
from kafka.protocol.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

from transports.kafka_settings import KafkaServer, KafkaSettings

CERTIFICATES = Path(__file__).parent.parent / "vectors" / "kafka"
REQUESTS: tuple[Any, ...] = (
    ApiVersionsRequest,
    CreateTopicsRequest,
    FetchRequest,
    ListOffsetsRequest,
    MetadataRequest,
    ProduceRequest,
    SaslAuthenticateRequest,
    SaslHandshakeRequest,
)
ALL_VERSIONS = (0, 99)
OUT_OF_RANGE = 1
UNKNOWN_TOPIC = 3
NODE = 7

# Gives back an answer, a whole frame as it goes out (its length too), or None to cut the connection.
Handler = Callable[[Any], Any]


def server_context(name: str, *, ask_for_certificate: bool = False) -> ssl.SSLContext:
    """TLS with the test certificate ``name``: "broker" is localhost's, "elsewhere" that of another host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem", CERTIFICATES / f"{name}.key")
    if ask_for_certificate:
        context.load_verify_locations(CERTIFICATES / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class StandIn:
    """Listens on 127.0.0.1. ``handlers`` replaces the answer to a kind of request, by its class."""

    def __init__(
        self, *, port: int = 0, tls: ssl.SSLContext | None = None, handlers: dict[Any, Handler] | None = None
    ) -> None:
        self.handlers = handlers or {}
        self.logs: dict[str, list[bytes]] = {}  # topic -> batches, one record each as far as offsets go
        self.configs: dict[str, dict[str, str]] = {}
        self.requests: Counter[str] = Counter()
        self.starts: dict[str, int] = {}  # topic -> first offset that is still there
        self._tls = tls
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self._connections: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def settings(self, **settings: Any) -> KafkaSettings:
        """How a member reaches this broker, by the name localhost."""
        return KafkaSettings((KafkaServer("localhost", self.port),), **settings)

    def close(self) -> None:
        """Stop listening and cut all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Cut all connections."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._connections.add(connection)
        with contextlib.suppress(OSError, EOFError), connection:
            if self._tls is None:
                self._talk(connection)
            else:
                with self._tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                ) as encrypted:
                    _shake_hands(encrypted)
                    self._talk(encrypted)
        self._connections.discard(connection)

    def _talk(self, connection: socket.socket) -> None:
        while True:
            frame = _read(connection, int.from_bytes(_read(connection, 4)))
            key, version, sequence = struct.unpack_from(">hhi", frame)
            kind = next(kind for kind in REQUESTS if key == kind.API_KEY)
            request = kind.decode(frame, version=version, header=True)
            self.requests[kind.name] += 1
            handler = self.handlers.get(kind, getattr(self, f"_{kind.name}"))
            answer = handler(request)
            if answer is None:
                return
            if not isinstance(answer, bytes):
                answer.API_VERSION = version
                answer.with_header(correlation_id=sequence)
                answer = answer.encode(header=True, framed=True)
            connection.sendall(answer)

    # --- the honest answers

    def _ApiVersionsRequest(self, _request: Any) -> Any:  # noqa: N802 - named after the request
        kind = ApiVersionsResponse.ApiVersion
        return ApiVersionsResponse(
            error_code=0,
            api_keys=[kind(api_key=each.API_KEY, min_version=0, max_version=ALL_VERSIONS[1]) for each in REQUESTS],
        )

    def _SaslHandshakeRequest(self, request: Any) -> Any:  # noqa: N802
        return SaslHandshakeResponse(error_code=0, mechanisms=[request.mechanism])

    def _SaslAuthenticateRequest(self, _request: Any) -> Any:  # noqa: N802
        return SaslAuthenticateResponse(error_code=0, error_message=None, auth_bytes=b"", session_lifetime_ms=0)

    def _MetadataRequest(self, request: Any) -> Any:  # noqa: N802
        return self.metadata([topic.name for topic in request.topics])

    def metadata(self, names: Sequence[str], *, code: int | None = None, allowed: set[int] | None = None) -> Any:
        """Metadata of topics; with an error ``code`` for all, or the operations that are ``allowed``."""
        topic_kind = MetadataResponse.MetadataResponseTopic
        partition = topic_kind.MetadataResponsePartition
        broker = MetadataResponse.MetadataResponseBroker(node_id=NODE, host="localhost", port=self.port, rack=None)

        def topic(name: str) -> Any:
            error = (0 if name in self.logs else UNKNOWN_TOPIC) if code is None else code
            parts = [
                partition(
                    error_code=0,
                    partition_index=0,
                    leader_id=NODE,
                    leader_epoch=0,
                    replica_nodes=[NODE],
                    isr_nodes=[NODE],
                    offline_replicas=[],
                )
            ]
            return topic_kind(
                error_code=error,
                name=name,
                is_internal=False,
                partitions=[] if error else parts,
                authorized_operations=allowed,
            )

        return MetadataResponse(
            throttle_time_ms=0,
            brokers=[broker],
            cluster_id="stand-in",
            controller_id=NODE,
            topics=[topic(name) for name in names],
            authorized_operations=None,
        )

    def _CreateTopicsRequest(self, request: Any) -> Any:  # noqa: N802
        for topic in request.topics:
            self.logs.setdefault(topic.name, [])
            self.configs[topic.name] = {config.name: config.value for config in topic.configs}
        return self.created([topic.name for topic in request.topics])

    def created(self, names: Sequence[str], code: int = 0, message: str | None = None) -> Any:
        """The answer to a request for topics, with one error ``code`` for all."""
        kind = CreateTopicsResponse.CreatableTopicResult
        topics = [kind(name=name, error_code=code, error_message=message) for name in names]
        return CreateTopicsResponse(throttle_time_ms=0, topics=topics)

    def _ListOffsetsRequest(self, request: Any) -> Any:  # noqa: N802
        topic_kind = ListOffsetsResponse.ListOffsetsTopicResponse
        part_kind = topic_kind.ListOffsetsPartitionResponse
        topics = []
        for topic in request.topics:
            start, end = self._bounds(topic.name)
            offset = end if topic.partitions[0].timestamp == -1 else start
            part = part_kind(partition_index=0, error_code=0, timestamp=-1, offset=offset, leader_epoch=0)
            topics.append(topic_kind(name=topic.name, partitions=[part]))
        return ListOffsetsResponse(throttle_time_ms=0, topics=topics)

    def _ProduceRequest(self, request: Any) -> Any:  # noqa: N802
        topic_kind = ProduceResponse.TopicProduceResponse
        part_kind = topic_kind.PartitionProduceResponse
        topics = []
        for topic in request.topic_data:
            self.append(topic.name, bytes(topic.partition_data[0].records))
            part = part_kind(index=0, error_code=0, base_offset=0, log_append_time_ms=-1, log_start_offset=0)
            topics.append(topic_kind(name=topic.name, partition_responses=[part]))
        return ProduceResponse(responses=topics, throttle_time_ms=0)

    def append(self, topic: str, batch: bytes) -> None:
        """Add a batch to a topic, at the offsets that come next; each of its records takes one."""
        count = struct.unpack_from(">i", batch, 57)[0]
        with self._lock:
            log = self.logs[topic]
            _, end = self._bounds(topic)
            log += [struct.pack(">q", end) + batch[8:]] + [b""] * (count - 1)

    def _FetchRequest(self, request: Any) -> Any:  # noqa: N802
        topic_kind = FetchResponse.FetchableTopicResponse
        part_kind = topic_kind.PartitionData
        end = time.monotonic() + request.max_wait_ms / 1000
        while time.monotonic() < end and not any(self._beyond(topic) for topic in request.topics):
            time.sleep(0.002)
        answers = []
        for topic in request.topics:
            first, last = self._bounds(topic.topic)
            offset = topic.partitions[0].fetch_offset
            part = part_kind(
                partition_index=0,
                error_code=0 if first <= offset <= last else OUT_OF_RANGE,
                high_watermark=last,
                last_stable_offset=last,
                log_start_offset=first,
                aborted_transactions=[],
                preferred_read_replica=-1,
                records=self._records(topic.topic, offset, topic.partitions[0].partition_max_bytes),
            )
            answers.append(topic_kind(topic=topic.topic, partitions=[part]))
        return FetchResponse(throttle_time_ms=0, error_code=0, session_id=0, responses=answers)

    def _bounds(self, topic: str) -> tuple[int, int]:
        start = self.starts.get(topic, 0)
        return start, start + len(self.logs.get(topic, []))

    def _beyond(self, topic: Any) -> bool:
        return bool(topic.partitions[0].fetch_offset < self._bounds(topic.topic)[1])

    def _records(self, topic: str, offset: int, most: int) -> bytes:
        """Whole batches from the one with ``offset`` on; the first, however large it is."""
        start, end = self._bounds(topic)
        if not start <= offset < end:
            return b""
        log = self.logs[topic]
        first = offset - start
        while first > 0 and not log[first]:
            first -= 1
        records = log[first]
        for batch in log[first + 1 :]:
            if len(records) + len(batch) > most:
                break
            records += batch
        return records


def _shake_hands(connection: ssl.SSLSocket) -> None:
    """TLS handshake. When it fails, what the client sends is read: closing before would take our alert along."""
    try:
        connection.do_handshake()
    except ssl.SSLError:
        connection.shutdown(socket.SHUT_WR)
        while os.read(connection.fileno(), 4096):
            pass
        raise


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
