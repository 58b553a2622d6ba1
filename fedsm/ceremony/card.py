"""A member's card: what the others need to know of it, and nothing that must be kept secret.

As TOML, or as one line for a chat or a phone call, whose last part is a checksum against slips:

    fedsm-card-1,CHAIN,NAME,ADDRESS,PUBLIC KEY,CURVE KEY,CHECKSUM
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path

import msgspec
import wallycore as wally
from zmq.utils import z85

from fedsm.errors import FedsmError
from transports.base import TransportError
from transports.curve import check_public_key
from transports.nodes import parse_nodes

LINE_TAG = "fedsm-card-1"
LINE_PARTS = 7
CHECKSUM_DIGITS = 8
_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")


class MemberCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One member's card.

    ``chain`` is the chain's name at the nodes, ``name`` what people call the member, ``address`` where its daemon
    listens, ``public_key`` its block-signing key (33 bytes, hex), ``curve`` its CURVE public key (Z85).
    """

    chain: str
    name: str
    address: str
    public_key: str
    curve: str

    @property
    def line(self) -> str:
        """The card as one line."""
        body = ",".join(
            (LINE_TAG, self.chain, self.name, self.address, self.public_key, z85.decode(self.curve).hex())
        )
        return f"{body},{_checksum(body)}"

    @property
    def toml(self) -> str:
        """The card as a TOML file."""
        fields = msgspec.structs.asdict(self)
        lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
        return "\n".join(("# A member's card: public, for whoever assembles the federation.", *lines, ""))


def check_words(chain: str, name: str, address: str) -> None:
    """FedsmError that names the word of a card which is wrong."""
    for field, value in (("chain", chain), ("name", name)):
        if not _NAME.fullmatch(value):
            raise FedsmError(f"{field} is {value!r}: 1 to 32 letters, digits, dots, dashes, underscores")
    try:
        parse_nodes(address, 0)
    except TransportError:
        raise FedsmError(f"address is {address!r}, not host:port") from None


def check_signing_key(public_key: str) -> None:
    """FedsmError unless this is a compressed public key in hex."""
    try:
        wally.ec_public_key_verify(bytes.fromhex(public_key))
    except ValueError:
        raise FedsmError("public_key is not a compressed public key of 66 hex digits") from None


def _check_card(card: MemberCard) -> None:
    check_words(card.chain, card.name, card.address)
    check_signing_key(card.public_key)
    try:
        check_public_key(card.curve)
    except TransportError as error:
        raise FedsmError(f"curve: {error}") from None


def read_card(source: str) -> MemberCard:
    """The card of a line, or of a file that holds a line or TOML. FedsmError names the source and the field."""
    text, where = source, "card"
    if not source.startswith(LINE_TAG):
        where = source
        try:
            text = Path(source).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not text"
            raise FedsmError(f"{source} is no card and no file with one: {reason}") from None
    try:
        card = _of_line(text) if text.startswith(LINE_TAG) else msgspec.convert(tomllib.loads(text), MemberCard)
        _check_card(card)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, FedsmError) as error:
        raise FedsmError(f"{where}: {error}") from None
    return card


def _of_line(line: str) -> MemberCard:
    body, _, checksum = line.rpartition(",")
    parts = line.split(",")
    if len(parts) != LINE_PARTS:
        raise FedsmError(f"a card line has {LINE_PARTS} parts, this one has {len(parts)}: it was cut or mixed up")
    if checksum != _checksum(body):
        raise FedsmError(f"the checksum is not that of the line of {parts[2]}: it was changed on its way")
    _, chain, name, address, public_key, curve, _ = parts
    try:
        return MemberCard(chain, name, address, public_key, z85.encode(bytes.fromhex(curve)).decode())
    except ValueError:
        raise FedsmError("the CURVE key is not hex") from None


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:CHECKSUM_DIGITS]
