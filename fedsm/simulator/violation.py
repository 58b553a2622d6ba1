"""What the simulator looks for."""

from __future__ import annotations


class Violation(Exception):  # noqa: N818 - the field's word
    """Something that must never happen has happened. ``code`` is stable, the text says what it was."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
