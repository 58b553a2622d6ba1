"""What reissuance has in common on both kinds of chains: tokens, signatures and confirmations by the book."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fedsm.chains.rpc import RpcError
from fedsm.chains.transaction import parse_transaction
from fedsm.reissue.judge import show_outpoint
from fedsm.reissue.multisign import signature_digests, with_signatures
from fedsm.reissue.strategy import DueAsset, Refusal, ReissueError, Sent, Standing
from states.amounts import AmountError, Inflation, Unfrozen, amount_due

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedsm.chains.rpc import RpcCaller
    from fedsm.reissue.book import AssetBook, ChainReader, KnownAsset
    from fedsm.reissue.custody import Custody
    from states.memory import DraftLocked

ALREADY_IN_CHAIN = -27  # JSON-RPC error code of sendrawtransaction


class OnBook(ABC):
    """The part of a Strategy that the book of assets tells. ``address`` is where tokens must be sent."""

    def __init__(
        self,
        rpc: RpcCaller,
        reader: ChainReader,
        book: AssetBook,
        custody: Custody,
        inflation: Inflation,
        destination: bytes,
        address: str,
    ) -> None:
        self._rpc = rpc
        self._reader = reader
        self.book = book
        self._custody = custody
        self._inflation = inflation
        self._destination = destination
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

    # --- what a chain does in its own way

    @abstractmethod
    def _supply(self, known: KnownAsset, due_height: int) -> tuple[int, tuple[Unfrozen, ...]]:
        """The spendable supply after the block at a height, and the outputs whose freeze has ended."""

    @abstractmethod
    def _token(self, known: KnownAsset, due_height: int) -> bytes:
        """The outpoint of the token that is spent. ReissueError when there is none that can reissue."""

    @abstractmethod
    def _fee_coin(self, known: KnownAsset, due_height: int) -> bytes | None:
        """The outpoint of the coin that pays the fee, ``None`` where there is no fee. Raises ReissueError."""

    @abstractmethod
    def draft(self, due_height: int, asset: str) -> DraftLocked:
        """The transaction that reissues the asset, as every member makes it."""

    @abstractmethod
    def refusal(self, due_height: int, asset: str, draft_id: str, draft: bytes) -> Refusal | None:
        """Why another member's draft must not be signed."""

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
            supply, unfrozen = self._supply(known, due_height)
            amount = self._amount(due_height, supply, unfrozen)
        except ReissueError as error:
            if error.passing:
                raise
            return DueAsset(name, 0, 0, confirmed, str(error))
        if amount == 0 or confirmed:
            return DueAsset(name, supply, amount, confirmed, unfrozen=unfrozen)
        try:
            self._token(known, due_height)
            self._fee_coin(known, due_height)
        except ReissueError as error:
            return DueAsset(name, supply, amount, "", str(error), unfrozen)
        return DueAsset(name, supply, amount, unfrozen=unfrozen)

    def _amount(self, due_height: int, supply: int, unfrozen: tuple[Unfrozen, ...]) -> int:
        try:
            return amount_due(self._inflation, due_height, supply, unfrozen)
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

    def coins(self, due_height: int, asset: str) -> tuple[str | None, str | None]:
        """The outpoints of token and fee coin."""
        try:
            known = self._known(asset)
            token, fee_coin = self._token(known, due_height), self._fee_coin(known, due_height)
        except ReissueError:
            return None, None
        return show_outpoint(token), None if fee_coin is None else show_outpoint(fee_coin)

    def whereabouts(self, asset: str) -> str:
        """Unknown, or its token is elsewhere."""
        try:
            known = self._known(asset)
        except ReissueError as error:
            return str(error)
        token = known.token[::-1].hex()
        return f"its reissuance token {token} is not on the script: send it to the address {self._address}"

    # --- signatures

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
        token = self._token(known, due_height)
        spent = self.book.spent_at(token)
        if spent is not None:
            return Standing("absent", f"the token was moved in block {spent}")
        return Standing("pending" if self._is_spent(token) else "absent")

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
