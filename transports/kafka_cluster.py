"""The cluster as one member needs it: which broker leads which topic, topics that are there, and connections."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka.protocol.admin import CreateTopicsRequest
from kafka.protocol.metadata import MetadataRequest

from transports.kafka_errors import (
    BAD_REPLICATION,
    CLUSTER_DENIED,
    INVALID_CONFIG,
    INVALID_TOPIC,
    NO_ERROR,
    NOT_YET,
    POLICY_VIOLATION,
    TOPIC_DENIED,
    TOPIC_EXISTS,
    BrokerError,
    denied,
    error_name,
)
from transports.kafka_settings import KafkaServer, server_of
from transports.kafka_wire import MAX_ANSWER_BYTES, Access, Connection, listed

PARTITION = 0  # each topic has this one
TOPIC_WAIT_S = 10.0  # for new topics to be led by a broker
TOPIC_POLL_S = 0.05

_DENIED = (TOPIC_DENIED, CLUSTER_DENIED)

_BROKERS_DEFAULT = -1
_CREATE_DEFAULTS_VERSION = 4
_OPERATION_READ, _OPERATION_WRITE = 3, 4  # AclOperation codes


@dataclass(frozen=True)
class Topic:
    """A topic this member uses. ``config`` is for creating it."""

    name: str
    reads: bool
    writes: bool
    config: Mapping[str, str]


class Cluster:
    """One life of connections: ``connect``, then use, then ``close``. Every method may raise BrokerError."""

    def __init__(self, servers: Sequence[KafkaServer], access: Access, topics: Sequence[Topic]) -> None:
        self._servers = servers
        self._access = access
        self._topics = {topic.name: topic for topic in topics}
        self._brokers: dict[int, KafkaServer] = {}
        self._controller = -1
        self._connections: list[Connection] = []
        self.leaders: dict[str, int] = {}

    async def connect(self) -> None:
        """Find the leader of every topic by any server that answers, and create the topics that are missing."""
        control = await self._first_server()
        end = asyncio.get_running_loop().time() + TOPIC_WAIT_S
        created = False
        while missing := await self._refresh(control):
            if asyncio.get_running_loop().time() > end:
                raise BrokerError(f"no broker leads the Kafka topic {missing[0]} yet")
            if not created:
                await self._create(control, missing)
                created = True
            else:
                await asyncio.sleep(TOPIC_POLL_S)

    async def open(self, node: int, max_answer_bytes: int = MAX_ANSWER_BYTES) -> Connection:
        """A new connection to a broker of the cluster."""
        server = self._brokers.get(node)
        if server is None:
            raise BrokerError(f"broker {node} of the Kafka cluster is not known to it")
        try:
            return await self._open(server, max_answer_bytes)
        except BrokerError as error:
            if server in self._servers:
                raise
            text = f"{error} (the address that the cluster gives for its broker {node})"
            raise BrokerError(text, final=error.final) from None

    @property
    def written_to(self) -> set[int]:
        """The brokers that lead a topic which this member writes."""
        return {self.leaders[topic.name] for topic in self._topics.values() if topic.writes}

    def close(self) -> None:
        """Cut all connections."""
        for connection in self._connections:
            connection.close()

    async def _open(self, server: KafkaServer, max_answer_bytes: int = MAX_ANSWER_BYTES) -> Connection:
        connection = await Connection.open(server, self._access, max_answer_bytes)
        self._connections.append(connection)
        return connection

    async def _first_server(self) -> Connection:
        failures: list[BrokerError] = []
        for server in random.sample(self._servers, len(self._servers)):
            try:
                return await self._open(server)
            except BrokerError as error:
                failures.append(error)
        text = "; ".join(sorted({str(error) for error in failures}))
        raise BrokerError(text, final=all(error.final for error in failures))

    async def _refresh(self, control: Connection) -> list[str]:
        """Learn brokers and leaders. Returns the topics without a leader."""
        request = MetadataRequest(
            topics=[MetadataRequest.MetadataRequestTopic(name=name) for name in self._topics],
            allow_auto_topic_creation=False,
            include_topic_authorized_operations=True,
        )
        answer = await control.call(request)
        found_servers = (
            (broker.node_id, server_of(broker.host or "", broker.port)) for broker in listed(answer.brokers)
        )
        self._brokers = {node: server for node, server in found_servers if server is not None}
        self._controller = answer.controller_id
        self.leaders = {}
        for found in listed(answer.topics):
            topic = self._topics.get(found.name)
            if topic is not None:
                self._learn(topic, found)
        return [name for name in self._topics if name not in self.leaders]

    def _learn(self, topic: Topic, found: Any) -> None:
        if found.error_code in _DENIED:
            raise BrokerError(f"no permission to see the Kafka topic {topic.name}", final=True)
        if found.error_code == INVALID_TOPIC:
            raise BrokerError(f"the broker takes {topic.name!r} for no valid topic name", final=True)
        if found.error_code in NOT_YET:
            return
        if found.error_code != NO_ERROR:
            raise BrokerError(f"the Kafka topic {topic.name} cannot be used: {error_name(found.error_code)}")
        allowed = found.authorized_operations  # None where the broker does not tell
        if allowed and topic.reads and _OPERATION_READ not in allowed:
            raise denied("read", topic.name)
        if allowed and topic.writes and _OPERATION_WRITE not in allowed:
            raise denied("write to", topic.name)
        for partition in listed(found.partitions):
            if partition.partition_index == PARTITION and partition.leader_id >= 0:
                self.leaders[topic.name] = partition.leader_id

    async def _create(self, control: Connection, names: Sequence[str]) -> None:
        connection = control
        if self._controller in self._brokers:
            # A cluster may name a controller that clients cannot reach: its brokers then pass requests on.
            with contextlib.suppress(BrokerError):
                connection = await self.open(self._controller)
        refused = await self._try_to_create(connection, names, _BROKERS_DEFAULT)
        if refused:
            refused = await self._try_to_create(connection, refused, 1)
        if refused:
            raise BrokerError(
                f"the Kafka topic {refused[0]} cannot be created with any replication factor", final=True
            )

    async def _try_to_create(self, connection: Connection, names: Sequence[str], replication: int) -> list[str]:
        """Returns the topics for which this replication factor would not do."""
        if connection.version_of(CreateTopicsRequest) < _CREATE_DEFAULTS_VERSION:
            replication = 1
        kind = CreateTopicsRequest.CreatableTopic
        setting = kind.CreatableTopicConfig
        request = CreateTopicsRequest(
            topics=[
                kind(
                    name=name,
                    num_partitions=1,
                    replication_factor=replication,
                    assignments=[],
                    configs=[setting(name=key, value=value) for key, value in self._topics[name].config.items()],
                )
                for name in names
            ],
            timeout_ms=int(TOPIC_WAIT_S * 1000) // 2,
            validate_only=False,
        )
        answer = await connection.call(request)
        refused = []
        for topic in listed(answer.topics):
            if topic.error_code in _DENIED:
                raise BrokerError(
                    f"no permission to create the Kafka topic {topic.name}: grant it, or have somebody create "
                    f"the topics {', '.join(names)} with one partition each",
                    final=True,
                )
            if topic.error_code == BAD_REPLICATION:
                refused.append(topic.name)
            elif topic.error_code not in (NO_ERROR, TOPIC_EXISTS):
                detail = topic.error_message or error_name(topic.error_code)
                final = topic.error_code in (INVALID_TOPIC, INVALID_CONFIG, POLICY_VIOLATION)
                raise BrokerError(f"the Kafka topic {topic.name} cannot be created: {detail}", final=final)
        return refused
