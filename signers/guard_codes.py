"""Why the guard refuses: a closed list of stable codes, for logs, metrics and the operator's page."""

from __future__ import annotations

from typing import Final, Literal

GuardCode = Literal[
    "in-use",
    "corrupt",
    "wrong-chain",
    "wrong-key",
    "newer-version",
    "write-failed",
    "closed",
    "malformed",
    "below-mark",
    "old-round",
    "conflicting-vote",
    "conflicting-lock",
    "vote-against-lock",
    "conflicting-decision",
    "bad-certificate",
    "not-decided",
    "conflicting-signature",
    "bad-signature",
    "conflicting-draft",
    "old-draft",
    "draft-not-locked",
]

MEANINGS: Final[dict[GuardCode, str]] = {
    "in-use": "another process has this guard file open, or works with the same key on the same chain",
    "corrupt": "the guard file is damaged; nothing is signed until it is replaced by an export",
    "wrong-chain": "the guard file or export belongs to another chain",
    "wrong-key": "the guard file, export or signer belongs to another key",
    "newer-version": "the guard file or export was written by a newer fedsm",
    "write-failed": "the guard file cannot be opened or written (disk full, read-only, moved); nothing left",
    "closed": "the guard has been closed",
    "malformed": "a record or an export breaks the format: nothing was changed",
    "below-mark": "the height is closed: at or below the mark",
    "old-round": "a vote for a block in a round before one we voted in already",
    "conflicting-vote": "we voted otherwise in this height, round and kind",
    "conflicting-lock": "a lock may only move to a later round, and holds one block in a round",
    "vote-against-lock": "a precommit for a block must come with the lock on that block in that round",
    "conflicting-decision": "another block is decided at this height",
    "bad-certificate": "the certificate does not decide this block at this height",
    "not-decided": "no certificate has been recorded for this height: nothing may be signed",
    "conflicting-signature": "another block was signed at this height",
    "bad-signature": "the signer's signature does not verify for this block or draft",
    "conflicting-draft": "another reissuance of this asset is locked in this period, or the token to another asset",
    "old-draft": "a reissuance of this asset is locked in a later period already",
    "draft-not-locked": "no lock was recorded for this reissuance: it may not be signed",
}


class GuardError(Exception):
    """The guard refuses; nothing was changed. ``code`` is stable, ``message`` is one line for the operator."""

    def __init__(self, code: GuardCode, message: str) -> None:
        super().__init__(message)
        self.code: GuardCode = code
        self.message = message
