"""A machine in the language of Graphviz, for those who have it: fedsm diagram round --format dot | dot -Tpdf."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from fedsm.diagram.picture import Arrow, Box, Overlay, Picture
from fedsm.diagram.text import Block, arrow_text, box_text

_COLOURS = {"count": "#b03a00", "none": "#999999", "action": "#555555"}


def dot(picture: Picture, overlay: Overlay | None = None) -> str:
    """A digraph whose boxes and arrows are those of the SVG."""
    lines = [
        f'digraph "{picture.title}" {{',
        f'  graph [label="{picture.title}", labelloc=t, fontname="monospace", ranksep=0.4];',
        '  node [shape=box, style="rounded,filled", fillcolor="#eef3fb", fontname="monospace", fontsize=11];',
        '  edge [fontname="monospace", fontsize=11];',
        "  initial [shape=point, width=0.15, fillcolor=black];",
        f"  initial -> {picture.initial};",
        *(_box(box, overlay) for box in picture.boxes.values()),
    ]
    for number, arrow in enumerate(picture.arrows):
        lines += _arrow(number, arrow, overlay)
    return "\n".join([*lines, "}"]) + "\n"


def _box(box: Box, overlay: Overlay | None) -> str:
    look = "" if box.is_state else ', style="rounded,dashed"'
    return f"  {box.name} [label=<{_html(box_text(box, overlay))}>{look}];"


def _arrow(number: int, arrow: Arrow, overlay: Overlay | None) -> Iterable[str]:
    """An arrow with several tails has its label in a node of its own, where they meet."""
    label = _html(arrow_text(arrow, overlay))
    if len(arrow.tails) == 1:
        yield f"  {arrow.tails[0]} -> {arrow.head} [label=<{label}>];"
        return
    yield f"  label{number} [shape=plain, style=solid, label=<{label}>];"
    for tail in arrow.tails:
        yield f"  {tail} -> label{number} [arrowhead=none];"
    yield f"  label{number} -> {arrow.head};"


def _html(text: Block) -> str:
    rows = []
    for line in text.lines:
        words = "".join(_span(span.text, span.style) for span in line.spans)
        rows.append(f'{words}<BR ALIGN="{"CENTER" if line.centred else "LEFT"}"/>')
    return "".join(rows)


def _span(text: str, style: str) -> str:
    words = escape(text).replace(" ", "&#160;")
    if style == "name":
        return f"<B>{words}</B>"
    return f'<FONT COLOR="{_COLOURS[style]}">{words}</FONT>' if style else words
