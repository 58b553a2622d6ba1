"""Recorded chains of Elements nodes, block by block: genesis, new blocks, submission, headers, chain info."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fedsm.devnet import ChainParams
from fedsm.devnet.genesis import genesis_block
from fedsm.devnet.template import new_block
from tests.elements_vectors import chains, load
from tests.unit.devnet_support import RpcClient, decode, running

if TYPE_CHECKING:
    from collections.abc import Iterator

CHAINS = [pytest.param(chain, id=name) for name, chain in chains()]
# What depends on the moment of the recorded call.
LATER = {"confirmations", "nextblockhash"}


@pytest.mark.parametrize("chain", CHAINS)
def test_the_genesis_block_is_that_of_the_recorded_chain(chain: dict[str, Any]) -> None:
    params = ChainParams.from_args(chain["args"], chain=chain["chain_name"])
    assert genesis_block(params).hash == chain["genesis_hash"]
    assert params.pegged_asset[::-1].hex() == chain["pegged_asset"]


def test_the_genesis_block_depends_on_name_scripts_and_header_layout() -> None:
    base = ChainParams(b"\x51")
    others = [
        ChainParams(b"\x51", chain="other"),
        ChainParams(b"\x52"),
        ChainParams(b"\x51", fedpegscript=b"\x52"),
        ChainParams(b"\x51", height_in_header=False),
        ChainParams(b"\x51", initial_free_coins=1),
    ]
    assert len({genesis_block(params).hash for params in [base, *others]}) == 6


def test_options_that_no_chain_here_has_are_refused() -> None:
    with pytest.raises(ValueError, match="does not know"):
        ChainParams.from_args(["-signblockscript=51", "-con_blocksubsidy=5"])
    with pytest.raises(ValueError, match="signblockscript is needed"):
        ChainParams.from_args([])
    with pytest.raises(ValueError, match="evbparams"):
        ChainParams.from_args(["-signblockscript=51", "-evbparams=taproot:1:::"])


class Replay:
    """A recorded chain played to a node, up to a height."""

    def __init__(self, chain: dict[str, Any]) -> None:
        self.chain = chain
        self.params = ChainParams.from_args(chain["args"], chain=chain["chain_name"])

    def blocks(self, client: RpcClient, node: Any, upto: int = 1_000) -> Iterator[dict[str, Any]]:
        """Each recorded block, with the node's clock at its time and it not submitted yet."""
        for record in self.chain["blocks"][:upto]:
            node.clock.set(record["header"]["time"])
            yield record
            assert client.call("submitblock", self.signed(record, node)) is None, record["height"]

    def play(self, client: RpcClient, node: Any, upto: int = 1_000) -> None:
        for _ in self.blocks(client, node, upto):
            pass

    def signed(self, record: dict[str, Any], node: Any) -> str:
        """The signed block; of some the recording has the header only, their coinbase is the one we make."""
        if "signed_block_hex" in record:
            return str(record["signed_block_hex"])
        with node.lock:
            coinbase = new_block(node.chain, node.mempool, node.clock.now()).block.transactions[0]
        assert record["txids"] == [coinbase.txid[::-1].hex()]
        return str(record["signed_header_hex"]) + "01" + coinbase.raw.hex()

    def decode(self, text: str) -> Any:
        return decode(text, layout=self.params.layout)


def _same(recorded: dict[str, Any], answer: dict[str, Any]) -> bool:
    return all(answer.get(name) == value for name, value in recorded.items() if name not in LATER)


@pytest.mark.parametrize("chain", CHAINS)
def test_recorded_blocks_are_accepted_as_proposals_and_signed(chain: dict[str, Any]) -> None:
    replay = Replay(chain)
    with running(replay.params) as devnet:
        client, node = RpcClient(devnet.services[0]), devnet.services[0].node
        for record in replay.blocks(client, node):
            assert client.call("testproposedblock", replay.signed(record, node), True) is None
        assert client.call("getbestblockhash") == chain["blocks"][-1]["block_hash"]


@pytest.mark.parametrize("chain", CHAINS)
def test_recorded_blocks_are_described_as_recorded(chain: dict[str, Any]) -> None:
    replay = Replay(chain)
    with running(replay.params) as devnet:
        client, node = RpcClient(devnet.services[0]), devnet.services[0].node
        before: dict[str, Any] | None = None
        for record in replay.blocks(client, node):
            if before is not None:
                _check_descriptions(client, before)
            before = record
        assert before is not None
        _check_descriptions(client, before)
        if "final_chaininfo" in chain:
            assert _same(chain["final_chaininfo"], client.call("getblockchaininfo"))


def _check_descriptions(client: RpcClient, record: dict[str, Any]) -> None:
    header = client.call("getblockheader", record["block_hash"])
    answers = {
        "getblockheader": header,
        "getblockheader_dynamic_parameters": header.get("dynamic_parameters"),
        "getblockchaininfo_after": client.call("getblockchaininfo"),
        "getsidechaininfo_after": client.call("getsidechaininfo"),
    }
    assert client.call("getblockheader", record["block_hash"], False) == record["getblockheader_hex"]
    for name, answer in answers.items():
        if record.get(name):
            assert _same(record[name], answer), (name, record["height"])


@pytest.mark.parametrize("chain", CHAINS)
def test_new_blocks_have_the_recorded_bytes(chain: dict[str, Any]) -> None:
    replay = Replay(chain)
    with running(replay.params) as devnet:
        client, node = RpcClient(devnet.services[0]), devnet.services[0].node
        compared = 0
        for record in replay.blocks(client, node):
            if "unsigned_block_hex" not in record:
                continue
            for transaction in replay.decode(record["unsigned_block_hex"]).transactions[1:]:
                node.add_transaction(transaction)
            assert client.call("getnewblockhex", *record["getnewblockhex_params"]) == record["unsigned_block_hex"]
            compared += 1
    assert compared > 2


@pytest.mark.parametrize(
    "chain", [pytest.param(chain, id=name) for name, chain in chains() if "getdeploymentinfo" in chain]
)
def test_the_dynafed_deployment_is_described_as_recorded(chain: dict[str, Any]) -> None:
    replay = Replay(chain)
    with running(replay.params) as devnet:
        client = RpcClient(devnet.services[0])
        replay.play(client, devnet.services[0].node)
        assert client.call("getdeploymentinfo")["deployments"]["dynafed"] == chain["getdeploymentinfo"]


def test_the_old_federation_is_refused_after_a_rotation() -> None:
    replay = Replay(load("rotation")["chains"][0])
    record = next(record for record in replay.chain["blocks"] if "attempt_with_wrong_federation" in record)
    attempt = record["attempt_with_wrong_federation"]
    with running(replay.params) as devnet:
        client, node = RpcClient(devnet.services[0]), devnet.services[0].node
        replay.play(client, node, upto=record["height"] - 1)
        node.clock.set(record["header"]["time"])
        arguments = (attempt["unsigned_block_hex"], attempt["signatures_arg"], attempt["witnessScript_arg"])
        combined = client.call("combineblocksigs", *arguments)
        assert combined["complete"] is attempt["combineblocksigs_complete"]
        assert [item.hex() for item in decode(combined["hex"]).header.witness] == attempt[
            "combineblocksigs_witness"
        ]
        assert client.call("submitblock", combined["hex"]) == "block-proof-invalid"
