"""The embedded chain against the recorded answers of an Elements node, case by case, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fedsm.devnet import ChainParams
from fedsm.devnet.template import new_block
from tests.elements_vectors import load
from tests.unit.devnet_support import (
    FUNDS_SCRIPT,
    RpcClient,
    decode,
    differs,
    free_coins,
    make_block,
    rebuild,
    running,
    secrets_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ERRORS = load("rpc_errors")
ROTATION = load("rotation")
Outcomes = dict[tuple[str, int], str | None]

# Recorded cases that the embedded chain does not reproduce, with the reason.
NOT_REPRODUCED = {
    "replies seen while the node starts (in order)": "nodes of this chain answer RPC only when they are ready",
}
FIRST_KEY_SCRIPT = "512102d5de833a92301412dae243e93627c978769154c0509764f21098d39fedb3681851ae"


def _cases(group: str) -> list[dict[str, Any]]:
    return [case for case in ERRORS["cases"] if case["chain"] == group]


def _ids(group: str, cases: list[dict[str, Any]]) -> list[Any]:
    names = (f"{group}: {case['case']} ({case['method']})" for case in cases)
    return [pytest.param((group, place), id=name) for place, name in enumerate(names)]


def _replay(client: RpcClient, group: str, cases: list[dict[str, Any]]) -> Outcomes:
    outcomes: Outcomes = {}
    for place, case in enumerate(cases):
        answer = client.answer(case["method"], *case["params"])
        if case["method"] == "getchaintips":
            got, wanted = answer.reply["result"], case["result"]
            same = got[0] == wanted[0] and sorted(got, key=str) == sorted(wanted, key=str)
            outcomes[group, place] = None if same else str(got)
        else:
            outcomes[group, place] = differs(case, answer)
    return outcomes


def _replay_chain(chain: dict[str, Any]) -> Outcomes:
    """Blocks 1 to 3 lie below the recorded cases; of 2 and 3 only the hashes are recorded."""
    cases = _cases(chain["chain"])
    secrets = secrets_of(chain["members"])
    by_name = {(case["case"], case["method"]): case for case in cases}
    first = by_name["block hex of genesis-era parent again", "submitblock"]["params"][0]
    other_parent = by_name["previous block = tip's parent", "testproposedblock"]["params"][0]
    proposal = decode(chain["unsigned_block_hex"]).header
    with running(ChainParams.from_args(chain["args"])) as devnet:
        service = devnet.services[0]
        devnet.set_clock(proposal.time)
        assert service.node.submit(decode(first)) is None
        rebuild(service.node, decode(other_parent).header.previous, proposal.time, secrets)
        rebuild(service.node, proposal.previous, proposal.time, secrets)
        devnet.set_clock(proposal.time)
        return _replay(RpcClient(service), chain["chain"], cases)


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    return {key: value for chain in ERRORS["chains"] for key, value in _replay_chain(chain).items()}


@pytest.mark.parametrize(
    "case", [case for chain in ERRORS["chains"] for case in _ids(chain["chain"], _cases(chain["chain"]))]
)
def test_block_cases_are_answered_as_recorded(outcomes: Outcomes, case: tuple[str, int]) -> None:
    assert outcomes[case] is None


class GeneralChain:
    """The one-key chain of the general and HTTP cases, at the height where the recording begins."""

    def __init__(self) -> None:
        args = [f"-signblockscript={FIRST_KEY_SCRIPT}", "-initialfreecoins=2100000000000000"]
        self.params = ChainParams.from_args([*args, "-con_max_block_sig_size=300", "-evbparams=dynafed:1000000:::"])
        self.secrets = secrets_of(ERRORS["chains"][0]["members"])
        by_name = {case["case"]: case for case in ERRORS["general"]}
        self.next_proposal = decode(by_name["proposal holds a non-standard transaction, node default"]["params"][0])

    def replay(self, client: RpcClient, service: Any) -> Outcomes:
        outcomes: Outcomes = {}
        for place, case in enumerate(ERRORS["general"]):
            if case["case"] == "transaction already confirmed, outputs unspent":
                self.confirm_waiting(service)
            outcomes["general", place] = differs(case, client.answer(case["method"], *case["params"]))
        return outcomes

    def prepare(self, service: Any) -> None:
        """Block 1 is empty, block 2 splits the free coins; the rest the cases do themselves."""
        now = self.next_proposal.header.time
        service.node.clock.set(now - 2)
        assert service.node.submit(make_block(service.node, self.secrets)) is None
        service.node.clock.set(now - 1)
        service.node.add_transaction(
            free_coins(self.params, [(FUNDS_SCRIPT, 100_000)] * 12, 1600, sequence=0xFFFF_FFFD)
        )
        assert service.node.submit(make_block(service.node, self.secrets)) is None

    def confirm_waiting(self, service: Any) -> None:
        rebuild(service.node, self.next_proposal.header.previous, self.next_proposal.header.time, self.secrets)


@pytest.fixture(scope="module")
def general() -> Iterator[tuple[Outcomes, RpcClient]]:
    chain = GeneralChain()
    with running(chain.params) as devnet:
        service = devnet.services[0]
        chain.prepare(service)
        client = RpcClient(service)
        yield chain.replay(client, service), client


@pytest.mark.parametrize("case", _ids("general", ERRORS["general"]))
def test_general_cases_are_answered_as_recorded(general: tuple[Outcomes, RpcClient], case: tuple[str, int]) -> None:
    assert general[0][case] is None


HTTP = [case for case in ERRORS["http"] if "reply_body" in case and "replies_503" not in case]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["case"]) for case in HTTP])
def test_http_cases_are_answered_as_recorded(general: tuple[Outcomes, RpcClient], case: dict[str, Any]) -> None:
    client = RpcClient.__new__(RpcClient)
    client.connection, client.headers = general[1].connection, dict(general[1].headers)
    if case["case"] == "wrong password":
        client.headers["Authorization"] = "Basic eDp5"
    if case["case"] == "no Authorization":
        client.headers = {}
    answer = client.post(case["request_body"], case["path"], "GET" if case["request_body"] is None else "POST")
    assert (answer.status, answer.body.decode()) == (case["http_status"], case["reply_body"])
    for name, value in case["reply_headers"].items():
        assert answer.headers[name] == value


def test_every_recorded_http_case_is_replayed_or_named_as_left_out() -> None:
    elsewhere = {case["case"] for case in ERRORS["http"] if "replies_503" in case}  # test_devnet_server has it
    left_out = {case["case"] for case in ERRORS["http"]} - {case["case"] for case in HTTP} - elsewhere
    assert left_out == NOT_REPRODUCED.keys()


@pytest.mark.parametrize("case", ERRORS["size_limit"], ids=lambda case: f"limit {case['con_max_block_sig_size']}")
def test_the_signature_size_limit_is_applied_as_recorded(case: dict[str, Any]) -> None:
    script = ERRORS["chains"][0]["signblockscript"]
    args = [f"-signblockscript={script}", f"-con_max_block_sig_size={case['con_max_block_sig_size']}"]
    if not case["dynafed"]:
        args.append("-evbparams=dynafed:1000000:::")
    with running(ChainParams.from_args(args)) as devnet:
        devnet.set_clock(decode(case["unsigned_block_hex"]).header.time)
        client = RpcClient(devnet.services[0])
        _check_combination(client, case)


def test_a_limit_below_the_new_witness_bricks_the_chain_as_recorded() -> None:
    case = ROTATION["max_block_witness_too_small"]
    block = decode(case["unsigned_block_hex"])
    assert block.header.current.max_block_witness == case["max_block_witness"]
    args = [f"-signblockscript={case['witnessScript']}", f"-con_max_block_sig_size={case['max_block_witness']}"]
    with running(ChainParams.from_args(args)) as devnet:
        client = RpcClient(devnet.services[0])
        arguments = (case["unsigned_block_hex"], case["signatures_arg"], case["witnessScript"])
        combined = client.call("combineblocksigs", *arguments)
        assert combined["complete"] is case["combineblocksigs_complete"]
        assert client.call("submitblock", combined["hex"]) == case["submitblock"]["result"]


def _check_combination(client: RpcClient, case: dict[str, Any]) -> None:
    arguments = [case["unsigned_block_hex"], case["signatures_arg"]]
    if case["witnessScript"] is not None:
        arguments.append(case["witnessScript"])
    assert client.call("testproposedblock", case["unsigned_block_hex"]) == case["testproposedblock"]["result"]
    combined = client.call("combineblocksigs", *arguments)
    assert combined["complete"] is case["combineblocksigs_complete"]
    assert client.call("submitblock", combined["hex"]) == case["submitblock"]["result"]


ONE_KEY = "5121039f5ac68c0c9ffd83c635621219337df16e16360281ad0157392abb59ae9621a851ae"


def _proposal_args(case: dict[str, Any]) -> list[str]:
    args = [f"-signblockscript={ONE_KEY}", "-con_max_block_sig_size=114"]
    if "before" in case["case"]:
        args.append("-evbparams=dynafed:1000000:::")
    if "enforce_pak" in case["case"]:
        args.append("-enforce_pak=1")
    return args


@pytest.mark.parametrize("case", ROTATION["proposal_errors"], ids=lambda case: case["case"])
def test_dynafed_proposals_are_judged_as_recorded(case: dict[str, Any]) -> None:
    with running(ChainParams.from_args(_proposal_args(case))) as devnet:
        client = RpcClient(devnet.services[0])
        if "block_hex" not in case:
            _check_new_block(client, case)
            return
        proposal = decode(case["block_hex"]).header
        if proposal.height == 2:
            _rebuild_first_block(devnet.services[0], proposal.previous, proposal.time)
        devnet.set_clock(proposal.time)
        assert differs(case, client.answer(case["method"], case["block_hex"])) is None


def _check_new_block(client: RpcClient, case: dict[str, Any]) -> None:
    answer = client.answer("getnewblockhex", *case["params"])
    if "error" in case:
        assert differs(case, answer) is None
        return
    wanted = case["result_header_proposed"]
    proposed = decode(answer.reply["result"]).header.proposed
    assert proposed.kind == wanted["type"]
    assert proposed.root()[::-1].hex() == wanted["root"]
    assert proposed.max_block_witness == wanted["max_block_witness"]


def _rebuild_first_block(service: Any, wanted: str, latest: int) -> None:
    """The key of this chain is not recorded: the block goes in unsigned, past the check of its proof."""
    node = service.node
    for second in range(latest - 60, latest + 1):
        block = new_block(node.chain, node.mempool, second).block
        if block.hash == wanted:
            accept_unsigned(node, block)
            return
    raise AssertionError("the first block was not found")


def accept_unsigned(node: Any, block: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedsm.devnet.rules.check_proof", lambda *_: None)
        assert node.submit(block) is None
