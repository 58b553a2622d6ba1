"""What serves the reissue machines: its key signs what it was asked to sign, by the id that the guard holds."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from fedsm.chains.transaction import parse_transaction
from fedsm.reissue.policy import Policy
from fedsm.reissue.service import ReissueService
from states.effects import SignDraft
from states.events import DraftSigned
from tests.unit.test_reissue_ocean import SCRIPT, VECTORS

TOLD = json.loads((VECTORS / "derived_tx_vectors.json").read_text())["reissuance"]
DRAFT = bytes.fromhex(TOLD["hex"])
ASSET = "a5" * 32


class Guard:
    """Has locked whatever it is asked for."""

    signed = 0

    def sign_draft(self, *_: object) -> tuple[bytes, ...]:
        self.signed += 1
        return (b"signature",)


class Strategy:
    def digests(self, draft: bytes) -> tuple[bytes, ...]:
        return (draft[:32],)


def test_a_draft_that_is_not_the_transaction_of_its_id_is_not_signed() -> None:
    guard: Any = Guard()
    strategy: Any = Strategy()
    signer: Any = object()
    service = ReissueService(strategy, SCRIPT, Fraction(1, 2), Policy(), guard, signer)
    draft_id = parse_transaction(DRAFT).txid[::-1].hex()
    refused = service.serve(SignDraft(20, ASSET, "1d" * 32, DRAFT))
    assert refused == DraftSigned(
        20, ASSET, "1d" * 32, None, "wrong-id: the draft is another transaction than it is called"
    )
    assert guard.signed == 0
    assert service.serve(SignDraft(20, ASSET, draft_id, DRAFT)) == DraftSigned(20, ASSET, draft_id, (b"signature",))
