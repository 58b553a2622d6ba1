"""fedsm: an explicit finite-state-machine consensus engine that signs blocks for federated sidechains."""

from __future__ import annotations

from fedsm.library import AssetIssuance, BlockSigning, MultiSig
from fedsm.version import __version__

__all__ = ["AssetIssuance", "BlockSigning", "MultiSig", "__version__"]
