"""What the engine runs effects on: node, signer, transport and guard, injected as one bundle."""

from __future__ import annotations

from dataclasses import dataclass

from fedsm.chains.base import (
    ChainError,
    ChainProfile,
    ClockWindow,
    FederationScript,
    ProposedParameters,
    Tip,
)
from fedsm.chains.header import DecodeError
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.script import ScriptError
from fedsm.clock import Clock
from signers.base import Signer, SignerError
from signers.guard import Guard, GuardError
from states.effects import CombineBlock, RequestBlock, SignDigest, SubmitBlock, ValidateBlock
from states.events import BlockBuilt, BlockCombined, BlockJudged, BlockSubmitted, DigestSigned


@dataclass(frozen=True)
class BlockPolicy:
    """What this operator allows in a block: how far its time may be off, how old its transactions must be
    (whole seconds), and the one dynafed proposal it may carry."""

    window: ClockWindow
    min_tx_age_s: int = 0
    proposed: ProposedParameters | None = None


class NodeService:
    """The node's part of the effects. Each method is called from a worker thread and raises nothing.

    ``policy`` may be replaced at any time.
    """

    def __init__(self, chain: ChainProfile, policy: BlockPolicy, clock: Clock) -> None:
        self._chain = chain
        self.policy = policy
        self._clock = clock

    def build(self, effect: RequestBlock) -> BlockBuilt:
        """getnewblockhex."""
        try:
            block = self._chain.build_block(effect.parent, self.policy.min_tx_age_s, self.policy.proposed)
            return BlockBuilt(effect.height, effect.round, self._chain.block_hash(block), block)
        except (RpcError, RpcUnavailable, ChainError, DecodeError) as error:
            return BlockBuilt(effect.height, effect.round, None, None, str(error))

    def judge(self, effect: ValidateBlock, tip: Tip, federation: FederationScript) -> BlockJudged:
        """Our own rules, then testproposedblock."""
        judgement = self._chain.judge(
            effect.block,
            tip=tip,
            federation=federation,
            timely=effect.timely,
            now_ms=self._clock.wall_ms(),
            window=self.policy.window,
            approved=self.policy.proposed,
        )
        return BlockJudged(effect.height, effect.block_hash, effect.timely, judgement.verdict, judgement.reason)

    def combine(self, effect: CombineBlock, federation: FederationScript) -> BlockCombined:
        """Our own assembly of solution or witness."""
        try:
            block = self._chain.combine(effect.block, federation, dict(effect.signatures))
        except (RpcError, RpcUnavailable, ChainError, ScriptError, DecodeError) as error:
            return BlockCombined(effect.height, effect.block_hash, None, str(error))
        return BlockCombined(effect.height, effect.block_hash, block)

    def submit(self, effect: SubmitBlock) -> BlockSubmitted:
        """submitblock."""
        submission = self._chain.submit(effect.block)
        return BlockSubmitted(effect.height, effect.block_hash, submission.outcome, submission.reason)


class SigningService:
    """The signer behind the guard: the only way to a block signature."""

    def __init__(self, guard: Guard, signer: Signer) -> None:
        self._guard = guard
        self._signer = signer

    def sign(self, effect: SignDigest) -> DigestSigned:
        """Sign the decided block, or give again the signature given before. Called from the signer's thread."""
        try:
            signature = self._guard.sign_block(effect.height, effect.block_hash, effect.block, self._signer)
        except GuardError as error:
            return DigestSigned(effect.height, effect.block_hash, None, f"{error.code}: {error}")
        except SignerError as error:
            return DigestSigned(effect.height, effect.block_hash, None, f"{error.kind}: {error}")
        except Exception as error:  # noqa: BLE001 - a signer may come from outside, and must be asked again
            return DigestSigned(
                effect.height, effect.block_hash, None, f"unexpected {type(error).__name__}: {error}"
            )
        return DigestSigned(effect.height, effect.block_hash, signature)
