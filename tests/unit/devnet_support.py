"""What the tests of the embedded chain share: an RPC client, signing with the recorded keys, recorded chains."""

from __future__ import annotations

import base64
import http.client
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import wallycore as wally

from fedsm.chains.script import parse_multisig
from fedsm.chains.transaction import Transaction, explicit_value, parse_transaction
from fedsm.devnet import ChainParams, Devnet, NodeService
from fedsm.devnet.block import ParsedBlock, read_block
from fedsm.devnet.genesis import genesis_block
from fedsm.devnet.proof import combine
from fedsm.devnet.template import new_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fedsm.chains.header import Layout
    from fedsm.devnet.node import Node

WITNESS = wally.WALLY_TX_FLAG_USE_WITNESS
SIGN = wally.EC_FLAG_ECDSA | wally.EC_FLAG_GRIND_R
FUNDS_KEY = bytes.fromhex("ac95d5588ebf3dfc0277218322165ca7d4b917f9419fb2bf705666033b3b54b2")
FUNDS_PUBKEY = bytes(wally.ec_public_key_from_private_key(FUNDS_KEY))
FUNDS_SCRIPT = b"\x00\x14" + bytes(wally.hash160(FUNDS_PUBKEY))
NOT_BEFORE_SECONDS = 10  # recorded chains were made within so many seconds of their later blocks


@dataclass(frozen=True)
class Answer:
    """An HTTP answer of a node."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def reply(self) -> Any:
        """The JSON body, amounts as Decimal."""
        return json.loads(self.body, parse_float=Decimal)


class RpcClient:
    """One keep-alive connection to a node."""

    def __init__(self, service: NodeService, credentials: tuple[str, str] | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        user = ":".join(credentials or service.credentials).encode()
        self.headers = {"Authorization": f"Basic {base64.b64encode(user).decode()}"}

    def post(self, body: bytes | str | None, path: str = "/", method: str = "POST") -> Answer:
        """Send a request body as it is."""
        self.connection.request(method, path, body, self.headers)
        response = self.connection.getresponse()
        return Answer(response.status, response.read(), dict(response.getheaders()))

    def answer(self, name: str, *params: object) -> Answer:
        """Call a method in the 1.0 manner."""
        return self.post(json.dumps({"jsonrpc": "1.0", "id": 1, "method": name, "params": params}, default=str))

    def call(self, name: str, *params: object) -> Any:
        """The result of a call that must succeed."""
        reply = self.answer(name, *params).reply
        assert reply["error"] is None, reply["error"]
        return reply["result"]

    def error(self, name: str, *params: object) -> tuple[int, str]:
        """Code and message of a call that must fail."""
        error = self.answer(name, *params).reply["error"]
        assert error is not None
        return error["code"], error["message"]

    def close(self) -> None:
        self.connection.close()


@contextmanager
def running(params: ChainParams, nodes: int = 1, **options: Any) -> Iterator[Devnet]:
    """A devnet for the length of a test."""
    with Devnet(nodes, params, **options) as devnet:
        yield devnet


def secrets_of(members: Sequence[dict[str, Any]]) -> dict[bytes, bytes]:
    """Private keys by public key, from the members of a vector file."""
    return {bytes.fromhex(member["pubkey"]): bytes.fromhex(member["privkey"]) for member in members}


def der(secret: bytes, digest: bytes) -> bytes:
    """An ECDSA signature as nodes make it."""
    return bytes(wally.ec_sig_to_der(wally.ec_sig_from_bytes(secret, digest, SIGN)))


def sign_block(block: ParsedBlock, script: bytes, secrets: dict[bytes, bytes]) -> ParsedBlock:
    """The block signed by the first M members of ``script`` whose keys are there."""
    ending = b"\x01" if block.header.dynafed else b""
    signatures = {
        key: der(secrets[key], block.header.digest) + ending
        for key in parse_multisig(script).public_keys
        if key in secrets
    }
    return ParsedBlock(combine(block.header, signatures, script), block.transactions)


def make_block(node: Node, secrets: dict[bytes, bytes], script: bytes | None = None) -> ParsedBlock:
    """A signed block on the node's tip, not submitted."""
    with node.lock:
        block = new_block(node.chain, node.mempool, node.clock.now()).block
    return sign_block(block, script or node.params.signblockscript, secrets)


def mine(node: Node, secrets: dict[bytes, bytes], number: int = 1) -> ParsedBlock:
    """Make, sign and submit blocks; the last one is returned."""
    for _ in range(number):
        block = make_block(node, secrets)
        assert node.submit(block) is None
    return block


def rebuild(node: Node, wanted: str, latest: int, secrets: dict[bytes, bytes]) -> None:
    """Make the block that a recorded chain had on the node's tip: its hash tells the second it was made in.

    The recordings leave some empty blocks out; the node makes the same bytes in the same second.
    """
    for second in range(latest - NOT_BEFORE_SECONDS, latest + 1):
        node.clock.set(second)
        block = make_block(node, secrets)
        if block.hash == wanted:
            assert node.submit(block) is None
            return
    raise AssertionError(f"no block made up to {latest} has the hash {wanted}")


def decode(text: str, *, layout: Layout = "elements") -> ParsedBlock:
    """A recorded block."""
    return read_block(bytes.fromhex(text), layout=layout)


def differs(case: dict[str, Any], answer: Answer) -> str | None:
    """How an answer differs from a recorded case; usage texts were cut in the recordings."""
    reply = answer.reply
    if "error" not in case:
        return None if reply["result"] == case["result"] else f"result {reply['result']}, error {reply['error']}"
    if reply["error"] is None:
        return f"result {reply['result']}"
    wanted, got = case["error"], reply["error"]
    usage, cut, _ = wanted["message"].partition(" [usage text]")
    same_text = got["message"].startswith(f"{usage}\n") if cut else got["message"] == usage
    if got["code"] == wanted["code"] and same_text and answer.status == case["http_status"]:
        return None
    return f"{answer.status} {got}"


def build(
    spends: Sequence[tuple[bytes, int]],
    outputs: Sequence[tuple[bytes, int]],
    asset: bytes,
    *,
    sequence: int = 0xFFFF_FFFF,
    locktime: int = 0,
) -> Any:
    """libwally's handle of an unsigned transaction: (txid, index) pairs in, (script, satoshi) pairs out."""
    handle = wally.tx_init(2, locktime, len(spends), len(outputs))
    nothing = (None,) * 9
    for txid, index in spends:
        wally.tx_add_elements_raw_input(handle, txid, index, sequence, *nothing, 0)
    for script, satoshi in outputs:
        wally.tx_add_elements_raw_output(
            handle, script or None, asset, explicit_value(satoshi), None, None, None, 0
        )
    return handle


def finish(handle: Any) -> Transaction:
    """The transaction of a handle."""
    return parse_transaction(bytes(wally.tx_to_bytes(handle, WITNESS)))


def sign_segwit(
    handle: Any, index: int, code: bytes, satoshi: int, secrets: Sequence[bytes], sighash: int = 1
) -> list[bytes]:
    """Signatures with sighash byte over a segwit input."""
    value = explicit_value(satoshi)
    digest = bytes(wally.tx_get_elements_signature_hash(handle, index, code, value, sighash, WITNESS))
    return [der(secret, digest) + bytes([sighash]) for secret in secrets]


def set_witness(handle: Any, index: int, items: Sequence[bytes]) -> None:
    """Give an input its witness stack."""
    stack = wally.tx_witness_stack_init(len(items))
    for item in items:
        wally.tx_witness_stack_add(stack, item)
    wally.tx_set_input_witness(handle, index, stack)


def sign_funds(handle: Any, index: int, satoshi: int) -> None:
    """Sign a P2WPKH input of the test money."""
    code = b"\x76\xa9" + FUNDS_SCRIPT[1:] + b"\x88\xac"
    set_witness(handle, index, [*sign_segwit(handle, index, code, satoshi, [FUNDS_KEY]), FUNDS_PUBKEY])


def free_coins(params: ChainParams, outputs: Sequence[tuple[bytes, int]], fee: int, **form: int) -> Transaction:
    """A transaction of the genesis block's free coins: outputs, change to anyone, and the fee."""
    source = genesis_block(params).transactions[1]
    change = params.initial_free_coins - sum(satoshi for _, satoshi in outputs) - fee
    everything = [*outputs, (b"\x51", change), (b"", fee)]
    return finish(build([(source.txid, 0)], everything, params.policy_asset, **form))


def eventually(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Wait for something that other threads bring about."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
