"""Checks of what is this member's own: its key and its guard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from fedsm.chains.rpc import RpcCaller
from fedsm.config import GUARD_FILE, DaemonConfig, state_directory
from fedsm.doctor.node import UNKNOWN, FoundChain
from fedsm.errors import FedsmError
from fedsm.keys import open_signer
from fedsm.observe.status import Check
from signers.base import SignerError
from signers.guard import Guard, GuardError

SAMPLE = "fedsm doctor"


def member_checks(config: DaemonConfig, rpc: RpcCaller, found: FoundChain | str) -> Iterator[Check]:
    """Whether the key is the member's and signs, and the guard is there for one daemon and writable."""
    if isinstance(found, str):
        for name in ("key", "signer", "guard"):
            yield Check(name, ok=False, detail=UNKNOWN)
        return
    try:
        signer = open_signer(config, rpc, found.federation)
    except FedsmError as error:
        yield Check("key", ok=False, detail=str(error))
        for name in ("signer", "guard"):
            yield Check(name, ok=False, detail="not known without the key")
        return
    with closing(signer):
        yield Check("key", ok=True, detail=f"{signer.public_key.hex()} is that of member {config.member}")
        try:
            signer.sign_text(SAMPLE)
        except SignerError as error:
            yield Check("signer", ok=False, detail=str(error))
        else:
            yield Check("signer", ok=True, detail="signed a text")
        yield _guard(state_directory(config.data_directory, found.identity.genesis, signer.public_key))


def _guard(directory: Path) -> Check:
    path = directory / GUARD_FILE
    if not path.exists():
        return _new_guard(path)
    try:
        with Guard.open_existing(path) as guard:
            content = "empty" if guard.is_empty else f"has history, mark {guard.mark}"
    except GuardError as error:
        if error.code == "in-use":
            return Check("guard", ok=True, detail=f"{error} (this must be the member's daemon, and no second one)")
        return Check("guard", ok=False, detail=f"{error.code}: {error}")
    if not os.access(path, os.W_OK):
        return Check("guard", ok=False, detail=f"{path} cannot be written by this user")
    return Check("guard", ok=True, detail=f"{path}: {content}")


def _new_guard(path: Path) -> Check:
    """None yet: it can be made if the nearest directory that there is can be written."""
    place = next(parent for parent in path.parents if parent.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        return Check("guard", ok=False, detail=f"{path} cannot be made: {place} cannot be written by this user")
    return Check("guard", ok=True, detail=f"none yet, to be made as {path}")
