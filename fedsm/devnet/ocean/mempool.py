"""Ocean's waiting transactions: no relay policy by default, no minimum fee, replacement by a higher fee."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.devnet import connect, rules
from fedsm.devnet.encoding import STANDARD, Flags
from fedsm.devnet.mempool import Mempool, MempoolEntry
from fedsm.devnet.policy import fee_for
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.coins import Coin

RELAY_FEE_RATE = 1000  # satoshi per 1000 bytes, asked for replacements only
ABSURD_FEE = 10_000_000  # satoshi: -maxtxfee
MISSING_INPUTS = "Missing inputs"  # no verdict on the transaction: an error of its own
INVALID, DUPLICATE, NONSTANDARD, LOW_FEE, HIGH_FEE, KNOWN = 16, 18, 64, 66, 256, 257
_CODES = {
    "insufficient fee": LOW_FEE,
    "absurdly-high-fee": HIGH_FEE,
    "txn-already-in-mempool": KNOWN,
    "txn-already-known": KNOWN,
    "bad-txns-inputs-spent": DUPLICATE,
    "non-final": NONSTANDARD,
    "non-BIP68-final": NONSTANDARD,
    "too-long-mempool-chain": NONSTANDARD,
    "replacement-adds-unconfirmed": NONSTANDARD,
}


def reject_code(reason: str) -> int:
    """The number that nodes put before a reason (src/consensus/validation.h)."""
    if reason.startswith("non-mandatory"):
        return NONSTANDARD
    return _CODES.get(reason, INVALID)


class OceanMempool(Mempool):
    """Waiting transactions by Ocean's rules. The fee of an entry is that of the first asset it pays fees in."""

    def accept(self, transaction: Transaction, now: float, *, only_test: bool = False) -> MempoolEntry:
        """Check a transaction and take it in. Raises Rejection with the node's reason."""
        self._check_alone(transaction)
        conflicts = self._conflicts(transaction)
        coins = self._find_coins(transaction)
        entry = self._new_entry(transaction, now)
        entry.fee = _fee(transaction)
        if entry.fee > ABSURD_FEE:
            raise Rejection("absurdly-high-fee")
        self._check_relatives(entry)
        replaced = self._replaced(entry, conflicts)
        connect.check_inputs(transaction, self, self.chain.tip.height + 1, self.chain.rules)
        _check_scripts(transaction, coins)
        connect.check_scripts(transaction, coins, self.chain.script_rules, self._cache)
        if not only_test:
            self._remove(replaced)
            self._add(entry)
        return entry

    def _check_alone(self, transaction: Transaction) -> None:
        rules.check_transaction(transaction)
        if transaction.is_coinbase:
            raise Rejection("coinbase")
        tip = self.chain.tip
        if not rules.is_final(transaction, tip.height + 1, tip.median_time):
            raise Rejection("non-final")
        if transaction.txid in self.entries:
            raise Rejection("txn-already-in-mempool")

    def _conflicts(self, transaction: Transaction) -> list[MempoolEntry]:
        spenders = (self._spenders.get(spending.outpoint) for spending in transaction.inputs)
        return list(dict.fromkeys(entry for entry in spenders if entry is not None))

    def _find_coins(self, transaction: Transaction) -> list[Coin]:
        if self.has_coins(transaction.txid):
            raise Rejection("txn-already-known")
        if not all(self._knows(spending.outpoint[:32]) for spending in transaction.inputs):
            raise Rejection(MISSING_INPUTS)
        found = [self.get(spending.outpoint) for spending in transaction.inputs]
        coins = [coin for coin in found if coin is not None]
        if len(coins) != len(found):
            raise Rejection("bad-txns-inputs-spent")
        if not connect.check_relative_locks(transaction, coins, self.chain.tip):
            raise Rejection("non-BIP68-final")
        return coins

    def has_coins(self, txid: bytes) -> bool:
        """Whether a confirmed transaction has outputs left to spend."""
        found = self.chain.find_transaction(txid)
        if found is None:
            return False
        outputs = range(len(found[0].outputs))
        return any(self.chain.coins.get(found[0].outpoint(index)) is not None for index in outputs)

    def _knows(self, txid: bytes) -> bool:
        return txid in self.entries or self.has_coins(txid)

    def _replaced(self, entry: MempoolEntry, conflicts: list[MempoolEntry]) -> Iterable[MempoolEntry]:
        """The entries that make way, if the new one pays for it."""
        if not conflicts:
            return []
        size = entry.transaction.vsize
        if any(entry.fee * rival.transaction.vsize <= rival.fee * size for rival in conflicts):
            raise Rejection("insufficient fee")
        known = {spending.outpoint[:32] for rival in conflicts for spending in rival.transaction.inputs}
        sources = {spending.outpoint[:32] for spending in entry.transaction.inputs}
        if any(source in self.entries for source in sources - known):
            raise Rejection("replacement-adds-unconfirmed")
        replaced = {kin for rival in conflicts for kin in rival.descendants()}
        if entry.fee - sum(kin.fee for kin in replaced) < fee_for(size, RELAY_FEE_RATE):
            raise Rejection("insufficient fee")
        return replaced


def _fee(transaction: Transaction) -> int:
    """Of several assets that fees are paid in, the one with the lowest id counts."""
    fees = sorted(transaction.fees.items())
    return fees[0][1] if fees else 0


def _check_scripts(transaction: Transaction, coins: list[Coin]) -> None:
    """Standard rules first; only BIP 16 is mandatory. The text is that of the standard rules in either case."""
    for index in range(len(transaction.inputs)):
        failure = connect.script_failure(transaction, index, coins, STANDARD)
        if failure is None:
            continue
        mandatory = connect.script_failure(transaction, index, coins, Flags(0))
        kind = "non-mandatory-script-verify-flag" if mandatory is None else "mandatory-script-verify-flag-failed"
        raise Rejection(f"{kind} ({failure})")
