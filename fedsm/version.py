"""The version of this distribution, the same as in setup.cfg, and the commit it was made from, if known."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import metadata
from pathlib import Path

__version__ = "0.1.0"

_COMMIT = re.compile(r"[0-9a-f]{40}")
SHOWN_DIGITS = 12


@cache
def commit() -> str:
    """The commit of the source tree that runs or was installed from a repository, shortened; or nothing."""
    found = _of_tree(Path(__file__).resolve().parents[1]) or _of_installation()
    return found[:SHOWN_DIGITS] if _COMMIT.fullmatch(found) else ""


def full_version() -> str:
    """Version and commit, for people."""
    return f"{__version__} (commit {commit()})" if commit() else __version__


def _of_tree(root: Path) -> str:
    """What HEAD of a Git checkout is, read from its files."""
    try:
        directory = root / ".git"
        if directory.is_file():  # a linked work tree
            directory = root / directory.read_text(encoding="utf-8").removeprefix("gitdir: ").strip()
        head = (directory / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        common = directory / "commondir"
        shared = directory / common.read_text(encoding="utf-8").strip() if common.exists() else directory
        return _of_reference(shared, name)
    except (OSError, UnicodeDecodeError):
        return ""


def _of_reference(directory: Path, name: str) -> str:
    loose = directory / name
    if loose.exists():
        return loose.read_text(encoding="ascii").strip()
    packed = (directory / "packed-refs").read_text(encoding="utf-8").splitlines()
    return next((line.split(" ")[0] for line in packed if line.endswith(f" {name}")), "")


def _of_installation() -> str:
    """What pip noted when it installed from a repository."""
    try:
        noted = metadata.distribution("fedsm").read_text("direct_url.json")
        found = json.loads(noted or "{}").get("vcs_info", {}).get("commit_id", "")
    except (metadata.PackageNotFoundError, ValueError):
        return ""
    return str(found)
