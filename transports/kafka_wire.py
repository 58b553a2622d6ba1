"""One connection to a Kafka broker: TLS, SASL, then requests and their answers, in the order of the requests.

kafka-python encodes, decodes and does the SASL arithmetic. Its clients are not used, because neither the broker
nor everybody who may write to a topic is trusted here: the clients hide why a connection failed, wait without
limit for a TLS handshake, expand compressed records without bound, and keep all topics in one queue.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kafka.errors import KafkaError
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.admin import CreateTopicsRequest
from kafka.protocol.consumer import FetchRequest, ListOffsetsRequest
from kafka.protocol.metadata import ApiVersionsRequest, MetadataRequest
from kafka.protocol.producer import ProduceRequest
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from transports.kafka_dial import CONNECT_S, dial, tls_error
from transports.kafka_errors import (
    AUTHENTICATION_FAILED,
    NO_ERROR,
    UNSUPPORTED_MECHANISM,
    BrokerError,
    OversizeError,
    error_name,
)
from transports.kafka_settings import KafkaSasl, KafkaServer

ANSWER_S = 10.0  # a broker that takes longer counts as gone
MAX_ANSWER_BYTES = 1024 * 1024  # to anything but a fetch
CLIENT_ID = "fedsm"


# The versions spoken, from the oldest that Kafka 4 still knows. The newest ones stay below the "flexible" versions
# of each request: on the varints of those kafka-python spends time that grows with the square of their length.
_VERSIONS: dict[Any, tuple[int, int]] = {
    ApiVersionsRequest: (0, 0),
    CreateTopicsRequest: (2, 4),
    FetchRequest: (4, 11),
    ListOffsetsRequest: (1, 5),
    MetadataRequest: (4, 8),
    ProduceRequest: (3, 8),
    SaslAuthenticateRequest: (0, 1),
    SaslHandshakeRequest: (1, 1),
}
_TLS_ALERT = b"\x15\x03"
_UNREADABLE = (ValueError, IndexError, KeyError, TypeError, struct.error, KafkaError)


@dataclass(frozen=True)
class Access:
    """What every connection of a cluster needs."""

    tls: ssl.SSLContext | None
    sasl: KafkaSasl | None


class Connection:
    """Use ``open``. Belongs to the event loop in which it was opened; ends with ``close``."""

    def __init__(
        self,
        server: KafkaServer,
        access: Access,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        max_answer_bytes: int,
    ) -> None:
        self.name = f"the Kafka broker at {server}"
        self._access = access
        self._max_answer_bytes = max_answer_bytes
        self._reader = reader
        self._writer = writer
        self._versions: dict[int, tuple[int, int]] = {}
        self._sequence = 0
        self._answers = 0
        self._waiting: deque[tuple[int, Any, asyncio.Future[Any]]] = deque()
        self._failure: BrokerError | None = None
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, server: KafkaServer, access: Access, max_answer_bytes: int = MAX_ANSWER_BYTES
    ) -> Connection:
        """Connect and authenticate. Raises BrokerError; final for a bad certificate and refused credentials."""
        reader, writer = await dial(server, access.tls)
        connection = cls(server, access, reader, writer, max_answer_bytes)
        try:
            async with asyncio.timeout(CONNECT_S):
                await connection._learn_versions()
                if access.sasl is not None:
                    await connection._authenticate(access.sasl)
        except TimeoutError:
            connection.close()
            raise BrokerError(f"{connection.name} does not answer") from None
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Cut the connection; requests under way fail."""
        self._task.cancel()
        self._fail(BrokerError(f"the connection to {self.name} was closed"))

    async def call(self, request: Any) -> Any:
        """Send a request and wait for its answer, at most ANSWER_S. Raises BrokerError."""
        return await self.answer(self.post(request))

    def post(self, request: Any) -> asyncio.Future[Any]:
        """Send a request now; ``answer`` waits for what comes back."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            future.set_exception(self._failure)
            return future
        request.API_VERSION = self.version_of(type(request))
        self._sequence = (self._sequence + 1) % 2**31
        request.with_header(correlation_id=self._sequence, client_id=CLIENT_ID)
        self._waiting.append((self._sequence, request.header.get_response_class(), future))
        self._writer.write(request.encode(framed=True, header=True))
        return future

    async def answer(self, future: asyncio.Future[Any]) -> Any:
        """The answer to a request that was posted. Raises BrokerError, also when it takes longer than ANSWER_S."""
        try:
            async with asyncio.timeout(ANSWER_S):  # wait_for may lose a cancellation
                return await future
        except TimeoutError:
            raise BrokerError(f"{self.name} has not answered for {ANSWER_S:.0f} s") from None

    def version_of(self, kind: Any) -> int:
        """The version in which requests of this class are sent. Raises BrokerError if there is none in common."""
        least, most = _VERSIONS[kind]
        if kind is ApiVersionsRequest:
            return most
        known_least, known_most = self._versions.get(kind.API_KEY, (0, -1))
        if known_most < least or known_least > most:
            raise BrokerError(
                f"{self.name} does not speak {kind.name} {least} to {most}: it is no Kafka of 2.1 or later",
                final=True,
            )
        return min(most, known_most)

    async def _learn_versions(self) -> None:
        answer = await self.call(ApiVersionsRequest())
        if answer.error_code != NO_ERROR:
            raise BrokerError(f"{self.name} does not tell its versions: {error_name(answer.error_code)}")
        self._versions = {api.api_key: (api.min_version, api.max_version) for api in listed(answer.api_keys)}

    async def _authenticate(self, sasl: KafkaSasl) -> None:
        offer = await self.call(SaslHandshakeRequest(mechanism=sasl.mechanism))
        if offer.error_code == UNSUPPORTED_MECHANISM:
            offered = ", ".join(sorted(str(name) for name in listed(offer.mechanisms))) or "none"
            raise BrokerError(f"{self.name} refused SASL {sasl.mechanism}; it offers {offered}", final=True)
        if offer.error_code != NO_ERROR:
            raise BrokerError(
                f"{self.name} refused SASL {sasl.mechanism}: {error_name(offer.error_code)}", final=True
            )
        mechanism = get_sasl_mechanism(sasl.mechanism)(
            sasl_mechanism=sasl.mechanism,
            sasl_plain_username=_scram_name(sasl) if sasl.mechanism.startswith("SCRAM") else sasl.user,
            sasl_plain_password=sasl.password,
        )
        while not mechanism.is_done():
            answer = await self.call(SaslAuthenticateRequest(auth_bytes=mechanism.auth_bytes()))
            refusal = _refusal(answer)
            if refusal is not None:
                raise BrokerError(
                    f"{self.name} refused {sasl.mechanism} for user {sasl.user!r}: {refusal}", final=True
                )
            try:
                mechanism.receive(answer.auth_bytes or b"")
            except _UNREADABLE as error:
                raise BrokerError(f"{self.name} failed {sasl.mechanism} authentication: {error}") from None

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._frame())
        except BrokerError as error:
            self._fail(error)
        except ssl.SSLError as error:
            self._fail(tls_error(self.name, error))
        except (OSError, EOFError):
            self._fail(BrokerError(f"{self.name} closed the connection{self._hint()}"))

    def _hint(self) -> str:
        """What a broker may have wanted that closes the connection to a newcomer."""
        if self._answers == 0:
            return "; does it expect TLS?" if self._access.tls is None else "; does it want a certificate of ours?"
        if self._answers == 1 and self._access.sasl is None:
            return "; does it expect SASL?"
        return ""

    async def _frame(self) -> bytes:
        head = await self._reader.readexactly(4)
        size = int.from_bytes(head, signed=True)
        if head.startswith(_TLS_ALERT):
            raise BrokerError(f"{self.name} speaks TLS on this port", final=True)
        if size > self._max_answer_bytes and self._versions:
            raise OversizeError(f"{self.name} sent an answer of {size} bytes")
        if not 4 <= size <= self._max_answer_bytes:
            raise BrokerError(f"{self.name} does not speak Kafka's protocol")
        return await self._reader.readexactly(size)

    def _take(self, frame: bytes) -> None:
        if not self._waiting or int.from_bytes(frame[:4]) != self._waiting[0][0]:
            raise BrokerError(f"{self.name} answered what was not asked")
        _, kind, future = self._waiting.popleft()
        self._answers += 1
        if future.done():
            return  # nobody waits any more
        try:
            future.set_result(kind.decode(memoryview(frame)[4:]))
        except _UNREADABLE:
            error = BrokerError(f"{self.name} sent an answer that cannot be read")
            future.set_exception(error)
            raise error from None

    def _fail(self, error: BrokerError) -> None:
        if self._failure is None:
            self._failure = error
        self._writer.transport.abort()
        while self._waiting:
            *_, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(self._failure)
                future.exception()  # noted, even if nobody waits for it


def listed(array: Iterable[Any] | None) -> list[Any]:
    """An array of an answer. Where none may be missing a broker can still send none."""
    return list(array or ())


def _refusal(answer: Any) -> str | None:
    """Why an authentication was refused: by an error code, or, against the protocol, in SCRAM's own words only."""
    if answer.error_code == AUTHENTICATION_FAILED and answer.error_message:
        return str(answer.error_message)
    if answer.error_code != NO_ERROR:
        return error_name(answer.error_code)
    reply = answer.auth_bytes or b""
    if reply.startswith(b"e="):
        return str(reply[2:], "ascii", "replace")
    return None


def _scram_name(sasl: KafkaSasl) -> str:
    """The user name as RFC 5802 wants it in SCRAM; kafka-python sends it as it is given."""
    return sasl.user.replace("=", "=3D").replace(",", "=2C")
