"""Which identity key speaks for which member, as learned from certificates or pinned by configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from states.messages import IdentityCertificate
from transports.identity import verify_certificate
from transports.refusals import EnvelopeError


@dataclass(frozen=True)
class _Known:
    key: bytes
    serial: int


_UNKNOWN = _Known(b"", 0)


class Identities:
    """The identity keys of a federation's members.

    A certificate is believed when the member's block-signing key signed it and its serial is above every one
    seen before; of two with one serial the first stays. A pinned key never changes, whatever is certified.
    """

    def __init__(
        self, chain: bytes, public_keys: Sequence[bytes], pinned: Mapping[int, bytes] | None = None
    ) -> None:
        self._chain = chain
        self._public_keys = tuple(public_keys)
        self._pinned = frozenset(pinned or {})
        self._known = {member: _Known(key, 0) for member, key in (pinned or {}).items()}

    @property
    def size(self) -> int:
        """The number of members, N."""
        return len(self._public_keys)

    @property
    def serials(self) -> tuple[int, ...]:
        """Per member the serial of its newest certificate seen, 0 for none: what a heartbeat reports."""
        return tuple(self._known.get(member, _UNKNOWN).serial for member in range(self.size))

    def is_pinned(self, member: int) -> bool:
        """Whether configuration fixes this member's identity key."""
        return member in self._pinned

    def key_of(self, member: int) -> bytes | None:
        """The 32-byte x-only identity key of a member, ``None`` while it is not known."""
        known = self._known.get(member)
        return None if known is None else known.key

    def learn(self, certificate: IdentityCertificate) -> None:
        """Take the certified key as the member's identity, or see that it already is.

        Raises EnvelopeError: "unknown-sender", "bad-certificate", or "other-identity" when another key is
        pinned or was certified with an equal or higher serial. Of a pinned member only the serial is noted.
        """
        member = certificate.member
        if not 0 <= member < self.size:
            raise EnvelopeError("unknown-sender", f"certificate of member {member}")
        known = self._known.get(member, _UNKNOWN)
        if self.is_pinned(member):
            if certificate.identity_key != known.key:
                raise EnvelopeError("other-identity", "another key is pinned", sender=member)
        elif (certificate.identity_key, certificate.serial) != (known.key, known.serial):
            if certificate.serial <= known.serial:
                detail = f"serial {certificate.serial}, known is {known.serial}"
                raise EnvelopeError("other-identity", detail, sender=member)
            if not verify_certificate(certificate, self._chain, self._public_keys[member]):
                raise EnvelopeError("bad-certificate", f"serial {certificate.serial}", sender=member)
        self._known[member] = _Known(certificate.identity_key, max(certificate.serial, known.serial))
