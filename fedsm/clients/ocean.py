"""Clients on an Ocean chain. What issues assets comes from the node's wallet; nothing costs a fee."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.rpc import RpcError
from fedsm.chains.transaction import ELEMENTS, explicit_value
from fedsm.chains.transactions import ISSUANCE_BIT
from fedsm.clients.base import SATOSHI, ClientError
from fedsm.clients.holder import Coin
from fedsm.clients.teller import SEQUENCE, VERSION, Teller
from fedsm.reissue.blinding import add_explicit
from fedsm.reissue.issuance import NO_CONTRACT, NO_NONCE, tags_of

if TYPE_CHECKING:
    from fedsm.reissue.custody import Custody, ScriptKind

OP_TRUE = b"\x51"
ISSUANCE_LABEL = "ISSUANCE"
# The old daemon looked at no output with fewer token units than this, so that its users issued so many.
TOKENS = 10_000 * SATOSHI


class OceanTeller(Teller):
    """See Teller. Issuing takes a coin of the issuance policy where the chain has one, else any coin."""

    kind: ScriptKind = "p2sh"

    def issue_with_token(self, satoshi: int, custody: Custody | None) -> bytes:
        """10,000 token units go to the custody; reissuances cost nothing."""
        self._settle()
        coin, script = self._source()
        tags = tags_of(coin.outpoint)
        handle = wally.tx_init(VERSION, 0, 1, 3)
        index = int.from_bytes(coin.outpoint[32:], "little") | ISSUANCE_BIT
        tokens = None if custody is None else explicit_value(TOKENS)
        issued = (NO_NONCE, NO_CONTRACT, explicit_value(satoshi), tokens)
        wally.tx_add_elements_raw_input(
            handle, coin.outpoint[:32], index, SEQUENCE, None, None, *issued, None, None, None, 0
        )
        add_explicit(handle, tags.asset, satoshi, self.holders[0].script)
        if custody is not None:
            add_explicit(handle, tags.token, TOKENS, custody.script_pubkey)
        add_explicit(handle, coin.asset, coin.satoshi, script)
        data = bytes(wally.tx_to_bytes(handle, wally.WALLY_TX_FLAG_USE_WITNESS | ELEMENTS))
        self._submit(self._sign_by_wallet(data, script))
        return tags.asset

    def address(self, holder: int) -> str:
        """The P2SH address of the holder's script."""
        script = self.holders[holder].custody.multisig.script
        return str(self._rpc.call("decodescript", [script.hex()])["p2sh"])

    def _source(self) -> tuple[Coin, bytes]:
        """A coin in the node's wallet, which counts what anyone can spend as its own, and the coin's script."""
        try:
            unspent = self._rpc.call("listunspent", [0])
        except RpcError as error:
            raise ClientError(f"issuing on Ocean takes a coin of the node's wallet: {error}") from None
        usable = [entry for entry in unspent if entry.get("spendable", True)]
        labelled = [entry for entry in usable if entry.get("assetlabel") == ISSUANCE_LABEL]
        entry = max(labelled or usable, key=lambda found: Decimal(found["amount"]), default=None)
        if entry is None:
            raise ClientError("issuing on Ocean takes a coin of the node's wallet, which has none")
        outpoint = bytes.fromhex(entry["txid"])[::-1] + int(entry["vout"]).to_bytes(4, "little")
        coin = Coin(outpoint, bytes.fromhex(entry["asset"])[::-1], int(Decimal(entry["amount"]) * SATOSHI))
        return coin, bytes.fromhex(entry["scriptPubKey"])

    def _sign_by_wallet(self, data: bytes, script: bytes) -> bytes:
        if script == OP_TRUE:
            return data
        signed = self._rpc.call("signrawtransaction", [data.hex()])
        if not signed["complete"]:
            raise ClientError("the node's wallet does not sign for its own coin: is it locked?")
        return bytes.fromhex(signed["hex"])
