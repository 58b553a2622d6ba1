"""The status document: what ``fedsm status`` and the operator's page show, served as JSON (docs/formats.md).

Times are milliseconds; ``at_ms``, ``since_ms`` and ``slot_ms`` since the Unix epoch by this member's clock.
Members are numbered from 0 in the order of the keys in the block-signing script.
"""

from __future__ import annotations

import msgspec


class Check(msgspec.Struct, frozen=True):
    """One of the named checks of ``/ready``; ``detail`` says what was found, and what to do when it is not ok."""

    name: str
    ok: bool
    detail: str


class Member(msgspec.Struct, frozen=True):
    """A member as this daemon sees it.

    ``silent_ms``: since its last heartbeat, None if there was none. ``lag``: blocks it is behind the highest member
    heard. ``skew_ms``: its clock minus ours. ``signed``: the last height of which its signature was heard.
    ``troubles`` are stable words: clock_off, lagging, federation_differs, version_differs.
    """

    member: int
    ours: bool
    up: bool
    state: str = ""
    height: int = 0
    round: int = 0
    lag: int = 0
    silent_ms: int | None = None
    skew_ms: int = 0
    version: str = ""
    signed: int | None = None
    troubles: tuple[str, ...] = ()


class Block(msgspec.Struct, frozen=True):
    """A height that is closed, as this daemon saw it.

    ``round``: in which it was decided, None if we did not see that; ``rounds``: how many were begun. ``signers``:
    whose signatures were heard (at least M of them are in the block), ``voters``: who voted at all.
    ``latency_ms``: from the slot to the block's acceptance by our node, None if we did not see it decided (who
    comes late waits for another slot).
    """

    height: int
    hash: str
    at_ms: int
    round: int | None
    rounds: int
    proposer: int | None
    signers: tuple[int, ...]
    voters: tuple[int, ...]
    latency_ms: int | None


class Message(msgspec.Struct, frozen=True):
    """A message of a round as it reached us: what, whose, for which block (None: nil or none), and when."""

    kind: str
    member: int
    hash: str | None
    at_ms: int


class RoundDetail(msgspec.Struct, frozen=True):
    """A round of a height. ``failed_at_ms`` is None for one that did not fail."""

    round: int
    proposer: int
    began_at_ms: int | None
    failed_at_ms: int | None
    messages: tuple[Message, ...]


class HeightDetail(msgspec.Struct, frozen=True):
    """Everything that is known of a height: each round with its messages, the signatures, and the story in words.

    ``closed_at_ms`` is None while it is open.
    """

    height: int
    slot_ms: int | None
    closed_at_ms: int | None
    rounds: tuple[RoundDetail, ...]
    signatures: tuple[Message, ...]
    story: tuple[str, ...]


class EdgeCount(msgspec.Struct, frozen=True):
    """How often the round machine went from one state to another since the daemon started."""

    source: str
    dest: str
    count: int


class Notice(msgspec.Struct, frozen=True):
    """A report that concerns the operator: the log line of the same name says the same."""

    at_ms: int
    level: str
    event: str
    height: int
    round: int
    member: int | None
    detail: str


class ReissuedAsset(msgspec.Struct, frozen=True):
    """An asset in the period that began at ``due_height``, and the state of its machine (states/table.py)."""

    asset: str
    state: str
    due_height: int


class ReissuanceStatus(msgspec.Struct, frozen=True):
    """The schedule of reissuances: its period in blocks, the height at which the present one began, its assets."""

    period: int
    due_height: int
    assets: tuple[ReissuedAsset, ...]


class Link(msgspec.Struct, frozen=True):
    """A link of a transport; ``member`` is None for a broker and for our own listening address.

    ``round_trip_ms`` is None where it is not known.
    """

    member: int | None
    address: str
    connected: bool
    since_ms: int
    round_trip_ms: float | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document. ``phase`` is "waiting" until the node has answered, then "running".

    What the chain alone can tell (``members`` to ``public_key``) is 0 or empty while waiting. ``state`` and
    ``agreement`` are those of states/table.py, ``height`` is the one being worked on, ``slot_ms`` when its slot
    opens, ``tip_at_ms`` when we learned of the tip. ``federation`` is the digest of the federation file, empty
    without one, ``reissuance`` None without a schedule.
    """

    version: str
    member: int
    phase: str
    now_ms: int
    started_at_ms: int
    ready: bool
    checks: tuple[Check, ...]
    chain: str = ""
    genesis: str = ""
    members: int = 0
    threshold: int = 0
    quorum: int = 0
    interval_ms: int = 0
    public_key: str = ""
    federation: str = ""
    state: str = ""
    agreement: str = ""
    since_ms: int = 0
    height: int = 0
    round: int = 0
    slot_ms: int = 0
    tip: str = ""
    tip_at_ms: int = 0
    peers: tuple[Member, ...] = ()
    blocks: tuple[Block, ...] = ()
    edges: tuple[EdgeCount, ...] = ()
    notices: tuple[Notice, ...] = ()
    links: tuple[Link, ...] = ()
    refused: dict[str, int] = {}
    reissuance: ReissuanceStatus | None = None
