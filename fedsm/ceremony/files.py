"""Files that are written whole or not at all, and never over something else."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from fedsm.errors import FedsmError

PUBLIC = 0o644
PRIVATE = 0o600


def write_new(path: Path, text: str, mode: int = PUBLIC) -> bool:
    """Write a new file durably; whether it was new. One with the same content is left alone.

    FedsmError if there is one with another content, or it cannot be written.
    """
    try:
        known = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        replace(path, text, mode)
        return True
    except (OSError, UnicodeDecodeError) as error:
        raise FedsmError(f"{path} cannot be read: {error}") from None
    if known != text:
        raise FedsmError(f"{path} exists with another content and is not overwritten: move it away first")
    return False


def replace(path: Path, text: str, mode: int) -> None:
    """Put ``text`` in the place of the file, durably: whoever looks finds the old or the new one, whole."""
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()
        raise FedsmError(f"cannot write {path}: {error.strerror}") from None


def make_private_directory(path: Path) -> None:
    """A directory that only its owner can enter, made if there is none. FedsmError if others can."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise FedsmError(f"cannot make {path}: {error.strerror}") from None
    if mode & 0o077:
        raise FedsmError(f"{path} has mode {mode:04o}, others can enter it: chmod 700 {path}")
