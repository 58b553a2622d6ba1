"""Reissuance on Ocean chains: everything is explicit; what is spendable and what was frozen, the node tells.

getutxoassetinfo and getfreezehistory speak of the present tip only. So they are asked when the tip is the block at
the due height, and the answer is kept on disk: whoever was not there then cannot compute the amount any more and
signs nothing in that period.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fedsm.chains.transaction import explicit_amount, parse_transaction
from fedsm.reissue.judge import show_outpoint
from fedsm.reissue.ocean_draft import make_ocean_draft, ocean_refusal
from fedsm.reissue.on_book import OnBook
from fedsm.reissue.order import AssetTags, FeeCoin, Order
from fedsm.reissue.strategy import Refusal, ReissueError
from states.amounts import Unfrozen
from states.memory import DraftLocked

if TYPE_CHECKING:
    from fedsm.chains.rpc import RpcCaller
    from fedsm.reissue.book import AssetBook, ChainReader, KnownAsset
    from fedsm.reissue.custody import Custody
    from states.amounts import Inflation

SATOSHI = 10**8
KEPT_PERIODS = 4
UNKNOWN = "null"  # what getutxoassetinfo says of entropy and token of an asset that it does not know


class AssetFacts(msgspec.Struct, frozen=True):
    """What a node said of an asset: spendable satoshi, ended freezes, and whether it knows the asset's entropy."""

    supply: int
    known: bool
    unfrozen: tuple[Unfrozen, ...]


class FactsAt(msgspec.Struct, frozen=True):
    """What a node said of all assets when this block was its tip."""

    hash: str
    assets: dict[str, AssetFacts]


class OceanReissue(OnBook):
    """See Strategy. ``file`` keeps what the node said at due heights; ``None`` keeps it in memory."""

    def __init__(
        self,
        rpc: RpcCaller,
        reader: ChainReader,
        book: AssetBook,
        custody: Custody,
        inflation: Inflation,
        destination: bytes,
        address: str,
        paid: str,
        file: Path | None,
    ) -> None:
        super().__init__(rpc, reader, book, custody, inflation, destination, address)
        self._paid = paid
        self._file = file
        self._told: dict[int, FactsAt] = self._load()

    def follow(self) -> None:
        """Read the blocks that are new; at a due height, ask the node about assets before it goes on."""
        super().follow()
        height = self.book.height
        if height > 0 and height % self._inflation.period == 0:
            self._ask(height)

    # --- facts

    def _ask(self, height: int) -> None:
        """Keep what the node says of assets, if its tip is the block at this height all the while."""
        block_hash = self.book.hash_at(height)
        told = self._told.get(height)
        if block_hash is None or (told is not None and told.hash == block_hash):
            return
        if self._rpc.call("getbestblockhash") != block_hash:
            return
        report, history = self._rpc.call("getutxoassetinfo"), self._rpc.call("getfreezehistory")
        if self._rpc.call("getbestblockhash") != block_hash:
            return
        self._told[height] = FactsAt(block_hash, _facts(report, history))
        for old in sorted(self._told)[:-KEPT_PERIODS]:
            del self._told[old]
        self._save()

    def _supply(self, known: KnownAsset, due_height: int) -> tuple[int, tuple[Unfrozen, ...]]:
        if due_height == self.book.height:
            self._ask(due_height)
        told = self._told.get(due_height)
        if told is None or told.hash != self.book.hash_at(due_height):
            raise ReissueError(
                f"our node was not asked while block {due_height} was its tip: what was spendable then cannot be "
                "told any more"
            )
        facts = told.assets.get(known.asset[::-1].hex())
        if facts is None:
            return 0, ()
        if not facts.known:
            raise ReissueError(
                "our node has lost the asset's entropy, and with it the history of freezes, as it does at a "
                "restart: start it once with -rescan=1 and -recordinflation=1"
            )
        return facts.supply, facts.unfrozen

    def _token(self, known: KnownAsset, due_height: int) -> bytes:
        return self._token_coin(known, due_height).outpoint

    def _token_coin(self, known: KnownAsset, due_height: int) -> FeeCoin:
        """The token output and its amount: of several the largest."""
        outpoint = self.book.open_token(known.token, due_height)
        value = None if outpoint is None else self.book.value_of(outpoint)
        satoshi = None if value is None else explicit_amount(value)
        if outpoint is None or satoshi is None:
            token = known.token[::-1].hex()
            raise ReissueError(f"its reissuance token {token} is not on the script: send it to {self._address}")
        return FeeCoin(outpoint, satoshi)

    def _fee_coin(self, known: KnownAsset, due_height: int) -> bytes | None:  # noqa: ARG002 - there is no fee
        return None

    # --- drafts

    def draft(self, due_height: int, asset: str) -> DraftLocked:
        """createrawreissuance, whose answer must be what we would have made."""
        self._reach(due_height)
        order, token = self._order(due_height, asset)
        outpoint = show_outpoint(token.outpoint)
        txid, _, index = outpoint.partition(":")
        paid, back = _units(order.amount), _units(token.satoshi)
        entropy = order.tags.entropy[::-1].hex()
        params = [self._paid, paid, self._address, back, txid, index, entropy]
        data = bytes.fromhex(self._rpc.call("createrawreissuance", params)["hex"])
        if data != make_ocean_draft(order, token, self._custody.script_pubkey):
            raise ReissueError(f"asset {asset}: createrawreissuance gave another transaction than it should")
        return DraftLocked(asset, due_height, parse_transaction(data).txid[::-1].hex(), outpoint, data)

    def refusal(self, due_height: int, asset: str, draft_id: str, draft: bytes) -> Refusal | None:
        """Drafts are equal byte for byte at all members; what differs first is named."""
        self._reach(due_height)
        order, token = self._order(due_height, asset)
        refusal = ocean_refusal(draft, order, token, self._custody.script_pubkey)
        if refusal is not None:
            return refusal
        found = parse_transaction(draft).txid[::-1].hex()
        return None if found == draft_id else Refusal("wrong-id", f"it is transaction {found}, not {draft_id}")

    def _order(self, due_height: int, asset: str) -> tuple[Order, FeeCoin]:
        known = self._known(asset)
        amount = self._amount(due_height, *self._supply(known, due_height))
        order = Order(AssetTags(known.entropy), due_height, amount, self._destination)
        return order, self._token_coin(known, due_height)

    # --- the file

    def _load(self) -> dict[int, FactsAt]:
        """What is in the file; one that cannot be read is as good as none."""
        if self._file is None or not self._file.exists():
            return {}
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[int, FactsAt])
        except (OSError, ValueError):
            return {}

    def _save(self) -> None:
        if self._file is None:
            return
        draft = self._file.with_name(self._file.name + ".new")
        try:
            draft.write_bytes(msgspec.json.encode(self._told))
            draft.replace(self._file)
        except OSError as error:
            raise ReissueError(f"cannot write {self._file}: {error.strerror}", passing=True) from None


def _facts(report: Any, history: Any) -> dict[str, AssetFacts]:
    """The answers of getutxoassetinfo and getfreezehistory by asset, in satoshi."""
    ended: dict[str, list[Unfrozen]] = defaultdict(list)
    for output in history:
        if output["end"] != 0:
            ended[output["asset"]].append(Unfrozen(_satoshi(output["value"]), output["start"], output["end"]))
    return {
        entry["asset"]: AssetFacts(
            _satoshi(entry["amountspendable"]),
            UNKNOWN not in (entry["entropy"], entry["token"]),
            tuple(ended[entry["asset"]]),
        )
        for entry in report
    }


def _satoshi(amount: Any) -> int:
    return int(Decimal(str(amount)) * SATOSHI)


def _units(satoshi: int) -> str:
    return f"{satoshi // SATOSHI}.{satoshi % SATOSHI:08d}"
