"""Block sketches against the recorded ones, and what nodes answer to each other's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fedsm.devnet import ChainParams
from fedsm.devnet.block import read_block
from fedsm.devnet.sketch import Sketch, SketchError, read_request, read_sketch, siphash, write_request
from tests.elements_vectors import load
from tests.unit.devnet_support import RpcClient, differs, running

VECTORS = load("compact_sketch")["full_vectors"]
RECORDED = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['transactions']} transactions")


@pytest.fixture(scope="module")
def client() -> Iterator[RpcClient]:
    """A node of a dynafed chain with an empty mempool; sketches are not held against its tip."""
    script = load("compact_sketch")["witnessScript"]
    with running(ChainParams.from_args([f"-signblockscript={script}", "-con_max_block_sig_size=500"])) as devnet:
        yield RpcClient(devnet.services[0])


def sketch_of(vector: dict[str, Any], name: str = "sketch") -> Sketch:
    return read_sketch(bytes.fromhex(vector[name]), layout="elements")


def test_siphash_gives_the_value_of_its_reference() -> None:
    first, second = (int.from_bytes(bytes(range(start, start + 8)), "little") for start in (0, 8))
    assert siphash(first, second, bytes(range(15)))[::-1].hex() == "a129ca6149be45e5"


@RECORDED
def test_a_sketch_made_with_the_recorded_nonce_is_the_recorded_one(vector: dict[str, Any]) -> None:
    for block_name, name in (("unsigned_block_hex", "sketch"), ("signed_block_hex", "sketch_of_signed_block")):
        block = read_block(bytes.fromhex(vector[block_name]), layout="elements")
        recorded = sketch_of(vector, name)
        assert Sketch.of(block, recorded.nonce).serialize().hex() == vector[name]
        filled = recorded.fill(block.transactions)
        assert [each and each.wtxid for each in filled] == [each.wtxid for each in block.transactions]


@RECORDED
def test_a_block_is_put_together_from_its_sketch_and_what_was_missing(
    client: RpcClient, vector: dict[str, Any]
) -> None:
    block = vector["unsigned_block_hex"]
    sketch = client.call("getcompactsketch", block)
    assert len(sketch) == len(vector["sketch"])
    assert sketch != client.call("getcompactsketch", block), "the ids differ from call to call"
    answer = client.call("consumecompactsketch", sketch)
    if not vector["transactions"]:
        assert answer == {"blockhex": block}
        return
    assert read_request(bytes.fromhex(answer["block_tx_req"])) == list(range(1, 1 + vector["transactions"]))
    sent = client.call("consumegetblocktxn", block, answer["block_tx_req"])
    assert client.call("finalizecompactblock", sketch, sent, answer["found_transactions"]) == block


def test_requests_and_answers_are_those_recorded(client: RpcClient) -> None:
    vector = next(each for each in VECTORS if "receiver_missing_some" in each)
    recorded = vector["receiver_missing_some"]
    request, sent = recorded["consumecompactsketch"]["block_tx_req"], recorded["consumegetblocktxn_result"]
    found = recorded["consumecompactsketch"]["found_transactions"]
    assert write_request(read_request(bytes.fromhex(request))).hex() == request
    assert client.call("consumegetblocktxn", vector["unsigned_block_hex"], request) == sent
    assert client.call("finalizecompactblock", vector["sketch"], sent, found) == vector["unsigned_block_hex"]


def other_header(sketch: str) -> str:
    """The same sketch under a header with another Merkle root, which makes other ids."""
    changed = bytearray.fromhex(sketch)
    changed[40] ^= 1
    return changed.hex()


def broken_calls(vector: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    """The calls behind the recorded errors, which are named but not kept."""
    block, sketch = vector["unsigned_block_hex"], vector["sketch"]
    calls = {
        "consume: not hex": ("consumecompactsketch", ["zz"]),
        "consume: empty": ("consumecompactsketch", [""]),
        "consume: truncated": ("consumecompactsketch", [sketch[:-2]]),
        "sketch of garbage": ("getcompactsketch", ["00"]),
    }
    if not vector["transactions"]:
        altered = ("consumecompactsketch", [other_header(sketch)])
        return calls | {"consume: merkle root altered, all txs known": altered}
    missing = vector["receiver_missing_some"]
    sent, found = missing["consumegetblocktxn_result"], missing["consumecompactsketch"]["found_transactions"]
    beyond = write_request([vector["transactions"] + 1]).hex()
    return calls | {
        "consumegetblocktxn: garbage request": ("consumegetblocktxn", [block, "00"]),
        "finalize: truncated transactions": ("finalizecompactblock", [sketch, sent[:-2], found]),
        "finalize: found list empty": ("finalizecompactblock", [sketch, sent, "00"]),
        "finalize: another header's sketch": ("finalizecompactblock", [other_header(sketch), sent, found]),
        "consumegetblocktxn: request with index out of range": ("consumegetblocktxn", [block, beyond]),
    }


@RECORDED
def test_errors_are_those_recorded(client: RpcClient, vector: dict[str, Any]) -> None:
    for name, (method, params) in broken_calls(vector).items():
        assert differs(vector["errors"][name], client.answer(method, *params)) is None, name


def test_a_sketch_that_stands_for_no_block_is_refused(client: RpcClient) -> None:
    whole = sketch_of(VECTORS[1])
    for ids, sent in (
        ((whole.ids[0], whole.ids[0], *whole.ids[2:]), whole.sent),
        (whole.ids, {whole.size + 1: whole.sent[0]}),
        ((), {}),
    ):
        broken = Sketch(whole.header, whole.nonce, ids, sent)
        with pytest.raises(SketchError):
            broken.fill([])
        text = broken.serialize().hex()
        assert client.error("consumecompactsketch", text) == (-22, "Compact block decode failed")
        nothing = "00" * 33
        assert client.error("finalizecompactblock", text, nothing, "00") == (-22, "compact_hex appears malformed.")
