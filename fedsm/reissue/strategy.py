"""What the two kinds of chains do each in their own way when an asset is reissued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from states.amounts import Unfrozen
    from states.memory import DraftLocked


class ReissueError(Exception):
    """What stands in the way of a reissuance, in one line that says what to do about it.

    ``passing``: it may go away by itself (the node is behind or away), so it is tried again.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class DueAsset(NamedTuple):
    """An asset that can be reissued in a period: by how many satoshi, and on which supply that was computed.

    ``asset`` is its id as displayed. ``confirmed`` says where the chain shows it reissued since (empty: it does
    not); ``obstacle`` says why it cannot be (empty: it can). ``unfrozen`` are the outputs that were given back-pay.
    """

    asset: str
    supply: int
    amount: int
    confirmed: str = ""
    obstacle: str = ""
    unfrozen: tuple[Unfrozen, ...] = ()


class Refusal(NamedTuple):
    """Why a draft is not signed: a stable code and one line of detail."""

    code: str
    detail: str


class Standing(NamedTuple):
    """Where the node sees the reissuance of a period."""

    status: Literal["confirmed", "pending", "absent"]
    detail: str = ""


class Sent(NamedTuple):
    """What the node did with a complete transaction."""

    outcome: Literal["accepted", "duplicate", "rejected"]
    reason: str = ""


class Strategy(Protocol):
    """Reissuance on one chain. Used from one thread. Assets are named by their displayed ids.

    Every method raises ReissueError, and RpcError or RpcUnavailable as the node gives them. A period is named by
    the height at which its reissuance falls due; what is said of it follows from the chain up to that block, so
    that all members say the same of it at any later time.
    """

    @property
    def destination(self) -> bytes:
        """The output script that is paid."""

    @property
    def height(self) -> int:
        """The height up to which the chain has been read."""

    def follow(self) -> None:
        """Read what is new on the chain, so that a later call need not."""

    def due(self, due_height: int) -> list[DueAsset]:
        """What is due in a period."""

    def coins(self, due_height: int, asset: str) -> tuple[str | None, str | None]:
        """The token output and the fee coin of an asset in a period ("txid:index"), as far as they are there."""

    def whereabouts(self, asset: str) -> str:
        """Why an asset is not among those that are due, in words for the operator."""

    def draft(self, due_height: int, asset: str) -> DraftLocked:
        """The transaction that reissues the asset, as every member makes it."""

    def refusal(self, due_height: int, asset: str, draft_id: str, draft: bytes) -> Refusal | None:
        """Why another member's draft must not be signed; ``None`` when it is the one that we would make."""

    def digests(self, draft: bytes) -> tuple[bytes, ...]:
        """What is signed, for each input."""

    def complete(self, draft: bytes, signatures: Sequence[Mapping[int, bytes]]) -> bytes:
        """The transaction with verified signatures: for each input DER by the number of the key in the script."""

    def send(self, transaction: bytes) -> Sent:
        """Give a complete transaction to the node."""

    def standing(self, due_height: int, asset: str) -> Standing:
        """Where the node sees the reissuance of a period."""
