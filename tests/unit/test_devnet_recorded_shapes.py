"""Example calls recorded on an Elements node, made again: equal answers, or answers of the same shape."""

from __future__ import annotations

import json
from itertools import combinations_with_replacement
from typing import Any

import pytest

from fedsm.devnet import ChainParams
from fedsm.devnet.connect import ScriptCache
from fedsm.devnet.node import Node
from tests.elements_vectors import load
from tests.unit.devnet_support import RpcClient, decode, mine, running, secrets_of

SHAPES = load("rpc_shapes")
GROUPS = ("legacy", "dynafed")
# Methods that this chain's nodes do not have; the rest of the recording needs a wallet.
NOT_SERVED = {
    "createrawtransaction": "transactions are built with libwally",
    "signrawtransactionwithkey": "transactions are signed with libwally",
}
# Answers that depend on chance, the machine, its peers or the moment: only their shape is compared.
BY_SHAPE = {"getcompactsketch", "getmempoolinfo", "getpeerinfo", "getrpcinfo", "uptime"}
# Fields that are not compared: the node counts undo data it keeps on disk; addresses were not recorded.
LEFT_OUT = {"size_on_disk", "addr"}
SEARCHED_SECONDS = 8


def _calls(group: str) -> list[dict[str, Any]]:
    calls = SHAPES[group]["calls"]
    wallet = next(place for place, call in enumerate(calls) if call["method"] == "createwallet")
    return [call for call in calls[:wallet] if call["method"] not in NOT_SERVED]


def _shape(value: Any) -> Any:
    """The JSON types of a value; of a list the shape of its first element."""
    if isinstance(value, dict):
        return {name: _shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _first_blocks(node: Node, secrets: dict[bytes, bytes], wanted: str, latest: int) -> None:
    """Two empty blocks lie below the recording: find the seconds they were made in by the second's hash."""
    for seconds in combinations_with_replacement(range(latest - SEARCHED_SECONDS, latest + 1), 2):
        trial = Node(0, node.params, ScriptCache())
        for second in seconds:
            trial.clock.set(second)
            mine(trial, secrets)
        if trial.chain.tip.hash == wanted:
            node.clock.set(latest)
            for entry in trial.chain.active[1:]:
                assert node.submit(entry.block) is None
            return
    raise AssertionError("the first blocks were not found")


@pytest.fixture(scope="module")
def answers() -> dict[tuple[str, int], Any]:
    """The answers to the recorded calls, by group and place."""
    return {key: reply for group in GROUPS for key, reply in _replay(group).items()}


def _replay(group: str) -> dict[tuple[str, int], Any]:
    recording, calls = SHAPES[group], _calls(group)
    secrets = secrets_of(recording["members"])
    by_method = {call["method"]: call["result"] for call in reversed(calls)}
    proposal, sent = decode(by_method["getnewblockhex"]).header, by_method["getmempoolentry"]["time"]
    found: dict[tuple[str, int], Any] = {}
    params = ChainParams.from_args(recording["chain_args"])
    with running(params, nodes=2) as devnet, running(params) as elsewhere:
        client, stranger = RpcClient(devnet.services[0]), RpcClient(elsewhere.services[0])
        for place, call in enumerate(calls):
            if call["method"] == "testmempoolaccept":
                _first_blocks(devnet.services[0].node, secrets, proposal.previous, proposal.time)
                devnet.set_clock(sent)
            if call["method"] == "getnewblockhex":
                devnet.set_clock(proposal.time)
            # A sketch is for those who have not the block: this was asked of a node without its transactions.
            asked = stranger if call["method"] == "consumecompactsketch" else client
            found[group, place] = json.loads(asked.answer(call["method"], *call["params"]).body)
    return found


CALLS = [
    pytest.param((group, place), call, id=f"{group}: {place} {call['method']}")
    for group in GROUPS
    for place, call in enumerate(_calls(group))
]


@pytest.mark.parametrize(("key", "call"), CALLS)
def test_calls_are_answered_as_recorded(
    answers: dict[tuple[str, int], Any], key: tuple[str, int], call: dict[str, Any]
) -> None:
    reply = answers[key]
    assert reply["error"] is None
    got, wanted = _compared(reply["result"]), _compared(call["result"])
    if call["method"] in BY_SHAPE:
        got, wanted = _shape(got), _shape(wanted)
    assert got == wanted


def _compared(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _compared(item) for name, item in value.items() if name not in LEFT_OUT}
    return [_compared(item) for item in value] if isinstance(value, list) else value
