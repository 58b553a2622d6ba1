"""Where a federation keeps its reissuance tokens: an M-of-N script, and a blinding key that all members share.

Elements lets a token reissue only from an output whose asset is blinded, so every member must be able to unblind
it: outputs are blinded to one key which all of them hold. It hides nothing from members and spends nothing.
Assets, blinding factors and entropy are 32 bytes in internal order (RPCs print the reverse).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import wallycore as wally

if TYPE_CHECKING:
    from fedsm.chains.script import Multisig
    from fedsm.chains.transaction import OutputWitness, TxOutput

ScriptKind = Literal["p2wsh", "p2sh"]
COMMITTED = 33  # bytes of a commitment with its prefix
EXPLICIT = 1


@dataclass(frozen=True)
class Unblinded:
    """What a confidential output holds: satoshi, asset, and the blinding factors of asset and value."""

    value: int
    asset: bytes
    asset_blinder: bytes
    value_blinder: bytes


@dataclass(frozen=True)
class Custody:
    """The script that holds the tokens and the fee coins. ``blinding_key`` is the shared secret, 32 bytes."""

    kind: ScriptKind
    multisig: Multisig
    blinding_key: bytes = field(repr=False)

    @property
    def script_pubkey(self) -> bytes:
        """The output script: the witness program, or the hash of the script (BIP 16)."""
        if self.kind == "p2wsh":
            return self.multisig.p2wsh_program
        return b"\xa9\x14" + bytes(wally.hash160(self.multisig.script)) + b"\x87"

    @property
    def blinding_public_key(self) -> bytes:
        """The key to which token outputs are blinded, 33 bytes."""
        return bytes(wally.ec_public_key_from_private_key(self.blinding_key))

    def unblind(self, output: TxOutput, proofs: OutputWitness) -> Unblinded | None:
        """What an output on our script holds; ``None`` when it is not there, not blinded, or blinded otherwise."""
        blinded = len(output.value) == COMMITTED and output.asset[0] != EXPLICIT
        if output.script != self.script_pubkey or not blinded or len(output.nonce) != COMMITTED:
            return None
        try:
            value, asset, asset_blinder, value_blinder = wally.asset_unblind(
                output.nonce, self.blinding_key, proofs.range_proof, output.value, output.script, output.asset
            )
        except ValueError:
            return None
        return Unblinded(int(value), bytes(asset), bytes(asset_blinder), bytes(value_blinder))
