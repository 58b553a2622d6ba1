"""Node and signer behind the effects: whatever fails comes back as an event, in words for the operator."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from fedsm.chains.base import ChainError, ChainProfile, Judgement, Submission
from fedsm.chains.header import DecodeError
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.script import ScriptError
from fedsm.services import BlockPolicy, NodeService, SigningService
from signers.base import Signer, SignerError
from signers.guard import Guard, GuardError
from states.effects import CombineBlock, RequestBlock, SignDigest, SubmitBlock, ValidateBlock
from states.events import BlockBuilt, BlockCombined, BlockJudged, BlockSubmitted, DigestSigned
from tests.elements_stand_in import NEXT, WINDOW
from tests.unit.engine_harness import FEDERATION, Clock, news

HASH = "11" * 32
PARENT = "7f" * 32
TIP = news().tip


def service(policy: BlockPolicy | None = None, **methods: Any) -> NodeService:
    chain = cast(ChainProfile, SimpleNamespace(**methods))
    return NodeService(chain, policy or BlockPolicy(WINDOW), Clock())


def failing(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def test_a_block_is_built_with_what_the_operator_configured() -> None:
    asked: list[tuple[Any, ...]] = []

    def build_block(*arguments: Any) -> bytes:
        asked.append(arguments)
        return b"block"

    node = service(BlockPolicy(WINDOW, 30, NEXT), build_block=build_block, block_hash=lambda _block: HASH)
    assert node.build(RequestBlock(10, 1, PARENT)) == BlockBuilt(10, 1, HASH, b"block")
    assert asked == [(PARENT, 30, NEXT)]


@pytest.mark.parametrize(
    "error",
    [
        RpcError(-1, "no"),
        RpcUnavailable("refused", "node away"),
        ChainError("its tip has moved"),
        DecodeError("bad"),
    ],
)
def test_a_block_that_was_not_built_comes_back_with_the_reason(error: Exception) -> None:
    built = service(build_block=failing(error)).build(RequestBlock(10, 1, PARENT))
    assert built == BlockBuilt(10, 1, None, None, str(error))


def test_a_block_is_judged_by_clock_window_and_approved_parameters() -> None:
    asked: dict[str, Any] = {}

    def judge(block: bytes, **arguments: Any) -> Judgement:
        asked.update(arguments, block=block)
        return Judgement("invalid", "too-old: 99 ms behind our clock")

    judged = service(BlockPolicy(WINDOW, 0, NEXT), judge=judge).judge(
        ValidateBlock(10, HASH, b"block", timely=True), TIP, FEDERATION
    )
    assert judged == BlockJudged(10, HASH, True, "invalid", "too-old: 99 ms behind our clock")
    assert asked == {
        "block": b"block",
        "tip": TIP,
        "federation": FEDERATION,
        "timely": True,
        "now_ms": Clock().now_ms,
        "window": WINDOW,
        "approved": NEXT,
    }


def test_signatures_are_combined_by_member() -> None:
    def combine(block: bytes, federation: Any, signatures: dict[int, bytes]) -> bytes:
        assert federation == FEDERATION
        return block + signatures[0] + signatures[2]

    effect = CombineBlock(10, HASH, b"block ", ((0, b"a"), (2, b"c")))
    assert service(combine=combine).combine(effect, FEDERATION) == BlockCombined(10, HASH, b"block ac")


@pytest.mark.parametrize(
    "error", [ChainError("too large"), ScriptError("1 signatures, 2 needed"), DecodeError("bad")]
)
def test_a_combination_that_failed_comes_back_with_the_reason(error: Exception) -> None:
    combined = service(combine=failing(error)).combine(CombineBlock(10, HASH, b"block", ()), FEDERATION)
    assert combined == BlockCombined(10, HASH, None, str(error))


def test_the_nodes_word_on_a_submitted_block_is_handed_on() -> None:
    node = service(submit=lambda _block: Submission("fork", "inconclusive"))
    assert node.submit(SubmitBlock(10, HASH, b"block")) == BlockSubmitted(10, HASH, "fork", "inconclusive")


def signing(sign_block: Any) -> SigningService:
    return SigningService(cast(Guard, SimpleNamespace(sign_block=sign_block)), cast(Signer, object()))


def test_the_guard_alone_leads_to_the_signer() -> None:
    asked: list[tuple[Any, ...]] = []

    def sign_block(*arguments: Any) -> bytes:
        asked.append(arguments)
        return b"der"

    signer = cast(Signer, object())
    service = SigningService(cast(Guard, SimpleNamespace(sign_block=sign_block)), signer)
    assert service.sign(SignDigest(10, HASH, b"block")) == DigestSigned(10, HASH, b"der")
    assert asked == [(10, HASH, b"block", signer)]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GuardError("not-decided", "nothing is decided"), "not-decided: nothing is decided"),
        (SignerError("unavailable", "the wallet is locked"), "unavailable: the wallet is locked"),
        (RuntimeError("device lost"), "unexpected RuntimeError: device lost"),
    ],
)
def test_a_signature_that_was_not_given_comes_back_with_a_stable_reason(error: Exception, reason: str) -> None:
    assert signing(failing(error)).sign(SignDigest(10, HASH, b"block")) == DigestSigned(10, HASH, None, reason)
