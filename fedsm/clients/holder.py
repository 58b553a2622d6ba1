"""A client who holds its own key, and the coins on that key's script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fedsm.chains.script import Multisig
from fedsm.chains.transaction import explicit_value
from fedsm.reissue.config import default_blinding_key
from fedsm.reissue.custody import Custody, ScriptKind
from fedsm.reissue.multisign import signature_digests, with_signatures
from signers.software import SoftwareSigner


class Coin(NamedTuple):
    """An explicit output: txid and index (36 bytes), asset (32 bytes, internal order), satoshi."""

    outpoint: bytes
    asset: bytes
    satoshi: int


@dataclass
class Holder:
    """A key and its coins. They lie on a 1-of-1 script, signed for as the federation's own coins are."""

    signer: SoftwareSigner
    custody: Custody
    coins: list[Coin] = field(default_factory=list)

    @classmethod
    def of(cls, secret: bytes, kind: ScriptKind) -> Holder:
        """The holder of a secret key, without coins."""
        signer = SoftwareSigner(secret)
        multisig = Multisig(1, (signer.public_key,))
        return cls(signer, Custody(kind, multisig, default_blinding_key(multisig)))

    @property
    def script(self) -> bytes:
        """The output script of the coins."""
        return self.custody.script_pubkey

    def of_asset(self, asset: bytes) -> list[Coin]:
        """The coins of an asset, the largest first."""
        return sorted((coin for coin in self.coins if coin.asset == asset), key=lambda coin: -coin.satoshi)

    def sign(self, data: bytes, coins: Sequence[Coin]) -> bytes:
        """A transaction whose inputs spend these coins of ours, in this order, signed."""
        digests = signature_digests(data, [explicit_value(coin.satoshi) for coin in coins], self.custody)
        signatures = [{0: self.signer.sign_block(digest, data)} for digest in digests]
        return with_signatures(data, signatures, self.custody)
