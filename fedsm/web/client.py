"""Asks a running daemon's web server."""

from __future__ import annotations

import http.client
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fedsm.errors import FedsmError
from fedsm.observe.status import Status
from fedsm.web.settings import DEFAULT_HOST, DEFAULT_PORT, OFF, HttpSettings, load_token, parse_http

TIMEOUT_S = 10.0
# A daemon is asked by its own operator; still, no answer is read without end.
MAX_ANSWER = 16 * 1024 * 1024


@dataclass(frozen=True)
class DaemonAddress:
    """Where a daemon's web server is, and the token it asks for."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(http: str | None, token: str | None, config: Path | None) -> DaemonAddress:
    """The address of --http, else that of the daemon with this configuration file, else the first default one.

    FedsmError when it is none, or the daemon serves nothing.
    """
    settings: dict[str, Any] = {} if config is None else _read(config)
    text = settings.get("http") if http is None else http
    token_file = settings.get("http-token-file", settings.get("http_token_file"))
    if token is None and token_file is not None:
        token = load_token(Path(str(token_file)))
    # What it listens on may be reached from elsewhere; that we ask it needs no token here.
    served = parse_http(None if text is None else str(text), token or "x" * 16)
    if served is None:
        raise FedsmError(f"{config or '--http'} says {OFF}: this daemon serves no status")
    return DaemonAddress(_reachable(served), served.port_of(int(settings.get("id", 0))), token)


def fetch_status(address: DaemonAddress) -> Status:
    """The status document of a daemon. FedsmError says why there is none."""
    try:
        return msgspec.json.decode(fetch(address, "/status.json"), type=Status)
    except msgspec.DecodeError as error:
        raise FedsmError(f"{address} is not a fedsm daemon of this version: {error}") from None


def fetch(address: DaemonAddress, path: str) -> bytes:
    """The body of a daemon's answer. FedsmError when there is none or it is a refusal."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)
    headers = {} if address.token is None else {"Authorization": f"Bearer {address.token}"}
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read(MAX_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise FedsmError(f"no daemon answers at {address}: {reason}; --http names where it serves") from None
    finally:
        connection.close()
    if answer.status == 401:
        raise FedsmError(f"the daemon at {address} asks for a token: --http-token-file or FEDSM_HTTP_TOKEN")
    if answer.status != 200:
        raise FedsmError(f"{address} answers {answer.status} {answer.reason}")
    return body


def _read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FedsmError(f"{config}: {error}") from None


def _reachable(settings: HttpSettings) -> str:
    """A server on all interfaces is asked on the loopback one."""
    return {"0.0.0.0": DEFAULT_HOST, "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
