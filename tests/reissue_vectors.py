"""The recorded reissuances of a real node (tests/vectors/elements/reissuance_*.json) as values of fedsm."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from fedsm.chains.script import parse_multisig
from fedsm.reissue.custody import Custody, Unblinded
from fedsm.reissue.order import AssetTags, FeeCoin, Order, TokenCoin
from signers.software import SoftwareSigner

VECTORS = Path(__file__).parent / "vectors" / "elements"
KINDS = ("p2wsh", "p2sh")


class Recorded:
    """One recording: a multisig of the kind, its members' keys, an asset, and what was done with it."""

    def __init__(self, kind: str) -> None:
        document = json.loads((VECTORS / f"reissuance_{kind}.json").read_text())
        [self.scenario] = document["scenarios"]
        self.policy_asset = internal(document["chain"]["policy_asset"])
        multisig = self.scenario["multisig"]
        script = parse_multisig(bytes.fromhex(multisig["script"]))
        self.custody = Custody(multisig["kind"], script, bytes.fromhex(multisig["blinding_key"]["privkey"]))
        self.signers = [SoftwareSigner(bytes.fromhex(member["privkey"])) for member in multisig["members"]]
        self.tags = AssetTags(bytes.fromhex(self.scenario["asset"]["entropy_internal"]))

    def order(self, request: dict[str, Any]) -> Order:
        destination = bytes.fromhex(request["destination_scriptPubKey"])
        return Order(self.tags, due_height=100, amount=request["amount_satoshi"], destination=destination)

    def token(self, prevout: dict[str, Any]) -> TokenCoin:
        held = prevout["unblinded"]
        return TokenCoin(
            outpoint_of(prevout),
            bytes.fromhex(prevout["asset_serialised"]),
            bytes.fromhex(prevout["value_serialised"]),
            Unblinded(
                held["value_satoshi"],
                internal(held["asset"]),
                bytes.fromhex(held["asset_blinder_internal"]),
                bytes.fromhex(held["amount_blinder_internal"]),
            ),
        )

    def fee_coin(self, prevout: dict[str, Any]) -> FeeCoin:
        return FeeCoin(outpoint_of(prevout), prevout["unblinded"]["value_satoshi"])


@cache
def recorded(kind: str) -> Recorded:
    return Recorded(kind)


def internal(display: str) -> bytes:
    """A hash or asset as RPCs print it, in internal order."""
    return bytes.fromhex(display)[::-1]


def outpoint_of(prevout: dict[str, Any]) -> bytes:
    return internal(prevout["txid"]) + prevout["vout"].to_bytes(4, "little")
