"""The embedded chain beside a real node: both get the same calls at the same time and must answer the same."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fedsm.chains.rpc import NodeRpc, RpcError, RpcUnavailable
from fedsm.demo.nodes import find_elementsd
from fedsm.demo.ports import free_ports
from fedsm.devnet import ChainParams, Devnet
from fedsm.devnet.block import ParsedBlock
from tests.elements_vectors import load
from tests.unit.devnet_support import (
    FUNDS_SCRIPT,
    RpcClient,
    build,
    decode,
    eventually,
    finish,
    free_coins,
    secrets_of,
    sign_block,
    sign_funds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.elementsd,
    pytest.mark.skipif(find_elementsd() is None, reason="no elementsd on PATH or in $ELEMENTSD"),
]

CHAIN = load("rpc_errors")["chains"][0]
SECRETS = secrets_of(CHAIN["members"])
SCRIPT = bytes.fromhex(CHAIN["signblockscript"])
START = 1_900_000_000
COINS, COIN = 40, 1_000_000
ARGS = [
    f"-signblockscript={CHAIN['signblockscript']}",
    "-initialfreecoins=2100000000000000",
    "-con_max_block_sig_size=450",
    "-dynamic_epoch_length=5",
    "-con_nminerconfirmationwindow=6",
    "-con_nrulechangeactivationthreshold=5",
]
BY_VERSION_BITS = "-evbparams=dynafed:0:::"  # legacy first, dynafed from height 18 on


class Twins:
    """A real node and one of ours, asked in step."""

    def __init__(self, real: NodeRpc, devnet: Devnet) -> None:
        self.real = real
        self.devnet = devnet
        self.own = RpcClient(devnet.services[0])
        self.now = START

    def ask(self, method: str, *params: object, left_out: tuple[str, ...] = ()) -> Any:
        """The answer of both, which must be one."""
        real = self._ask_real(method, params)
        reply = self.own.answer(method, *params).reply
        own = reply["result"] if reply["error"] is None else (reply["error"]["code"], reply["error"]["message"])
        for answer in (real, own):
            for name in left_out:
                answer.pop(name, None)
        assert own == real, (method, json.dumps(params, default=str)[:200])
        return own

    def _ask_real(self, method: str, params: tuple[object, ...]) -> Any:
        try:
            return self.real.call(method, list(params))
        except RpcError as error:
            return error.code, error.message

    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        self.real.call("setmocktime", [self.now])
        self.devnet.set_clock(self.now)

    def mine(self) -> ParsedBlock:
        block = sign_block(decode(self.ask("getnewblockhex")), SCRIPT, SECRETS)
        assert self.ask("submitblock", block.serialize().hex()) is None
        return block


@pytest.fixture(params=["dynafed", "version bits"])
def twins(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Twins]:
    args = ARGS if request.param == "dynafed" else [*ARGS, BY_VERSION_BITS]
    port = free_ports(1)[0]
    command = [str(find_elementsd()), "-chain=fedtest", f"-datadir={tmp_path}", f"-rpcport={port}", *args]
    command += ["-listen=0", "-txindex=1", "-validatepegin=0", "-fdefaultconsistencychecks=0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    real = NodeRpc(f"http://127.0.0.1:{port}", cookie_file=tmp_path / "fedtest" / ".cookie")
    try:
        eventually(lambda: _is_ready(real), limit_s=60)
        with Devnet(1, ChainParams.from_args(args)) as devnet:
            both = Twins(real, devnet)
            both.pass_time(0)
            yield both
    finally:
        process.terminate()
        process.wait(60)


def _is_ready(real: NodeRpc) -> bool:
    try:
        real.call("getblockcount")
    except (RpcError, RpcUnavailable):
        return False
    return True


def test_blocks_of_random_payments_are_made_judged_and_described_alike(twins: Twins) -> None:
    choice = random.Random(1)
    params = twins.devnet.params
    twins.mine()
    funding = free_coins(params, [(FUNDS_SCRIPT, COIN)] * COINS, 4000)
    twins.ask("sendrawtransaction", funding.raw.hex())
    twins.mine()
    coins = [(funding.txid, index, COIN) for index in range(COINS)]
    for _ in range(22):
        twins.pass_time(choice.randint(1, 30))
        for _ in range(choice.randint(0, 6)):
            _pay(twins, choice, coins)
        twins.ask("getmempoolinfo", left_out=("usage",))
        twins.ask("getnewblockhex", choice.choice([0, 5, 20]), None, ["ab" * choice.randint(0, 90)])
        block = twins.mine()
        for verbosity in range(4):
            twins.ask("getblock", block.hash, verbosity)
        twins.ask("getblockchaininfo", left_out=("size_on_disk", "verificationprogress"))
        twins.ask("getdeploymentinfo")


def _pay(twins: Twins, choice: random.Random, coins: list[tuple[bytes, int, int]]) -> None:
    """A payment of some coins, unconfirmed ones among them; some replace or conflict with earlier ones."""
    spent = [choice.choice(coins) for _ in range(choice.choice([1, 1, 2]))]
    total, fee = sum(coin[2] for coin in spent), choice.choice([15, 25, 60, 500, 5000])
    share = (total - fee) // 2
    outputs = [(FUNDS_SCRIPT, share), (FUNDS_SCRIPT, total - fee - share), (b"", fee)]
    sequence = choice.choice([0xFFFF_FFFF, 0xFFFF_FFFD, 2])
    handle = build([coin[:2] for coin in spent], outputs, twins.devnet.params.policy_asset, sequence=sequence)
    for place, coin in enumerate(spent):
        sign_funds(handle, place, coin[2])
    payment = finish(handle)
    twins.ask("testmempoolaccept", [payment.raw.hex()])
    if isinstance(twins.ask("sendrawtransaction", payment.raw.hex()), str):
        twins.ask("getmempoolentry", payment.txid[::-1].hex())
        coins += [(payment.txid, place, outputs[place][1]) for place in (0, 1)]


def test_damaged_blocks_are_refused_alike(twins: Twins) -> None:
    choice = random.Random(2)
    for _ in range(2):
        twins.mine()
    twins.ask("sendrawtransaction", free_coins(twins.devnet.params, [(FUNDS_SCRIPT, COIN)], 500).raw.hex())
    proposal = decode(twins.ask("getnewblockhex")).serialize()
    for _ in range(150):
        data = bytearray(proposal)
        for _ in range(choice.choice([1, 1, 3])):
            place = choice.randrange(len(data))
            data[place : place + choice.choice([0, 1, 1, 1])] = bytes([choice.choice([0, 1, 2, 0xFD, 0xFF])])
        text = bytes(data).hex()
        twins.ask("testproposedblock", text, True)
        twins.ask("submitblock", text)
        twins.ask("combineblocksigs", text, [], CHAIN["signblockscript"])


def test_forks_end_on_the_same_tip(twins: Twins) -> None:
    twins.mine()
    proposal = decode(twins.ask("getnewblockhex"))
    twins.pass_time(1)
    later = replace(proposal.header, time=proposal.header.time + 1)
    blocks = [
        sign_block(ParsedBlock(header, proposal.transactions), SCRIPT, SECRETS)
        for header in (proposal.header, later)
    ]
    assert [twins.ask("submitblock", block.serialize().hex()) for block in blocks] == [None, "inconclusive"]
    first = twins.mine()
    assert first.header.previous == blocks[0].hash
    for tips in (twins.real.call("getchaintips"), twins.own.call("getchaintips")):
        assert sorted((tip["hash"], tip["branchlen"], tip["status"]) for tip in tips) == sorted(
            [(first.hash, 0, "active"), (blocks[1].hash, 1, "valid-headers")]
        )
