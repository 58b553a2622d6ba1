"""A stand-in for an Elements node that gives recorded answers, and sound proposals to try on it."""

from __future__ import annotations

from typing import Any

from fedsm.chains.base import ClockWindow, FederationScript, ProposedParameters
from fedsm.chains.header import Block, BlockHeader, display_hash, parse_block
from fedsm.chains.script import LONGEST_LOW_S_DER, parse_multisig
from tests.elements_vectors import load

WINDOW = ClockWindow(max_past_ms=30_000, max_future_ms=20_000)
NEXT = ProposedParameters(bytes.fromhex("0020" + "11" * 32), 256, b"\x51", (b"\x02\x03", b""))
FORMS = ("legacy", "dynafed")


class StandIn:
    """Answers calls from a table by method: a value, an exception to raise, or a function of the params."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, list[Any], int | None]] = []

    def call(self, method: str, params: Any = (), *, timeout_ms: int | None = None) -> Any:
        self.calls.append((method, list(params), timeout_ms))
        answer = self.answers[method]
        if callable(answer):
            answer = answer(*params)
        if isinstance(answer, Exception):
            raise answer
        return answer


def genesis_header(script: bytes, height: int | None = 0) -> BlockHeader:
    recorded = load("rpc_shapes")["legacy"]["calls"]
    printed = next(
        c["result"]
        for c in recorded
        if c["method"] == "getblock" and c["params"][1] == 2 and c["result"]["height"] == 0
    )
    return BlockHeader(
        printed["version"], "00" * 32, printed["merkleroot"], printed["time"], height, challenge=script
    )


def node_of(chain: dict[str, Any], **answers: Any) -> StandIn:
    """A node of a recorded chain: its genesis, and the header of every recorded block by hash."""
    script = bytes.fromhex(chain["signblockscript"])
    genesis = genesis_header(script, 0 if chain["height_in_header"] else None)
    headers = {genesis.hash: genesis.serialize().hex()}
    headers |= {block["block_hash"]: block["signed_header_hex"] for block in chain.get("blocks", [])}
    usual = {
        "getblockhash": genesis.hash,
        "getblockheader": lambda block_hash, verbose=True: {"hash": block_hash} if verbose else headers[block_hash],
        "testproposedblock": None,
    }
    return StandIn(**{**usual, **answers})


def recorded(form: str, case: str) -> bytes:
    """The block of a recorded testproposedblock call."""
    return next(
        bytes.fromhex(c["params"][0])
        for c in load("rpc_errors")["cases"]
        if c["chain"] == form and c["method"] == "testproposedblock" and c["case"] == case
    )


def sound(form: str) -> Block:
    """A proposal that the node found valid."""
    return parse_block(recorded(form, "valid unsigned proposal"))


def federation_for(form: str) -> FederationScript:
    chain = next(c for c in load("rpc_errors")["chains"] if c["chain"] == form)
    multisig = parse_multisig(bytes.fromhex(chain["signblockscript"]))
    dynafed = form == "dynafed"
    return FederationScript(
        multisig=multisig,
        dynafed=dynafed,
        max_signed_size=multisig.worst_case_size(dynafed=dynafed, longest_der=LONGEST_LOW_S_DER),
        signblockscript=multisig.p2wsh_program if dynafed else multisig.script,
        max_block_witness=chain["max_block_witness"],
        params_root=display_hash(sound(form).header.current.root()) if dynafed else None,
    )


def recorded_node(form: str, **answers: Any) -> StandIn:
    return node_of(next(c for c in load("rpc_errors")["chains"] if c["chain"] == form), **answers)
