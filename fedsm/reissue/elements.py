"""Reissuance on Elements chains: tokens lie blinded on the federation's script, supplies are read from blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsm.chains.rpc import RpcError
from fedsm.chains.transaction import parse_transaction
from fedsm.reissue.draft import DraftError, FeeTerms, make_draft
from fedsm.reissue.judge import Expected, FeeLimits, objection_to, show_outpoint
from fedsm.reissue.multisign import signature_digests, with_signatures
from fedsm.reissue.order import AssetTags, FeeCoin, Order, TokenCoin
from fedsm.reissue.strategy import DueAsset, Refusal, ReissueError, Sent, Standing
from states.amounts import AmountError, Inflation, amount_due
from states.memory import DraftLocked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedsm.chains.rpc import RpcCaller
    from fedsm.reissue.book import AssetBook, ChainReader, KnownAsset
    from fedsm.reissue.custody import Custody

ALREADY_IN_CHAIN = -27  # JSON-RPC error code of sendrawtransaction


class ElementsReissue:
    """See Strategy. ``address`` is the confidential address of the custody, for messages."""

    def __init__(
        self,
        rpc: RpcCaller,
        reader: ChainReader,
        book: AssetBook,
        custody: Custody,
        inflation: Inflation,
        destination: bytes,
        terms: FeeTerms,
        limits: FeeLimits,
        address: str,
    ) -> None:
        self._rpc = rpc
        self._reader = reader
        self.book = book
        self._custody = custody
        self._inflation = inflation
        self._destination = destination
        self._terms = terms
        self._limits = limits
        self._address = address

    @property
    def destination(self) -> bytes:
        """The output script that is paid."""
        return self._destination

    @property
    def height(self) -> int:
        """The height of the last block read."""
        return self.book.height

    def follow(self) -> None:
        """Read the blocks that are new."""
        self.book.catch_up(self._reader)

    # --- what is due

    def due(self, due_height: int) -> list[DueAsset]:
        """Every asset whose token is on our script, in the order of ids."""
        self._reach(due_height)
        return [self._due(known, due_height) for known in self._held(due_height)]

    def _due(self, known: KnownAsset, due_height: int) -> DueAsset:
        name = known.asset[::-1].hex()
        later = self.book.reissued_after(known.asset, due_height)
        confirmed = "" if later is None else f"block {later.height}, transaction {later.txid[::-1].hex()}"
        try:
            supply, amount = self._amount(known, due_height)
        except ReissueError as error:
            return DueAsset(name, 0, 0, confirmed, str(error))
        if amount == 0 or confirmed:
            return DueAsset(name, supply, amount, confirmed)
        try:
            self._coins(known, due_height)
        except ReissueError as error:
            return DueAsset(name, supply, amount, obstacle=str(error))
        return DueAsset(name, supply, amount)

    def _amount(self, known: KnownAsset, due_height: int) -> tuple[int, int]:
        supply = self.book.supply(known.asset, due_height)
        if supply is None:
            raise ReissueError(
                "a part of its supply was issued with hidden (blinded) amounts: nobody can compute a rate of it"
            )
        try:
            return supply, amount_due(self._inflation, due_height, supply)
        except AmountError as error:
            raise ReissueError(str(error)) from None

    def _held(self, due_height: int) -> list[KnownAsset]:
        """The assets whose token was on our script at a height, blinded or not."""
        return [
            known
            for known in self.book.assets()
            if known.height <= due_height
            and (self.book.token(known.token, due_height) or self.book.open_token(known.token, due_height))
        ]

    def _coins(self, known: KnownAsset, due_height: int) -> tuple[TokenCoin, FeeCoin | None]:
        """The token, and the fee coin that is this asset's: the first asset has the largest, and so on."""
        token = self.book.token(known.token, due_height)
        if token is None:
            outpoint = self.book.open_token(known.token, due_height)
            where = "not on the script" if outpoint is None else f"unblinded in {show_outpoint(outpoint)}"
            raise ReissueError(
                f"its reissuance token {known.token[::-1].hex()} is {where}; Elements reissues from blinded token "
                f"outputs only: send it to the confidential address {self._address}"
            )
        if self._terms.rate == 0:
            return token, None
        place = [other.asset for other in self._held(due_height)].index(known.asset)
        coins = self.book.fee_coins(due_height)
        if place >= len(coins):
            raise ReissueError(
                f"there is no coin for its fee: pay one of the policy asset, unblinded, for each asset to script "
                f"{self._custody.script_pubkey.hex()} (there are {len(coins)})"
            )
        return token, coins[place]

    def coins(self, due_height: int, asset: str) -> tuple[str | None, str | None]:
        """The outpoints of token and fee coin."""
        try:
            token, fee_coin = self._coins(self._known(asset), due_height)
        except ReissueError:
            return None, None
        return show_outpoint(token.outpoint), None if fee_coin is None else show_outpoint(fee_coin.outpoint)

    def whereabouts(self, asset: str) -> str:
        """Unknown, or its token is elsewhere."""
        try:
            known = self._known(asset)
        except ReissueError as error:
            return str(error)
        return (
            f"its reissuance token {known.token[::-1].hex()} is not on the script: send it to the confidential "
            f"address {self._address}"
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

    def digests(self, draft: bytes) -> tuple[bytes, ...]:
        """By the values of our coins that the draft spends."""
        self.follow()
        values = [self.book.value_of(spending.outpoint) for spending in parse_transaction(draft).inputs]
        if not all(values):
            raise ReissueError("the draft spends coins that we do not know", passing=True)
        return signature_digests(draft, [value for value in values if value is not None], self._custody)

    def complete(self, draft: bytes, signatures: Sequence[Mapping[int, bytes]]) -> bytes:
        """Scripts or witnesses put in."""
        return with_signatures(draft, signatures, self._custody)

    # --- the node

    def send(self, transaction: bytes) -> Sent:
        """sendrawtransaction. What spends the token already is as good: only one such transaction can confirm."""
        try:
            self._rpc.call("sendrawtransaction", [transaction.hex()])
        except RpcError as error:
            if error.code == ALREADY_IN_CHAIN or self._is_spent(parse_transaction(transaction).inputs[0].outpoint):
                return Sent("duplicate", error.message)
            return Sent("rejected", error.message)
        return Sent("accepted")

    def standing(self, due_height: int, asset: str) -> Standing:
        """The book tells what is confirmed; the node's mempool whether something spends the token."""
        self.follow()
        known = self._known(asset)
        later = self.book.reissued_after(known.asset, due_height)
        if later is not None:
            return Standing("confirmed", f"block {later.height}, transaction {later.txid[::-1].hex()}")
        token = self.book.token(known.token, due_height)
        if token is None:
            return Standing("absent", "the token is not on the script")
        spent = self.book.spent_at(token.outpoint)
        if spent is not None:
            return Standing("absent", f"the token was moved in block {spent}")
        return Standing("pending" if self._is_spent(token.outpoint) else "absent")

    def _is_spent(self, outpoint: bytes) -> bool:
        """Whether a coin is spent in the chain or in the node's mempool."""
        txid, index = outpoint[31::-1].hex(), int.from_bytes(outpoint[32:], "little")
        return self._rpc.call("gettxout", [txid, index, True]) is None

    # --- small parts

    def _reach(self, due_height: int) -> None:
        self.follow()
        if self.book.height < due_height:
            raise ReissueError(f"our node is at height {self.book.height}, before {due_height}", passing=True)

    def _known(self, asset: str) -> KnownAsset:
        for known in self.book.assets():
            if known.asset[::-1].hex() == asset:
                return known
        raise ReissueError(f"no issuance of asset {asset} is in the chain")

    def _order(self, due_height: int, asset: str) -> tuple[Order, TokenCoin, FeeCoin | None]:
        known = self._known(asset)
        _, amount = self._amount(known, due_height)
        token, fee_coin = self._coins(known, due_height)
        return Order(AssetTags(known.entropy), due_height, amount, self._destination), token, fee_coin
