"""A daemon's status as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedsm.observe.status import Block, Member, ReissuanceStatus, Status

SHOWN_BLOCKS = 8
SHOWN_NOTICES = 5
GOOD, BAD, WARN, FAINT = "green", "bold red", "yellow", "dim"


def view(status: Status) -> RenderableType:
    """Everything of a status that fits on a screen."""
    parts: list[RenderableType] = [_heading(status)]
    if status.phase == "running":
        parts += [_round(status)]
    if status.peers:
        parts += [_members(status), _blocks(status)]
    if status.reissuance is not None:
        parts.append(_reissuance(status.reissuance))
    parts += [*_failures(status), *_notices(status)]
    return Group(*parts)


def _heading(status: Status) -> Text:
    if status.phase == "watching":
        text = Text(f"watching without a key, fedsm {status.version}")
    else:
        text = Text(f"member {status.member}, fedsm {status.version}, ")
        text.append("ready" if status.ready else "not ready", GOOD if status.ready else BAD)
    if status.genesis:
        text.append(f"\nchain {status.chain or 'of genesis'} {status.genesis}")
        text.append(f"\n{status.threshold}-of-{status.members}, Q = {status.quorum}, ")
        text.append(f"a block every {status.interval_ms / 1000:g} s")
        text.append(f"\nfederation {status.federation or 'without a file'}")
    return text


def _round(status: Status) -> Text:
    since = max(0, status.now_ms - status.since_ms) / 1000
    text = Text(f"height {status.height} round {status.round}: {status.state} for {since:.1f} s")
    if status.state == "Propose":
        text.append(f" ({status.agreement})")
    elif status.slot_ms > status.now_ms:
        text.append(f", slot in {(status.slot_ms - status.now_ms) / 1000:.1f} s")
    return text


def _members(status: Status) -> Table:
    table = _table("member", "", "state", "height", "lag", "heard", "clock", "signed", "version", "")
    for member in status.peers:
        table.add_row(*_member(member))
    return table


def _member(member: Member) -> Iterator[RenderableType]:
    yield str(member.member)
    yield Text("us" if member.ours else "up" if member.up else "down", GOOD if member.up else BAD)
    if member.silent_ms is None:
        yield Text("never heard", FAINT)
        return
    yield member.state
    yield str(member.height)
    yield Text(str(member.lag), WARN if member.lag > 1 else "")
    yield "" if member.ours else f"{member.silent_ms / 1000:.1f} s ago"
    yield "" if member.ours else f"{member.skew_ms:+} ms"
    yield "" if member.signed is None else str(member.signed)
    yield member.version
    yield Text(", ".join(member.troubles).replace("_", " "), WARN)


def _blocks(status: Status) -> Table:
    table = _table("block", "hash", "round", "proposer", "after slot", "signatures heard of")
    for block in reversed(status.blocks[-SHOWN_BLOCKS:]):
        table.add_row(*_block(block))
    return table


def _block(block: Block) -> Iterator[str]:
    yield str(block.height)
    yield block.hash[:16]
    yield "" if block.round is None else str(block.round)
    yield "" if block.proposer is None else str(block.proposer)
    yield "" if block.latency_ms is None else f"{block.latency_ms} ms"
    yield " ".join(map(str, block.signers))


def _reissuance(schedule: ReissuanceStatus) -> Text:
    states = ", ".join(f"{it.asset[:16]} {it.state}" for it in schedule.assets) or "nothing is due"
    return Text(f"reissuance every {schedule.period} blocks, period of height {schedule.due_height}: {states}")


def _failures(status: Status) -> Iterator[Text]:
    for check in status.checks:
        if not check.ok:
            yield Text(f"FAIL {check.name}: {check.detail}", BAD)


def _notices(status: Status) -> Iterator[Text]:
    for notice in status.notices[-SHOWN_NOTICES:]:
        at = datetime.fromtimestamp(notice.at_ms / 1000, UTC).strftime("%H:%M:%S")
        about = "" if notice.member is None else f" member {notice.member}"
        line = f"{at} {notice.event}{about}, height {notice.height} round {notice.round} {notice.detail}"
        yield Text(line, BAD if notice.level == "error" else WARN)


def _table(*heads: str) -> Table:
    return Table(*heads, box=None, pad_edge=False, header_style=FAINT)
