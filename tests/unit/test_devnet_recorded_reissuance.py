"""Recorded reissuances, honest and forged: the embedded chain must answer as the real node did."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import wallycore as wally

from fedsm.chains.transaction import TxOutput, explicit_value, parse_transaction
from fedsm.devnet import ChainParams
from fedsm.devnet.coins import Coin
from tests.elements_vectors import load
from tests.reissue_vectors import KINDS, internal, outpoint_of
from tests.unit.devnet_support import RpcClient, mine, running, secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ABOUT_ADDRESSES = ("createmultisig", "createblindedaddress")
# The federation that signs the blocks of both recordings; in one of them it holds the tokens too.
BLOCK_SIGNERS = secrets_of(load("reissuance_p2wsh")["scenarios"][0]["multisig"]["members"])
UNBLINDED_CASE = "token output is explicit (never blinded), non-zero nonce"


class Desk:
    """A node that has the coins of a recording, without the blocks that made them."""

    def __init__(self, node: Any, client: RpcClient, scenario: dict[str, Any]) -> None:
        self.node = node
        self.coins = node.chain.coins.coins
        self.client = client
        self.scenario = scenario

    def verdict(self, text: str) -> dict[str, Any]:
        [verdict] = self.client.call("testmempoolaccept", [text])
        return dict(verdict)

    def add_made(self, text: str) -> None:
        """Add the coins that a recorded transaction makes."""
        transaction = parse_transaction(bytes.fromhex(text))
        for index, output in enumerate(transaction.outputs):
            self.add(transaction.outpoint(index), output)

    def add_spent(self, prevouts: list[dict[str, Any]]) -> None:
        """Add coins that a recording describes."""
        for prevout in prevouts:
            fields = ("asset_serialised", "value_serialised", "nonce_serialised", "scriptPubKey")
            self.add(outpoint_of(prevout), TxOutput(*(bytes.fromhex(prevout[field]) for field in fields)))

    def add(self, outpoint: bytes, output: TxOutput) -> None:
        """Add a coin."""
        if not output.is_unspendable:
            self.coins[outpoint] = Coin(output, 0, coinbase=False)


@pytest.fixture(params=KINDS)
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    recording = json.loads(json.dumps(load(f"reissuance_{request.param}")), parse_float=Decimal)
    chain = recording["chain"]
    args = [arg for arg in chain["args"] if not arg.startswith("-fdefaultconsistencychecks")]
    with running(ChainParams.from_args(args, chain=chain["name"])) as devnet:
        client = RpcClient(devnet.services[0])
        assert client.call("getblockhash", 0) == chain["genesis_hash"]
        [scenario] = recording["scenarios"]
        yield Desk(devnet.services[0].node, client, scenario)
        client.close()


def test_addresses_and_assets_are_described_as_recorded(desk: Desk) -> None:
    multisig, asset = desk.scenario["multisig"], desk.scenario["asset"]
    for method in ABOUT_ADDRESSES:
        assert desk.client.call(method, *multisig[method]["params"]) == multisig[method]["result"]
    confidential = multisig["createblindedaddress"]["result"]
    assert desk.client.call("validateaddress", confidential) == multisig["validateaddress_of_confidential"]
    assert desk.client.call("decodescript", multisig["script"]) == multisig["decodescript"]
    recorded = asset["calculateasset"]
    assert desk.client.call("calculateasset", *recorded["params"]) == recorded["result"]


def test_reissuances_are_judged_taken_and_described_as_recorded(desk: Desk) -> None:
    issuance = desk.scenario["issuance"]
    desk.add_made(issuance["tx_hex"])
    for reissuance in desk.scenario["reissuances"]:
        desk.add_spent(reissuance["prevouts"][1:])
        text = reissuance["final_tx_hex"]
        assert desk.verdict(text) == reissuance["testmempoolaccept"]
        assert desk.client.call("sendrawtransaction", text) == reissuance["sendrawtransaction"]["result"]
        decoded = desk.client.call("decoderawtransaction", text)
        assert decoded["vin"][0]["issuance"] == reissuance["decoderawtransaction_vin0_issuance"]
    mine(desk.node, BLOCK_SIGNERS)
    block = desk.client.call("getblock", desk.client.call("getbestblockhash"), 2)
    assert [transaction["hex"] for transaction in block["tx"][1:]] == [
        reissuance["final_tx_hex"] for reissuance in desk.scenario["reissuances"]
    ]
    token = desk.scenario["token_utxo"]
    decoded = desk.client.call("decoderawtransaction", issuance["tx_hex"])
    assert decoded["vout"][token["vout"]] == token["getrawtransaction_verbose_vout"]
    assert decoded["vin"][0]["issuance"] == issuance["decoded_issuance_field"]


def test_forged_reissuances_are_refused_for_the_recorded_reasons(desk: Desk) -> None:
    desk.add_made(desk.scenario["reissuances"][-1]["final_tx_hex"])
    for request in desk.scenario["proposals_to_judge"]["cases"]:
        desk.add_spent(request["prevouts"][1:])
    for case in desk.scenario["node_verdicts"]:
        if case["case"] == UNBLINDED_CASE:
            _add_unblinded_token(desk, case["tx_hex"])
        verdict = desk.verdict(case["tx_hex"])
        assert verdict["allowed"] == case["allowed"], case["case"]
        assert verdict.get("reject-reason") == case["reject-reason"], case["case"]
        if case.get("reject-details"):
            assert verdict["reject-details"] == case["reject-details"], case["case"]


def _add_unblinded_token(desk: Desk, text: str) -> None:
    """The coin that this case spends; the recording has its asset among those of the wallet."""
    spending = parse_transaction(bytes.fromhex(text)).inputs[0]
    issued = next(
        found
        for found in desk.scenario["watch_wallet"]["listissuances"]["result"]
        if internal(found["txid"]) == spending.outpoint[:32]
    )
    script = bytes.fromhex(desk.scenario["multisig"]["scriptPubKey"])
    amount = explicit_value(int(issued["tokenamount"] * 10**8))
    desk.add(spending.outpoint, TxOutput(b"\x01" + internal(issued["token"]), amount, b"\x00", script))


def test_fees_are_refused_as_recorded(desk: Desk) -> None:
    scenario = desk.scenario
    desk.add_made(scenario["reissuances"][-1]["final_tx_hex"])
    for request in scenario["proposals_to_judge"]["cases"]:
        desk.add_spent(request["prevouts"][1:])
    default = scenario["zero_fee"]["default node"]
    assert desk.verdict(scenario["zero_fee"]["tx_hex"])["reject-reason"] == default["reject-reason"]
    zero = scenario["zero_fee"]["explicit zero-value fee output"]
    assert desk.verdict(zero["tx_hex"])["reject-reason"] == zero["reject-reason"]


def test_burns_are_taken_when_allowed_as_recorded(desk: Desk) -> None:
    burn = desk.scenario["burn"]
    desk.add_made(desk.scenario["issuance"]["tx_hex"])
    _add_paying_coin(desk, burn["tx_hex"])
    refusal = burn["sendrawtransaction_without_maxburnamount"]["error"]
    assert desk.client.error("sendrawtransaction", burn["tx_hex"]) == (refusal["code"], refusal["message"])
    _, fee_rate, most_burned = burn["sendrawtransaction_with_maxburnamount"]["params"]
    sent = desk.client.call("sendrawtransaction", burn["tx_hex"], fee_rate, most_burned)
    assert sent == burn["sendrawtransaction_with_maxburnamount"]["result"]


def _add_paying_coin(desk: Desk, text: str) -> None:
    """The wallet's coin that pays for the burn: worth the change and the fee, on the key that the input shows."""
    burning = parse_transaction(bytes.fromhex(text))
    [fee] = [output for output in burning.outputs if output.is_fee]
    worth = sum(output.satoshi or 0 for output in burning.outputs if output.asset == fee.asset)
    key = burning.input_witness[1].script[-1]
    script = b"\x00\x14" + bytes(wally.hash160(key))
    desk.add(burning.inputs[1].outpoint, TxOutput(fee.asset, explicit_value(worth), b"\x00", script))
