"""The reissuance transaction of Ocean chains, as createrawreissuance makes it: everything explicit, no fee.

One input, the token; two outputs, the amount to its destination and the whole token back to the script. An asset's
blinder, which names the token in Elements, is all ones here: nothing is blinded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import wallycore as wally

from fedsm.chains.reader import DecodeError
from fedsm.chains.transaction import ELEMENTS, explicit_value, parse_transaction
from fedsm.chains.transactions import ISSUANCE_BIT
from fedsm.reissue.blinding import add_explicit
from fedsm.reissue.judge import MAX_DRAFT_BYTES, VERSION
from fedsm.reissue.strategy import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedsm.chains.transaction import Transaction
    from fedsm.reissue.order import FeeCoin, Order

UNBLINDED_NONCE = b"\xff" * 32
SEQUENCE = 0xFFFF_FFFF


def make_ocean_draft(order: Order, token: FeeCoin, script: bytes) -> bytes:
    """The unsigned transaction. ``token`` is the token output and its amount, ``script`` the custody's."""
    transaction = wally.tx_init(VERSION, 0, 1, 2)
    index = int.from_bytes(token.outpoint[32:], "little") | ISSUANCE_BIT
    issuance = (UNBLINDED_NONCE, order.tags.entropy, explicit_value(order.amount), None)
    wally.tx_add_elements_raw_input(
        transaction, token.outpoint[:32], index, SEQUENCE, None, None, *issuance, None, None, None, 0
    )
    add_explicit(transaction, order.tags.asset, order.amount, order.destination)
    add_explicit(transaction, order.tags.token, token.satoshi, script)
    return bytes(wally.tx_to_bytes(transaction, wally.WALLY_TX_FLAG_USE_WITNESS | ELEMENTS))


def ocean_refusal(draft: bytes, order: Order, token: FeeCoin, script: bytes) -> Refusal | None:
    """Why a draft is not the one that every member makes, by the first thing that differs; ``None`` if it is."""
    ours = make_ocean_draft(order, token, script)
    if draft == ours:
        return None
    if len(draft) > MAX_DRAFT_BYTES:
        return Refusal("undecodable", f"{len(draft)} bytes, more than {MAX_DRAFT_BYTES}")
    try:
        found, wanted = parse_transaction(draft), parse_transaction(ours)
    except DecodeError as error:
        return Refusal("undecodable", str(error))
    for code, differs, detail in _checks(found, wanted, order):
        if differs:
            return Refusal(code, detail)
    return Refusal("another-draft", "it does what it must, but every member makes it otherwise")


def _checks(found: Transaction, wanted: Transaction, order: Order) -> Iterator[tuple[str, bool, str]]:
    """What may differ, the gravest first: code, whether it does, and what is said of it."""
    spending, right = found.inputs[:1], wanted.inputs[0]
    yield "token-input", [s.outpoint for s in spending] != [right.outpoint], "it does not spend the token"
    yield "unexpected-input", len(found.inputs) > 1, f"{len(found.inputs)} inputs"
    signed = bool(found.inputs[0].script_sig) or found.has_witness
    yield "already-signed", signed, "the input has a script or a witness"
    theirs, ours = found.inputs[0].issuance, right.issuance
    if theirs is None or ours is None or theirs.token_amount != ours.token_amount:
        yield "unexpected-issuance", True, "there must be one issuance, and no new tokens"
        return
    yield "wrong-nonce", theirs.nonce != ours.nonce, f"the issuance nonce is {theirs.nonce.hex()}"
    yield "wrong-entropy", theirs.entropy != ours.entropy, f"the entropy is {theirs.entropy[::-1].hex()}"
    yield "wrong-amount", theirs.amount != ours.amount, f"the amount is not {order.amount} satoshi"
    paid, back = found.outputs[:1], found.outputs[1:2]
    yield "wrong-destination", paid != wanted.outputs[:1], f"not {order.amount} satoshi go to the destination"
    yield "token-return", back != wanted.outputs[1:2], "the token does not go back whole to the federation's script"
    yield "unexpected-output", len(found.outputs) > 2, f"{len(found.outputs)} outputs"
    yield "locktime", found.locktime != 0 or found.version != VERSION, f"version {found.version}, {found.locktime}"
