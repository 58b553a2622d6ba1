"""The machines of states/table.py as pictures and texts, all of it read from the tables."""

from __future__ import annotations

from fedsm.diagram.files import FORMATS, documents, draw
from fedsm.diagram.picture import Overlay

__all__ = ["FORMATS", "Overlay", "documents", "draw"]
