"""Reissuance on Elements chains: tokens lie blinded on the federation's script, supplies are read from blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.chains.transaction import parse_transaction
from fedsm.reissue.draft import DraftError, FeeTerms, make_draft
from fedsm.reissue.judge import Expected, FeeLimits, objection_to, show_outpoint
from fedsm.reissue.on_book import OnBook
from fedsm.reissue.order import AssetTags, FeeCoin, Order, TokenCoin
from fedsm.reissue.strategy import Refusal, ReissueError
from states.memory import DraftLocked

if TYPE_CHECKING:
    from fedsm.chains.rpc import RpcCaller
    from fedsm.reissue.book import AssetBook, ChainReader, KnownAsset
    from fedsm.reissue.custody import Custody
    from states.amounts import Inflation, Unfrozen


class ElementsReissue(OnBook):
    """See Strategy. ``address`` is the confidential address of the custody."""

    def __init__(
        self,
        rpc: RpcCaller,
        reader: ChainReader,
        book: AssetBook,
        custody: Custody,
        inflation: Inflation,
        destination: bytes,
        address: str,
        terms: FeeTerms,
        limits: FeeLimits,
    ) -> None:
        super().__init__(rpc, reader, book, custody, inflation, destination, address)
        self._terms = terms
        self._limits = limits

    # --- facts

    def _supply(self, known: KnownAsset, due_height: int) -> tuple[int, tuple[Unfrozen, ...]]:
        """What was issued and not burnt; nothing can be frozen."""
        supply = self.book.supply(known.asset, due_height)
        if supply is None:
            raise ReissueError(
                "a part of its supply was issued with hidden (blinded) amounts: nobody can compute a rate of it"
            )
        return supply, ()

    def _token(self, known: KnownAsset, due_height: int) -> bytes:
        return self._token_coin(known, due_height).outpoint

    def _token_coin(self, known: KnownAsset, due_height: int) -> TokenCoin:
        token = self.book.token(known.token, due_height)
        if token is not None:
            return token
        outpoint = self.book.open_token(known.token, due_height)
        where = "not on the script" if outpoint is None else f"unblinded in {show_outpoint(outpoint)}"
        raise ReissueError(
            f"its reissuance token {known.token[::-1].hex()} is {where}; Elements reissues from blinded token "
            f"outputs only: send it to the confidential address {self._address}"
        )

    def _fee_coin(self, known: KnownAsset, due_height: int) -> bytes | None:
        coin = self._coin_for_fee(known, due_height)
        return None if coin is None else coin.outpoint

    def _coin_for_fee(self, known: KnownAsset, due_height: int) -> FeeCoin | None:
        """The fee coin that is this asset's: the first asset has the largest, and so on."""
        if self._terms.rate == 0:
            return None
        place = [other.asset for other in self._held(due_height)].index(known.asset)
        coins = self.book.fee_coins(due_height)
        if place < len(coins):
            return coins[place]
        raise ReissueError(
            "there is no coin for its fee: pay one of the policy asset, unblinded, for each asset to script "
            f"{self._custody.script_pubkey.hex()} (there are {len(coins)})"
        )

    # --- drafts

    def draft(self, due_height: int, asset: str) -> DraftLocked:
        """The transaction of fedsm/reissue/draft.py."""
        self._reach(due_height)
        order, token, fee_coin = self._order(due_height, asset)
        try:
            data = make_draft(order, token, fee_coin, self._custody, self._terms)
        except DraftError as error:
            raise ReissueError(f"asset {asset}: {error}") from None
        draft_id = parse_transaction(data).txid[::-1].hex()
        return DraftLocked(asset, due_height, draft_id, show_outpoint(token.outpoint), data)

    def refusal(self, due_height: int, asset: str, draft_id: str, draft: bytes) -> Refusal | None:
        """What fedsm/reissue/judge.py finds; and, last, whether it is the draft that we make ourselves."""
        self._reach(due_height)
        order, token, fee_coin = self._order(due_height, asset)
        coins = {} if fee_coin is None else {fee_coin.outpoint: fee_coin.satoshi}
        objection = objection_to(draft, Expected(order, token, coins, self._custody, self._limits))
        if objection is not None:
            return Refusal(*objection)
        found = parse_transaction(draft).txid[::-1].hex()
        if found != draft_id:
            return Refusal("wrong-id", f"it is transaction {found}, not {draft_id}")
        ours = self.draft(due_height, asset).draft_id
        if found != ours:
            return Refusal("another-draft", f"it does what it must, but every member makes {ours}")
        return None

    def _order(self, due_height: int, asset: str) -> tuple[Order, TokenCoin, FeeCoin | None]:
        known = self._known(asset)
        amount = self._amount(due_height, *self._supply(known, due_height))
        order = Order(AssetTags(known.entropy), due_height, amount, self._destination)
        return order, self._token_coin(known, due_height), self._coin_for_fee(known, due_height)
