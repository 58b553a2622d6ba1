"""Whether a member may sign a reissuance transaction that another one has drafted.

A node calls every one of the bad variants valid, once signed: who signs must look. The transaction must do what
was ordered and nothing else, so each input and output has to be accounted for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from fedsm.chains.reader import DecodeError
from fedsm.chains.transaction import Transaction, TxOutput, explicit_value, parse_transaction
from fedsm.reissue.custody import EXPLICIT, Custody

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedsm.reissue.order import Order, TokenCoin

JudgementCode = Literal[
    "undecodable",
    "already-signed",
    "locktime",
    "token-input",
    "unexpected-input",
    "unexpected-issuance",
    "wrong-nonce",
    "wrong-entropy",
    "wrong-amount",
    "wrong-destination",
    "destination-amount",
    "token-return",
    "token-unblind",
    "token-value",
    "fee",
    "fee-change",
    "unexpected-output",
]

MEANINGS: Final[dict[JudgementCode, str]] = {
    "undecodable": "it is no transaction, or larger than one of these can be",
    "already-signed": "it carries scripts or witnesses of inputs, where none can be yet",
    "locktime": "it or an input of it is locked for a time, or it has another version than ours",
    "token-input": "its first input does not spend the token output that this reissuance must spend",
    "unexpected-input": "it spends something else than the token and one fee coin of the federation",
    "unexpected-issuance": "it issues something beside the one reissuance, or more tokens",
    "wrong-nonce": "the issuance does not name the token's asset blinder: it would issue another asset",
    "wrong-entropy": "the issuance is of another asset",
    "wrong-amount": "the issued amount is not the one that the rule gives, or is blinded",
    "wrong-destination": "the issued amount goes to another script",
    "destination-amount": "not all of the issued amount arrives at the destination, in one output",
    "token-return": "the token does not go back to the federation's script in one blinded output",
    "token-unblind": "the returned token does not unblind with the shared key: nobody could use it again",
    "token-value": "not all of the token goes back",
    "fee": "the fee is missing, in several outputs, in another asset, or beyond the limit",
    "fee-change": "the rest of the fee coin does not go back to the federation's script",
    "unexpected-output": "it pays something else than amount, token, change and fee",
}

MAX_DRAFT_BYTES = 20_000
VERSION = 2
LEAST_SEQUENCE = 0xFFFF_FFFD  # lower ones may lock an input for a time (BIP 68)


class Objection(NamedTuple):
    """Why a draft is not signed: a stable code and one line of detail."""

    code: JudgementCode
    detail: str


class FeeLimits(NamedTuple):
    """The policy asset (32 bytes, internal order) and the most satoshi of it that a reissuance may cost."""

    policy_asset: bytes
    max_fee: int


class Expected(NamedTuple):
    """What the judge knows by itself: the order, and the coins by its own node.

    ``fee_coins`` are the unspent outputs of explicit policy asset on the federation's script: outpoint to satoshi.
    """

    order: Order
    token: TokenCoin
    fee_coins: Mapping[bytes, int]
    custody: Custody
    limits: FeeLimits


def objection_to(data: bytes, expected: Expected) -> Objection | None:
    """Why this draft must not be signed, or ``None``. Never raises."""
    if len(data) > MAX_DRAFT_BYTES:
        return Objection("undecodable", f"{len(data)} bytes, more than {MAX_DRAFT_BYTES}")
    try:
        draft = parse_transaction(data)
    except DecodeError as error:
        return Objection("undecodable", str(error))
    return (
        _form(draft)
        or _inputs(draft, expected)
        or _issuance(draft, expected)
        or _destination(draft, expected.order)
        or _token(draft, expected)
        or _fee(draft, expected)
        or _rest(draft, expected)
    )


def _form(draft: Transaction) -> Objection | None:
    proofs = [w for w in draft.input_witness if w.script or w.pegin or w.amount_proof or w.token_proof]
    if proofs or any(spending.script_sig for spending in draft.inputs):
        return Objection("already-signed", "an input has a script or a witness")
    sequences = [spending.sequence for spending in draft.inputs]
    if draft.version != VERSION or draft.locktime != 0 or any(s < LEAST_SEQUENCE for s in sequences):
        detail = f"version {draft.version}, locktime {draft.locktime}, sequences {sequences}"
        return Objection("locktime", detail)
    return None


def _inputs(draft: Transaction, expected: Expected) -> Objection | None:
    outpoints = [spending.outpoint for spending in draft.inputs]
    if not outpoints or outpoints[0] != expected.token.outpoint:
        return Objection("token-input", f"the token is in {show_outpoint(expected.token.outpoint)}")
    if any(spending.is_pegin for spending in draft.inputs):
        return Objection("unexpected-input", "a peg-in")
    for outpoint in outpoints[1:]:
        if outpoint not in expected.fee_coins:
            return Objection("unexpected-input", f"{show_outpoint(outpoint)} is no fee coin of ours")
    if len(outpoints) > 2:
        return Objection("unexpected-input", f"{len(outpoints)} inputs")
    return None


def _issuance(draft: Transaction, expected: Expected) -> Objection | None:
    ours = draft.inputs[0].issuance
    if ours is None or any(spending.issuance is not None for spending in draft.inputs[1:]):
        return Objection("unexpected-issuance", "there must be one issuance, and it on the token input")
    if len(ours.token_amount) != 1:
        return Objection("unexpected-issuance", "it makes new reissuance tokens")
    if ours.nonce != expected.token.holds.asset_blinder:
        return Objection("wrong-nonce", f"the issuance nonce is {ours.nonce.hex()}")
    if ours.entropy != expected.order.tags.entropy:
        return Objection("wrong-entropy", f"the issuance entropy is {ours.entropy[::-1].hex()}")
    if ours.amount != explicit_value(expected.order.amount):
        return Objection("wrong-amount", f"{_show_value(ours.amount)} instead of {expected.order.amount} satoshi")
    return None


def _destination(draft: Transaction, order: Order) -> Objection | None:
    paid = [output for output in draft.outputs if output.asset == b"\x01" + order.tags.asset]
    ours = [output for output in paid if output.script == order.destination]
    if not ours:
        return Objection("wrong-destination", f"nothing is paid to {order.destination.hex()}")
    if len(paid) != 1 or ours[0].value != explicit_value(order.amount) or len(ours[0].nonce) != 1:
        amounts = " and ".join(_show_value(output.value) for output in paid)
        return Objection("destination-amount", f"outputs of {amounts} satoshi instead of one of {order.amount}")
    return None


def _token(draft: Transaction, expected: Expected) -> Objection | None:
    custody, held = expected.custody, expected.token.holds
    ours = [
        (output, proofs)
        for output, proofs in zip(draft.outputs, draft.output_witness, strict=True)
        if output.script == custody.script_pubkey and output.asset[0] != EXPLICIT
    ]
    if len(ours) != 1:
        return Objection("token-return", f"{len(ours)} blinded outputs on the federation's script")
    found = custody.unblind(*ours[0])
    if found is None:
        return Objection("token-unblind", "the shared blinding key does not open the returned output")
    if found.asset != held.asset or found.value != held.value:
        units = f"{found.value} units of {found.asset[::-1].hex()}"
        return Objection("token-value", f"{units} go back, not {held.value}")
    return None


def _fee(draft: Transaction, expected: Expected) -> Objection | None:
    policy = b"\x01" + expected.limits.policy_asset
    coins = [expected.fee_coins[spending.outpoint] for spending in draft.inputs[1:]]
    fees = [output for output in draft.outputs if output.is_fee]
    if len(fees) != len(coins) or any(fee.asset != policy for fee in fees):
        return Objection("fee", f"{len(fees)} fee outputs for {len(coins)} fee coins")
    fee = sum(output.satoshi or 0 for output in fees)
    if coins and not 0 < fee <= expected.limits.max_fee:
        return Objection("fee", f"{fee} satoshi; the limit is {expected.limits.max_fee}")
    change = [output for output in draft.outputs if output.asset == policy and not output.is_fee]
    rest = sum(coins) - fee
    if any(output.script != expected.custody.script_pubkey for output in change) or _total(change) != rest:
        return Objection("fee-change", f"{rest} satoshi must go back to {expected.custody.script_pubkey.hex()}")
    if len(change) > 1:
        return Objection("unexpected-output", f"{len(change)} outputs of change")
    return None


def _rest(draft: Transaction, expected: Expected) -> Objection | None:
    """Amount, token, change and fee are accounted for: anything beyond them is too much."""
    known = {b"\x01" + expected.order.tags.asset, b"\x01" + expected.limits.policy_asset}
    blinded = [output for output in draft.outputs if output.asset not in known]
    if len(blinded) != 1:
        return Objection("unexpected-output", f"{len(blinded) - 1} outputs too many")
    for output, proofs in zip(draft.outputs, draft.output_witness, strict=True):
        if output.asset in known and (proofs.range_proof or proofs.surjection_proof or len(output.nonce) != 1):
            return Objection("unexpected-output", "an explicit output carries proofs or a nonce")
    return None


def _total(outputs: Sequence[TxOutput]) -> int:
    return sum(output.satoshi or 0 for output in outputs)


def _show_value(value: bytes) -> str:
    return str(int.from_bytes(value[1:], "big")) if value[0] == EXPLICIT else "a hidden amount"


def show_outpoint(outpoint: bytes) -> str:
    """``txid:index`` as RPCs print it."""
    return f"{outpoint[31::-1].hex()}:{int.from_bytes(outpoint[32:], 'little')}"
