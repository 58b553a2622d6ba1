"""Block signatures as Ocean checks, combines and makes them: any script that BIP 16 rules accept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.ocean_proof import verify_lax
from fedsm.devnet import encoding
from fedsm.devnet.encoding import Flags, ScriptFailure
from fedsm.devnet.interpreter import verify_script
from fedsm.devnet.machine import run
from fedsm.devnet.script_types import multisig_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fedsm.chains.header import BlockHeader

NO_RULES = Flags(0)
SIGN = wally.EC_FLAG_ECDSA  # Ocean does not look for a small r, as later nodes do


@dataclass(frozen=True)
class HashChecker:
    """Judges signatures over a block hash, in any encoding."""

    digest: bytes

    def check_signature(self, signature: bytes, key: bytes, script: bytes, *, segwit: bool) -> bool:  # noqa: ARG002
        """The script plays no part: the message is the block hash alone."""
        return verify_lax(key, self.digest, signature)

    def check_locktime(self, locktime: int) -> bool:  # noqa: ARG002
        """Blocks have no locktime."""
        return False

    def check_sequence(self, sequence: int) -> bool:  # noqa: ARG002
        """Blocks have no sequence."""
        return False


def has_valid_proof(header: BlockHeader) -> bool:
    """Whether the solution satisfies the challenge that the header names."""
    try:
        verify_script(header.solution, header.challenge, (), NO_RULES, HashChecker(header.digest))
    except ScriptFailure:
        return False
    return True


def combine(header: BlockHeader, script_sigs: Iterable[bytes]) -> tuple[BlockHeader, bool]:
    """The header with signatures merged in one by one, and whether they suffice; later ones are then left aside.

    Only valid signatures are taken over, each for its key. A challenge that is no multisig keeps the longer script.
    """
    for script_sig in script_sigs:
        header = replace(header, solution=_merge(header, script_sig))
        if has_valid_proof(header):
            return header, True
    return header, False


def sign(header: BlockHeader, secrets: Mapping[bytes, bytes]) -> bytes:
    """The scriptSig that a wallet with these secret keys (by public key) makes: as many
    signatures as it can and may."""
    parts = multisig_parts(header.challenge)
    if parts is None:
        return b""
    needed, keys = parts
    held = [secrets[key] for key in keys if key in secrets][:needed]
    ders = [bytes(wally.ec_sig_to_der(wally.ec_sig_from_bytes(key, header.digest, SIGN))) for key in held]
    return b"\x00" + b"".join(encoding.push(der) for der in ders)


def _merge(header: BlockHeader, script_sig: bytes) -> bytes:
    parts = multisig_parts(header.challenge)
    if parts is None:
        return max(header.solution, script_sig, key=len)
    needed, keys = parts
    offered = sorted({item for script in (header.solution, script_sig) for item in _stack(script) if item})
    found: dict[bytes, bytes] = {}
    for signature in offered:
        key = next((key for key in keys if key not in found and verify_lax(key, header.digest, signature)), None)
        if key is not None:
            found[key] = signature
    placed = [found[key] for key in keys if key in found][:needed]
    missing = [b""] * (needed - len(placed))
    return b"".join(_push(item) for item in (b"", *placed, *missing))


def _push(item: bytes) -> bytes:
    """Nodes write an empty item as OP_0, and one byte from 1 to 16 as a number."""
    if len(item) == 1 and (1 <= item[0] <= 16 or item[0] == 0x81):
        return bytes([0x4F if item[0] == 0x81 else 0x50 + item[0]])
    return encoding.push(item)


def _stack(script: bytes) -> list[bytes]:
    """What a scriptSig leaves on the stack; what fails leaves what it had got to, which no signature is in."""
    try:
        return run(script, [], NO_RULES, HashChecker(bytes(32)))
    except ScriptFailure:
        return []
