"""Why a received envelope is not believed: a closed set of reasons, the error that names one, and counters."""

from __future__ import annotations

from collections import Counter
from typing import Literal, get_args

Reason = Literal[
    "oversize",  # longer than any honest envelope of its kind
    "malformed",  # not an envelope, not canonical, or its payload is no message
    "version",  # an envelope of another format version
    "wrong-chain",
    "wrong-epoch",
    "unknown-sender",  # no member has this number
    "stale-height",  # below the floor that the engine has set
    "duplicate",  # these very bytes were opened a moment ago
    "replayed",  # a heartbeat that is not newer than the last one of its sender
    "no-identity",  # no identity certificate of the sender (or of a voter in a proof) has arrived yet
    "other-identity",  # certified, but another key is pinned or certified with a higher serial
    "bad-certificate",  # an identity certificate that the member's block-signing key did not sign
    "bad-signature",
    "unverified-vote",  # a vote in a proof fails against the identity known here; its voter may have a new one
    "mismatch",  # kind, height or round differ between envelope and message
    "bad-payload",  # a field out of bounds, or a proposal whose hash is not its block's
    "bad-proof",  # a quorum proof that proves nothing
    "bad-block-signature",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

# Reasons that convict: an honest member never signs such an envelope. For all others a third party, a race or
# a gap in our own knowledge may be the cause, so they name nobody even when the envelope is authentic.
FAULTS: frozenset[Reason] = frozenset({"malformed", "mismatch", "bad-payload", "bad-proof", "bad-block-signature"})


class EnvelopeError(Exception):
    """An envelope was refused; the only exception that any received bytes can cause.

    ``reason`` is stable. ``sender`` is the member that the envelope claims to come from, ``None`` if it was
    not readable that far: anybody can write it. ``offender`` is set only when the sender's own signature over
    the envelope verified and no honest member signs such a thing.
    """

    def __init__(
        self, reason: Reason, detail: str = "", *, sender: int | None = None, offender: int | None = None
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: Reason = reason
        self.detail = detail
        self.sender = sender
        self.offender = offender


class EnvelopeCounters:
    """Counts of opened and refused envelopes; other threads copy them before they iterate.

    Bounded, as the keys are reasons and member numbers.
    """

    def __init__(self) -> None:
        self.opened: Counter[int] = Counter()  # by sender
        self.refused: Counter[Reason] = Counter()
        self.offences: Counter[tuple[int, Reason]] = Counter()  # by proven offender

    def count_refusal(self, error: EnvelopeError) -> None:
        """Count a refused envelope under its reason and, if someone is convicted by it, under that member."""
        self.refused[error.reason] += 1
        if error.offender is not None:
            self.offences[(error.offender, error.reason)] += 1
