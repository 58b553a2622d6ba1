"""What a script's signatures are checked against: an input of a transaction, or the hash of a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.devnet.encoding import SEQUENCE_DISABLED, SIGHASH_RANGEPROOF

if TYPE_CHECKING:
    from fedsm.chains.transaction import Transaction, TxOutput

LOCKTIME_THRESHOLD = 500_000_000  # below it a locktime is a block height, from it on seconds
SEQUENCE_IN_TIME = 1 << 22
SEQUENCE_MASK = 0xFFFF
FINAL = 0xFFFF_FFFF


@dataclass(frozen=True)
class InputChecker:
    """Judges for input ``index`` of ``transaction``, which spends ``spent``.

    ``range_proofs`` allows signatures that also cover range proofs (SIGHASH_RANGEPROOF, with dynafed).
    """

    transaction: Transaction
    index: int
    spent: TxOutput
    range_proofs: bool

    def check_signature(self, signature: bytes, key: bytes, script: bytes, *, segwit: bool) -> bool:
        """Verify over the Elements signature hash (BIP 143 form for segwit) of the sighash type given."""
        flags = wally.WALLY_TX_FLAG_USE_WITNESS if segwit else 0
        value = self.spent.value if segwit else None
        if signature[-1] & SIGHASH_RANGEPROOF and not self.range_proofs:
            return False
        try:
            digest = wally.tx_get_elements_signature_hash(
                self.transaction.handle, self.index, script, value, signature[-1], flags
            )
        except ValueError:
            return False
        return verify_ecdsa(key, bytes(digest), signature[:-1])

    def check_locktime(self, locktime: int) -> bool:
        """BIP 65: the transaction's own locktime is of the same kind and at least as late."""
        own = self.transaction.locktime
        same_kind = (locktime < LOCKTIME_THRESHOLD) == (own < LOCKTIME_THRESHOLD)
        return same_kind and locktime <= own and self._sequence != FINAL

    def check_sequence(self, sequence: int) -> bool:
        """BIP 112: the input's relative locktime is of the same kind and at least as long."""
        own = self._sequence
        if self.transaction.version < 2 or own & SEQUENCE_DISABLED:
            return False
        same_kind = (sequence & SEQUENCE_IN_TIME) == (own & SEQUENCE_IN_TIME)
        return same_kind and sequence & SEQUENCE_MASK <= own & SEQUENCE_MASK

    @property
    def _sequence(self) -> int:
        return self.transaction.inputs[self.index].sequence


@dataclass(frozen=True)
class BlockChecker:
    """Judges signatures over a block hash: bare DER before dynafed, DER and SIGHASH_ALL in dynafed blocks."""

    digest: bytes
    sighash_byte: bool

    def check_signature(self, signature: bytes, key: bytes, script: bytes, *, segwit: bool) -> bool:  # noqa: ARG002
        """The script plays no part: the message is the block hash alone."""
        if not self.sighash_byte:
            return verify_ecdsa(key, self.digest, signature)
        return signature[-1] == wally.WALLY_SIGHASH_ALL and verify_ecdsa(key, self.digest, signature[:-1])

    def check_locktime(self, locktime: int) -> bool:  # noqa: ARG002
        """Blocks have no locktime."""
        return False

    def check_sequence(self, sequence: int) -> bool:  # noqa: ARG002
        """Blocks have no sequence."""
        return False


def verify_ecdsa(key: bytes, digest: bytes, der: bytes) -> bool:
    """Verify as nodes do: high-S is put right first (whether it is allowed is a rule of its own)."""
    try:
        compact = wally.ec_sig_normalize(wally.ec_sig_from_der(der))
        wally.ec_sig_verify(_compressed(key), digest, wally.EC_FLAG_ECDSA, compact)
    except ValueError:
        return False
    return True


def _compressed(key: bytes) -> bytes:
    return bytes([2 + (key[-1] & 1)]) + key[1:33] if len(key) == 65 else key
