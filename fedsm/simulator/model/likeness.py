"""What counts as the same: memories, rows and messages that differ in nothing that makes a difference.

- The order in which things were put into a dict is of no account: the machines sort, or look for the one that there
  can be.
- Certificates of a decided block are one, whichever Q voters they name: who has decided looks at no vote again.
- Messages are one that differ only in the Q voters that their proof names. Whoever receives one may receive it with
  any Q votes that are under way (Alphabet): it could have heard those votes themselves.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from fedsm.simulator.wire import Wire, unseal
from states.memory import BlockDecided
from states.messages import BlockSignature, Proposal, QuorumProof

_AS_IT_IS = frozenset({type(None), bool, int, str, bytes})
_THE_SAME = frozenset({"settings", "quorum", "timeouts"})  # for a member, all the time
# The field that holds a proof.
PROOF_OF: dict[type, str] = {BlockDecided: "certificate", BlockSignature: "certificate", Proposal: "lock_proof"}


def digest(*parts: object) -> bytes:
    """A short name for what is the same."""
    return blake2b(repr(parts).encode(), digest_size=16).digest()


def likeness(value: Any) -> Any:
    """The same for objects that count as the same: plain data, structs, and instances of classes of ``states``."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is dict:
        return sorted([(repr(key), likeness(item)) for key, item in value.items()])
    if kind is BlockDecided:
        return _without_voters(value)
    if isinstance(value, msgspec.Struct):
        return value
    if kind is set:
        return sorted(map(repr, value))
    if kind in (list, tuple, deque):
        return list(map(likeness, value))
    return kind.__name__, [(name, likeness(item)) for name, item in vars(value).items() if name not in _THE_SAME]


def row_likeness(table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same for rows of a guard that count as the same."""
    if table != "decisions":
        return (table, *row)
    height, block_hash, _, certificate, _ = row
    return (table, height, block_hash, certificate and msgspec.msgpack.decode(certificate, type=QuorumProof).round)


@lru_cache(maxsize=8192)
def message_likeness(envelope: bytes) -> Wire:
    """The same for messages that count as the same."""
    wire = unseal(envelope)
    return msgspec.structs.replace(wire, message=_without_voters(wire.message))


def _without_voters(struct: Any) -> Any:
    if isinstance(struct, QuorumProof):
        return msgspec.structs.replace(struct, voters=(), envelopes=())
    field = PROOF_OF.get(type(struct), "")
    proof = getattr(struct, field) if field else None
    return struct if proof is None else msgspec.structs.replace(struct, **{field: _without_voters(proof)})
