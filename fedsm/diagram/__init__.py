"""The machines of states/table.py as pictures and texts. Everything is read from the tables, nothing is kept here."""

from __future__ import annotations

from fedsm.diagram.files import FORMATS, documents, draw, draw_all
from fedsm.diagram.picture import Overlay

__all__ = ["FORMATS", "Overlay", "documents", "draw", "draw_all"]
