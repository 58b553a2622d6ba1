"""federation.toml: what all members of a federation share and nobody needs to hide.

::

    name = "mychain"         # optional, of a chain that this federation began: its name at the nodes,
    free_coins = 0           # optional, and the satoshi that its genesis block gives to anyone
    chain = "<genesis block hash>"
    threshold = 3            # M of the block-signing script
    quorum = 3               # Q, optional
    interval = 60            # seconds

    [[member]]               # member 0: the order is that of the keys in the block-signing script
    id = 0
    public_key = "02..."     # block-signing key
    identity = "..."         # identity key, optional: pins it
    address = "host:port"    # where the member's daemon listens, optional with Kafka alone
    curve = "..."            # CURVE public key (Z85), optional: all members or none

The digest is the SHA-256 of the canonical form: the JSON of all values (absent ones as null) with sorted keys and
no spaces. Members compare it in their heartbeats; its first 24 digits are what people read to each other.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from fedsm.chains.script import Multisig, ScriptError
from fedsm.errors import FedsmError
from states.quorum import default_vote_quorum
from transports.base import TransportError
from transports.curve import check_public_key
from transports.nodes import parse_nodes

HASH_DIGITS = 64
MOST_COINS = 2_100_000_000_000_000
SPOKEN_DIGITS = 24  # 96 bits
_IDENTITY = re.compile(r"[0-9a-f]{64}")


class MemberEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One member: block-signing and identity keys in hex, CURVE key in Z85."""

    id: int
    public_key: str
    identity: str | None = None
    address: str | None = None
    curve: str | None = None


class FederationFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. ``interval`` is in seconds."""

    chain: str
    threshold: int
    interval: float
    member: tuple[MemberEntry, ...]
    quorum: int | None = None
    name: str | None = None
    free_coins: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form, hex."""
        canonical = msgspec.json.encode(msgspec.to_builtins(self), order="deterministic")
        return hashlib.sha256(canonical).hexdigest()

    @property
    def spoken(self) -> str:
        """The part of the digest that people read to each other, in groups."""
        return grouped(self.digest[:SPOKEN_DIGITS])

    @property
    def multisig(self) -> Multisig:
        """The block-signing script that the members' keys and M make."""
        return Multisig(self.threshold, tuple(bytes.fromhex(member.public_key) for member in self.member))

    @property
    def nodes(self) -> str | None:
        """The members' addresses as --nodes takes them; None when they are not in the file."""
        addresses = [member.address for member in self.member if member.address is not None]
        return ",".join(addresses) if len(addresses) == len(self.member) else None

    @property
    def identities(self) -> dict[int, bytes]:
        """The identity keys that the file pins (32 bytes, x-only), by member."""
        return {m.id: bytes.fromhex(m.identity) for m in self.member if m.identity is not None}

    @property
    def curve_keys(self) -> dict[int, str]:
        """The CURVE public keys (Z85) by member; empty when links are not encrypted."""
        return {member.id: member.curve for member in self.member if member.curve is not None}


def grouped(digits: str) -> str:
    """Digits in groups of four."""
    return " ".join(digits[i : i + 4] for i in range(0, len(digits), 4))


def dump(file: FederationFile) -> str:
    """The file as TOML, which ``load`` reads."""
    top = {name: value for name, value in msgspec.structs.asdict(file).items() if name != "member"}
    lines = ["# What all members of the federation share. Nothing in it is secret; all must have the same."]
    lines += _lines(top)
    for member in file.member:
        lines += ["", "[[member]]", *_lines(msgspec.structs.asdict(member))]
    return "\n".join([*lines, ""])


def _lines(values: dict[str, Any]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]


def check(file: FederationFile) -> None:
    """FedsmError that names the member or setting which is wrong."""
    try:
        _check(file)
    except (ScriptError, TransportError, ValueError) as error:
        raise FedsmError(str(error)) from None


def load(path: Path) -> FederationFile:
    """Read and check a federation file. FedsmError names the file and the member or setting that is wrong."""
    try:
        content: Any = tomllib.loads(path.read_text(encoding="utf-8"))
        file = msgspec.convert(content, FederationFile)
    except OSError as error:
        raise FedsmError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise FedsmError(f"{path}: {error}") from None
    try:
        check(file)
    except FedsmError as error:
        raise FedsmError(f"{path}: {error}") from None
    return file


def _check(file: FederationFile) -> None:
    if len(file.chain) != HASH_DIGITS or bytes.fromhex(file.chain).hex() != file.chain:
        raise ValueError("chain is not a block hash of 64 lower-case hex digits")
    for position, member in enumerate(file.member):
        if member.id != position:
            raise ValueError(f"member {member.id} stands where member {position} belongs")
        _check_keys(member)
    _check_distinct(file)
    multisig = file.multisig
    least = default_vote_quorum(multisig.n, multisig.m)
    if file.quorum is not None and not least <= file.quorum <= multisig.n:
        raise ValueError(f"quorum is {file.quorum}; it must lie between {least} and {multisig.n}")
    with_address = [member.id for member in file.member if member.address is not None]
    if with_address and len(with_address) != len(file.member):
        raise ValueError(f"only members {with_address} have an address: all or none")
    if file.free_coins is not None and not 0 <= file.free_coins <= MOST_COINS:
        raise ValueError(f"free_coins is {file.free_coins}; it must lie between 0 and {MOST_COINS} satoshi")
    if file.nodes is not None:
        parse_nodes(file.nodes, 0)
    if file.curve_keys and len(file.curve_keys) != len(file.member):
        raise ValueError(f"only members {sorted(file.curve_keys)} have a CURVE key: all or none")


def _check_keys(member: MemberEntry) -> None:
    try:
        bytes.fromhex(member.public_key)
    except ValueError:
        raise ValueError(f"public_key of member {member.id} is not hex") from None
    if member.identity is not None and not _IDENTITY.fullmatch(member.identity):
        raise ValueError(f"identity of member {member.id} is not an x-only key of 64 lower-case hex digits")
    if member.curve is not None:
        try:
            check_public_key(member.curve)
        except TransportError as error:
            raise ValueError(f"curve of member {member.id}: {error}") from None


def _check_distinct(file: FederationFile) -> None:
    """Two members with one key, identity or CURVE key would be one member that counts twice."""
    for name in ("public_key", "identity", "curve"):
        owners: dict[str, int] = {}
        for member in file.member:
            value = getattr(member, name)
            if value is not None and owners.setdefault(value, member.id) != member.id:
                raise ValueError(f"members {owners[value]} and {member.id} have one {name}")
