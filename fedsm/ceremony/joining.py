"""Checks a federation file against a member's directory, and makes the directory ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fedsm.ceremony.chain import elements_conf, params_of
from fedsm.ceremony.files import write_new
from fedsm.ceremony.member_directory import MemberDirectory
from fedsm.config import DEFAULT_RPC_PORT
from fedsm.errors import FedsmError
from fedsm.federation_file import FederationFile, MemberEntry, grouped, load

FEDERATION_FILE = "federation.toml"
NODE_FILE = "elements.conf"


class Joined(NamedTuple):
    """Which member we are of which federation, and the configuration of our node, if its chain is a new one."""

    member: int
    file: FederationFile
    node_file: Path | None


def join(path: Path, directory: MemberDirectory, digest: str | None) -> Joined:
    """Make the directory that of a member of the federation in the file at ``path``.

    ``digest`` is what was read aloud, if anything. FedsmError says what does not fit; then nothing was changed.
    """
    file = load(path)
    _check_digest(file, digest)
    member = _place(file, directory)
    settings = {"id": member.id, "federation": str(directory.path / FEDERATION_FILE)}
    node_conf = None
    if file.name is not None:
        port = directory.configured().get("rpcport", DEFAULT_RPC_PORT)
        node_conf = elements_conf(params_of(file), port)
    directory.check_settings(settings)
    write_new(directory.path / FEDERATION_FILE, path.read_text(encoding="utf-8"))
    directory.configure(settings)
    node_file = directory.path / NODE_FILE
    if node_conf is not None and not node_file.exists():  # one that is there may have been edited
        write_new(node_file, node_conf)
    return Joined(member.id, file, None if node_conf is None else node_file)


def _check_digest(file: FederationFile, digest: str | None) -> None:
    if digest is None:
        return
    digits = "".join(digest.split()).lower()
    if len(digits) < len("".join(file.spoken.split())) or not file.digest.startswith(digits):
        raise FedsmError(
            f"the digest of this federation file is {file.spoken}, not {grouped(digits)}: it is not the file that "
            "was agreed on"
        )


def _place(file: FederationFile, directory: MemberDirectory) -> MemberEntry:
    """Our entry in the file. FedsmError unless our keys and address are in it as our card has them."""
    card = directory.card
    found = [member for member in file.member if member.public_key == card.public_key]
    if not found:
        raise FedsmError(f"the key of {directory.path}, {card.public_key}, is not in the federation file")
    (member,) = found
    for field in ("curve", "address"):
        theirs, ours = getattr(member, field), getattr(card, field)
        if theirs is not None and theirs != ours:
            raise FedsmError(
                f"the federation file has {field} {theirs} for member {member.id}, the card of {directory.path} "
                f"has {ours}"
            )
    return member
