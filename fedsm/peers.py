"""What the others' heartbeats tell about them: who is up, how far, and whose clock or configuration differs."""

from __future__ import annotations

from dataclasses import dataclass

from fedsm.log import Logger
from states.messages import Heartbeat

SILENT_MS = 4_000  # four heartbeats: the peer, or the way to it, is down
SKEW_MS = 2_000  # a clock further off than this is named
LAG_BLOCKS = 2  # a peer more blocks behind us than this is named


@dataclass
class Peer:
    """One member as we last heard it. ``seen_ms`` is steady, ``skew_ms`` is its wall clock minus ours.

    ``troubles`` are the stable names of what is wrong with it now.
    """

    member: int
    seen_ms: int
    up: bool
    heartbeat: Heartbeat
    skew_ms: int
    lag: int
    troubles: frozenset[str]


class Peers:
    """Keeps the last heartbeat of each member and logs what changes."""

    def __init__(self, own: int, version: str, federation: str, log: Logger) -> None:
        self._own = own
        self._version = version
        self._federation = federation
        self._log = log
        self.members: dict[int, Peer] = {}

    def heard(self, sender: int, heartbeat: Heartbeat, height: int, steady_ms: int, wall_ms: int) -> None:
        """Take a heartbeat (our own, come back by a relay, is no news); ``height`` is the one we work on."""
        if sender == self._own:
            return
        known = self.members.get(sender)
        skew_ms, lag = heartbeat.time_ms - wall_ms, height - heartbeat.height
        troubles = self._troubles(heartbeat, skew_ms, lag)
        self.members[sender] = Peer(sender, steady_ms, True, heartbeat, skew_ms, lag, troubles)
        if known is None or not known.up:
            self._log.info("peer_up", peer=sender, version=heartbeat.version, peer_height=heartbeat.height)
        before = frozenset[str]() if known is None else known.troubles
        for trouble in sorted(troubles - before):
            detail = self._explain(trouble, heartbeat, skew_ms, lag)
            self._log.warning(f"peer_{trouble}", peer=sender, detail=detail)
        for trouble in sorted(before - troubles):
            self._log.info(f"peer_{trouble}_over", peer=sender)

    def check(self, steady_ms: int) -> None:
        """Notice who has fallen silent."""
        for peer in self.members.values():
            if peer.up and steady_ms - peer.seen_ms > SILENT_MS:
                peer.up = False
                self._log.warning("peer_down", peer=peer.member, silent_ms=steady_ms - peer.seen_ms)

    def _troubles(self, heartbeat: Heartbeat, skew_ms: int, lag: int) -> frozenset[str]:
        troubles = {
            "clock_off": abs(skew_ms) > SKEW_MS,
            "lagging": lag > LAG_BLOCKS,
            "federation_differs": heartbeat.federation != self._federation,
            "version_differs": heartbeat.version != self._version,
        }
        return frozenset(name for name, present in troubles.items() if present)

    def _explain(self, trouble: str, heartbeat: Heartbeat, skew_ms: int, lag: int) -> str:
        if trouble == "clock_off":
            return f"its clock is {abs(skew_ms)} ms {'ahead of' if skew_ms > 0 else 'behind'} ours"
        if trouble == "lagging":
            return f"{lag} blocks behind us"
        if trouble == "federation_differs":
            theirs, ours = heartbeat.federation or "none", self._federation or "none"
            return f"the digest of its federation file is {theirs}, of ours {ours}"
        return f"it runs version {heartbeat.version}, we run {self._version}"
