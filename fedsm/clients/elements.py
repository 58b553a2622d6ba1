"""Clients on an Elements chain. Fees and first money come from the coins that anyone can spend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fedsm.chains.rpc import RpcError
from fedsm.chains.transaction import parse_transaction
from fedsm.clients.base import SATOSHI, ClientError
from fedsm.clients.holder import Coin, Holder
from fedsm.clients.teller import Pays, Teller, unsigned
from fedsm.reissue.issuance import Funding, Issue, make_issuance, tags_of

if TYPE_CHECKING:
    from fedsm.chains.rpc import RpcCaller
    from fedsm.reissue.custody import Custody, ScriptKind

OP_TRUE = b"\x51"
FEE = 500  # satoshi of a payment or of a split: more than a tenth of a satoshi for each byte of the largest
ISSUANCE_FEE = 2000
PURSE = SATOSHI  # what a holder gets for its fees
TOKENS = 1
FEE_COIN = 1_000_000  # satoshi that the federation gets for the fees of an asset's reissuances
TRIES = 5  # others may spend the same free coin at the same moment


class ElementsTeller(Teller):
    """See Teller."""

    kind: ScriptKind = "p2wsh"

    def __init__(self, rpc: RpcCaller, secrets: Sequence[bytes] | None = None) -> None:
        super().__init__(rpc, secrets)
        self._policy_asset = bytes.fromhex(rpc.call("getsidechaininfo")["pegged_asset"])[::-1]

    def issue_with_token(self, satoshi: int, custody: Custody | None) -> bytes:
        """One token unit goes to the custody, blinded to its key, and a coin for fees."""
        self._settle()
        self._fund(*self.holders)
        first = self.holders[0]
        coin = first.of_asset(self._policy_asset)[0]
        funding = Funding(coin.outpoint, coin.satoshi, self._policy_asset, first.script, ISSUANCE_FEE)
        tokens, fee_coins = (TOKENS, (FEE_COIN,)) if custody is not None else (0, ())
        issue = Issue(satoshi, first.script, tokens, fee_coins)
        self._submit(first.sign(make_issuance(issue, funding, custody), [coin]))
        return tags_of(coin.outpoint).asset

    def address(self, holder: int) -> str:
        """The unconfidential address of the holder's P2WSH script."""
        key = self.holders[holder].signer.public_key.hex()
        return str(self._rpc.call("createmultisig", [1, [key], "bech32"])["address"])

    def _fee(self, payer: Holder) -> tuple[list[Coin], list[Pays]]:
        policy = self._policy_asset
        if not any(coin.satoshi > 2 * FEE for coin in payer.of_asset(policy)):
            self._fund(payer)
        coin = payer.of_asset(policy)[0]
        return [coin], [Pays(policy, coin.satoshi - FEE, payer.script), Pays(policy, FEE, None)]

    def _fund(self, *holders: Holder) -> None:
        """Split a coin of each holder's own off a coin that anyone can spend."""
        for left in reversed(range(TRIES)):
            source = max(self._free_coins(), key=lambda coin: coin.satoshi, default=None)
            rest = 0 if source is None else source.satoshi - PURSE * len(holders) - FEE
            if source is None or rest <= 0:
                raise ClientError("the chain has no coins that anyone can spend, and the node no wallet with money")
            policy = self._policy_asset
            purses = [Pays(policy, PURSE, holder.script) for holder in holders]
            try:
                self._submit(unsigned([source], [*purses, Pays(policy, rest, OP_TRUE), Pays(policy, FEE, None)]))
            except RpcError:
                if left == 0:
                    raise
            else:
                return

    def _free_coins(self) -> Iterator[Coin]:
        """The unspent coins of the policy asset that anyone can spend, confirmed or waiting."""
        scan = self._rpc.call("scantxoutset", ["start", [f"raw({OP_TRUE.hex()})"]])["unspents"]
        found = {(entry["txid"], entry["vout"]) for entry in scan if not entry.get("coinbase")}
        for txid in self._rpc.call("getrawmempool"):
            outputs = parse_transaction(bytes.fromhex(self._rpc.call("getrawtransaction", [txid]))).outputs
            found |= {(txid, index) for index, output in enumerate(outputs) if output.script == OP_TRUE}
        policy = self._policy_asset[::-1].hex()
        for txid, index in found:
            output = self._rpc.call("gettxout", [txid, index, True])
            if output is not None and output.get("asset") == policy:
                outpoint = bytes.fromhex(txid)[::-1] + index.to_bytes(4, "little")
                yield Coin(outpoint, self._policy_asset, int(output["value"] * SATOSHI))
