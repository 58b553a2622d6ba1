"""Where the web server listens, and who may ask it."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fedsm.errors import FedsmError

DEFAULT_HOST = "127.0.0.1"
# The first member's port; each further one takes the next, so that several members can try it on one machine.
DEFAULT_PORT = 7150
OFF = "off"
TOKEN_VARIABLE = "FEDSM_HTTP_TOKEN"  # noqa: S105 - the name of a variable
LEAST_TOKEN = 16


@dataclass(frozen=True)
class HttpSettings:
    """An address, and the token that whoever asks must show (None: nobody needs one).

    ``port`` None is the default: DEFAULT_PORT plus the member's number, and if it is taken the daemon runs without
    a web server. A port that was asked for must be free.
    """

    host: str = DEFAULT_HOST
    port: int | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def cookie(self) -> str:
        """What a browser shows instead of the token, which it was given once: it does not tell the token."""
        return hashlib.sha256(b"fedsm page " + (self.token or "").encode()).hexdigest()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return _is_loopback(self.host)

    def port_of(self, member: int) -> int:
        """The port to listen on as this member."""
        return DEFAULT_PORT + member if self.port is None else self.port


DEFAULT_HTTP = HttpSettings()


def parse_http(text: str | None, token: str | None) -> HttpSettings | None:
    """The meaning of --http: "HOST:PORT", "PORT" or "off"; None, as without the flag, for the default.

    FedsmError when it is none of these, or when it leads beyond this machine and there is no token.
    """
    if text == OFF:
        return None
    if text is None:
        return HttpSettings(token=token)
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or DEFAULT_HOST
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise FedsmError(f"--http {text} is not HOST:PORT, PORT or {OFF}")
    settings = HttpSettings(host, int(port), token)
    if not settings.is_loopback and token is None:
        raise FedsmError(
            f"--http {text} can be reached from other machines: set a token with --http-token-file or "
            f"{TOKEN_VARIABLE}, or listen on {DEFAULT_HOST}"
        )
    return settings


def load_token(path: Path | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """The token of a file that only its owner can read, or of FEDSM_HTTP_TOKEN. FedsmError names what is wrong."""
    if path is None:
        token = environ.get(TOKEN_VARIABLE)
        where = f"variable {TOKEN_VARIABLE}"
    else:
        token, where = _read(path), f"--http-token-file {path}"
    if token is None:
        return None
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise FedsmError(f"{where}: a token has at least {LEAST_TOKEN} printable characters without spaces")
    return token


def _read(path: Path) -> str:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise FedsmError(f"--http-token-file {path} can be read by others: chmod 600 {path}")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise FedsmError(f"--http-token-file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FedsmError(f"--http-token-file {path} is not text") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
