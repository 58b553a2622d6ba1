"""Reaches a Kafka broker: name, TCP and TLS, each within a limit and with its own one-line error."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading

from transports.kafka_errors import BrokerError
from transports.kafka_settings import KafkaServer

CONNECT_S = 5.0  # for each of: name, TCP and TLS, and what follows before the first request


async def dial(
    server: KafkaServer, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the first of the server's addresses that takes one. Raises BrokerError."""
    failure = BrokerError(f"the host name of the Kafka broker {server} has no address")
    for address in await _look_up(server):
        try:
            async with asyncio.timeout(CONNECT_S):
                name = server.host if tls is not None else None
                return await asyncio.open_connection(address, server.port, ssl=tls, server_hostname=name)
        except TimeoutError:
            failure = BrokerError(f"the Kafka broker {server} does not answer")
        except ssl.SSLError as error:
            failure = tls_error(f"the Kafka broker at {server}", error)
        except OSError as error:
            # In a TLS handshake asyncio reports a connection that the other end closed without saying why.
            reason = os.strerror(error.errno) if error.errno else "it closed the connection; does it speak TLS?"
            failure = BrokerError(f"cannot connect to the Kafka broker {server}: {reason}")
    raise failure


async def _look_up(server: KafkaServer) -> list[str]:
    """The addresses of a host, asked for in a thread of its own: a silent name server holds up nothing else."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str]] = loop.create_future()

    def settle(addresses: list[str], reason: str) -> None:
        if future.done():
            return
        if addresses:
            future.set_result(addresses)
        else:
            future.set_exception(BrokerError(f"the Kafka broker {server} has no known address: {reason}"))

    def look_up() -> None:
        addresses, reason = [], "not a host name"
        try:
            found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        except ValueError:
            pass
        except OSError as error:
            reason = error.strerror or str(error)
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, addresses, reason)

    threading.Thread(target=look_up, name="kafka-name-lookup", daemon=True).start()
    try:
        async with asyncio.timeout(CONNECT_S):
            return await future
    except TimeoutError:
        raise BrokerError(f"no name server tells the address of the Kafka broker {server}") from None


def tls_error(name: str, error: ssl.SSLError) -> BrokerError:
    """What TLS trouble with the broker called ``name`` means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return BrokerError(f"the certificate of {name} is not accepted: {error.verify_message}", final=True)
    reason = error.reason or ""
    if reason == "WRONG_VERSION_NUMBER":
        return BrokerError(f"{name} does not speak TLS on this port", final=True)
    if "ALERT" in reason:
        detail = reason.partition("ALERT_")[2].lower().replace("_", " ")
        return BrokerError(f"{name} refused the TLS connection: {detail}", final=True)
    return BrokerError(f"the TLS connection to {name} failed: {reason.lower().replace('_', ' ') or error}")
