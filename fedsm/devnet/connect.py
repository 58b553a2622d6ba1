"""Transactions against the coins they spend, and whole blocks against the coins of their chain."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fedsm.chains.header import display_hash
from fedsm.chains.transaction import NO_OUTPUT_WITNESS
from fedsm.devnet.amounts import MOST_MONEY
from fedsm.devnet.checkers import InputChecker
from fedsm.devnet.coins import CoinView, Undo, new_coins
from fedsm.devnet.encoding import SEQUENCE_DISABLED, STANDARD, Flags, ScriptFailure
from fedsm.devnet.interpreter import verify_script
from fedsm.devnet.rejection import Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.chains.transaction import Transaction, TxInput
    from fedsm.devnet.block import ParsedBlock
    from fedsm.devnet.chain_rules import ChainRules
    from fedsm.devnet.coins import Coin, CoinSource
    from fedsm.devnet.index import BlockEntry

MOST_CACHED = 200_000
SEQUENCE_IN_TIME = 1 << 22
SEQUENCE_MASK = 0xFFFF
SEQUENCE_SECONDS = 512  # unit of a relative locktime in time (BIP 68)


class ScriptCache:
    """Transactions whose scripts passed, by full hash and rules. The nodes of one process share it."""

    def __init__(self) -> None:
        self._passed: set[tuple[bytes, Flags]] = set()

    def knows(self, transaction: Transaction, flags: Flags) -> bool:
        """Whether these scripts passed under these rules before."""
        return (transaction.wtxid, flags) in self._passed

    def remember(self, transaction: Transaction, flags: Flags) -> None:
        """Note that the scripts passed."""
        if len(self._passed) >= MOST_CACHED:
            self._passed.clear()
        self._passed.add((transaction.wtxid, flags))


def check_inputs(transaction: Transaction, coins: CoinSource, height: int, rules: ChainRules) -> list[Coin]:
    """The coins that a transaction spends in a block at ``height``; amounts and maturity are checked."""
    if any(spending.is_pegin for spending in transaction.inputs):
        raise Rejection("bad-pegin-witness", "this chain has no parent to peg in from")
    found = [coins.get(spending.outpoint) for spending in transaction.inputs]
    spent = [coin for coin in found if coin is not None]
    if len(spent) != len(found):
        raise Rejection("bad-txns-inputs-missingorspent", "CheckTxInputs: inputs missing/spent")
    for coin in spent:
        if coin.coinbase and height - coin.height < rules.maturity:
            detail = f"tried to spend coinbase at depth {height - coin.height}"
            raise Rejection("bad-txns-premature-spend-of-coinbase", detail)
    rules.check_amounts(transaction, spent)
    return spent


def check_scripts(transaction: Transaction, spent: Sequence[Coin], flags: Flags, cache: ScriptCache) -> None:
    """Raise Rejection unless every input satisfies its coin; a pass is remembered."""
    if cache.knows(transaction, flags):
        return
    for index in range(len(transaction.inputs)):
        failure = script_failure(transaction, index, spent, flags)
        if failure is not None:
            detail = _where(transaction, index)
            raise Rejection(f"mandatory-script-verify-flag-failed ({failure})", detail)
    cache.remember(transaction, flags)


def check_standard_scripts(transaction: Transaction, spent: Sequence[Coin], flags: Flags) -> None:
    """Apply relay rules beside the chain's ``flags``; the text tells rules of the chain from mere policy."""
    for index in range(len(transaction.inputs)):
        failure = script_failure(transaction, index, spent, flags | STANDARD)
        if failure is None:
            continue
        detail = _where(transaction, index)
        mandatory = script_failure(transaction, index, spent, flags)
        if mandatory is None:
            raise Rejection(f"non-mandatory-script-verify-flag ({failure})", detail)
        raise Rejection(f"mandatory-script-verify-flag-failed ({mandatory})", detail)


def script_failure(transaction: Transaction, index: int, spent: Sequence[Coin], flags: Flags) -> str | None:
    """The node's text for why input ``index`` does not satisfy its coin; ``None`` when it does."""
    output = spent[index].output
    checker = InputChecker(transaction, index, output, range_proofs=Flags.RANGEPROOF in flags)
    witness = transaction.input_witness[index].script
    try:
        verify_script(transaction.inputs[index].script_sig, output.script, witness, flags, checker)
    except ScriptFailure as failure:
        return str(failure)
    return None


def check_relative_locks(transaction: Transaction, spent: Sequence[Coin], tip: BlockEntry) -> bool:
    """Whether the inputs' relative locktimes (BIP 68) let the transaction into the block on top of ``tip``."""
    if transaction.version < 2:
        return True
    return all(_is_ripe(*pair, tip) for pair in zip(transaction.inputs, spent, strict=True))


def connect_block(
    block: ParsedBlock, tip: BlockEntry, coins: CoinSource, rules: ChainRules, cache: ScriptCache
) -> tuple[CoinView, Undo]:
    """Apply a block to the coins of ``tip``, checking every rule that needs them. Raises Rejection.

    Returns the changed coins, which are the caller's to keep or drop, and what takes the block back.
    """
    height, view, undo = tip.height + 1, CoinView(coins), Undo()
    flags = rules.script_rules(tip)
    rules.check_coinbase(block.transactions[0])
    if any(
        coins.get(outpoint) for transaction in block.transactions for outpoint, _ in new_coins(transaction, height)
    ):
        raise Rejection("bad-txns-BIP30", "tried to overwrite transaction")
    fees: Counter[bytes] = Counter()
    for transaction in block.transactions:
        if not transaction.is_coinbase:
            spent = check_inputs(transaction, view, height, rules)
            if not check_relative_locks(transaction, spent, tip):
                detail = f"contains a non-BIP68-final transaction {display_hash(transaction.txid)}"
                raise Rejection("bad-txns-nonfinal", detail)
            check_scripts(transaction, spent, flags, cache)
            fees.update(transaction.fees)
        view.apply(transaction, height, undo)
    _check_coinbase_amount(block.transactions[0], fees)
    return view, undo


def _check_coinbase_amount(coinbase: Transaction, fees: Counter[bytes]) -> None:
    """The coinbase pays explicit amounts out of the block's fees and nothing else."""
    if any(witness != NO_OUTPUT_WITNESS for witness in coinbase.output_witness):
        raise _too_much()
    left = Counter(fees)
    for output in coinbase.outputs:
        if output.satoshi is None or output.asset[0] != 1:
            raise _too_much()
        if output.satoshi == 0 and not output.is_unspendable:
            raise _too_much()
        left[output.asset] -= output.satoshi
    if any(not 0 <= rest <= MOST_MONEY for rest in left.values()):
        raise _too_much()


def _is_ripe(spending: TxInput, coin: Coin, tip: BlockEntry) -> bool:
    if spending.sequence & SEQUENCE_DISABLED:
        return True
    wait = spending.sequence & SEQUENCE_MASK
    made_at = min(coin.height, tip.height + 1)  # a coin of the mempool is made in the next block at best
    if spending.sequence & SEQUENCE_IN_TIME:
        since = tip.ancestor(max(made_at - 1, 0)).median_time
        return since + wait * SEQUENCE_SECONDS <= tip.median_time
    return made_at + wait <= tip.height + 1


def _where(transaction: Transaction, index: int) -> str:
    outpoint = transaction.inputs[index].outpoint
    ids = f"{display_hash(transaction.txid)} (wtxid {display_hash(transaction.wtxid)})"
    source = f"{display_hash(outpoint[:32])}:{int.from_bytes(outpoint[32:], 'little')}"
    return f"input {index} of {ids}, spending {source}"


def _too_much() -> Rejection:
    return Rejection("bad-cb-amount", "coinbase pays too much")
