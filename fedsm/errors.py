"""The error that ends a command: one line for the operator, no traceback."""

from __future__ import annotations


class FedsmError(Exception):
    """Something the operator must change. The message names the cause and what to do; it ends the program
    with exit status ``status``."""

    status = 1


class PinRefusedError(FedsmError):
    """A token refused the PIN. A supervisor must not start the program again by itself: tokens lock."""

    status = 3
