"""Why a block or a transaction is refused."""

from __future__ import annotations


class Rejection(Exception):  # noqa: N818 - a verdict on a block or transaction, not an error of the program
    """A rule was broken. ``reason`` is the node's short code, ``detail`` its longer text (or empty).

    ``mutated`` says that the block's contents are to blame while its header may be fine, so the header must
    not be remembered as invalid.
    """

    def __init__(self, reason: str, detail: str = "", *, mutated: bool = False) -> None:
        super().__init__(f"{reason}, {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.mutated = mutated
