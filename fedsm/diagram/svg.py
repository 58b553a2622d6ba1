"""A machine as SVG, with nothing but the standard library: boxes, arrows and their labels in a layered layout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from fedsm.diagram.layout import Layout, Node, Point, arrange
from fedsm.diagram.picture import Arrow, Box, Overlay, Picture
from fedsm.diagram.text import CHARACTER, LINE, Block, arrow_text, box_text

MARGIN = 24.0
HEADER = 44.0
FOOTER = 76.0
PADDING = 10.0
DOT = 14.0

STYLE = """\
text { font-family: "DejaVu Sans Mono", Menlo, "Liberation Mono", monospace; font-size: 13px; fill: #1a1a1a }
.title { font-size: 18px; font-weight: bold }
.name { font-weight: bold }
.action, .note { fill: #555 }
.count { fill: #b03a00; font-weight: bold }
.none { fill: #999 }
.box { fill: #eef3fb; stroke: #2f4f7f; stroke-width: 1.5 }
.group { fill: #fafafa; stroke: #777; stroke-width: 1.5; stroke-dasharray: 6 4 }
.rule { stroke: #2f4f7f; stroke-width: 0.75 }
.line { fill: none; stroke: #333; stroke-width: 1.4 }
.back { stroke: #8a4fae }
.unused { stroke: #bbb; stroke-dasharray: 3 4 }
.tip { fill: #333 }
.tip-back { fill: #8a4fae }
.tip-unused { fill: #bbb }"""

NOTES = (
    "event [guard] / action. A line inside a box does not leave its state.",
    "Dashed boxes stand for several states. Violet lines run upwards.",
    "Of one event's rows the first whose guard holds is taken, in the order of the table; [else]: none before did.",
)


def svg(pictures: Sequence[Picture], overlays: Mapping[str, Overlay] | None = None) -> str:
    """One document with the pictures one below the other; ``overlays`` are found by the machine's name."""
    drawings = [_Drawing(picture, (overlays or {}).get(picture.machine)) for picture in pictures]
    width = max(drawing.width for drawing in drawings)
    height = sum(drawing.height for drawing in drawings)
    titles = escape(", ".join(picture.title for picture in pictures))
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{titles}">',
        f"<style>\n{STYLE}\n</style>",
        *(_marker(kind) for kind in ("tip", "tip-back", "tip-unused")),
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    top = 0
    for drawing in drawings:
        parts += [f'<g transform="translate(0 {top})">', *drawing.parts(), "</g>"]
        top += drawing.height
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Drawing:
    def __init__(self, picture: Picture, overlay: Overlay | None) -> None:
        self.picture = picture
        self.overlay = overlay
        self.boxes = {box.name: box_text(box, overlay) for box in picture.boxes.values()}
        self.labels = {f"label{n}": arrow_text(arrow, overlay) for n, arrow in enumerate(picture.arrows)}
        self.arrows = dict(zip(self.labels, picture.arrows, strict=True))
        self.layout = self._arrange()
        notes_width = max(map(len, NOTES)) * CHARACTER
        self.width = math.ceil(max(self.layout.width, notes_width) + 2 * MARGIN)
        self.height = math.ceil(self.layout.height + HEADER + FOOTER + MARGIN)

    # --- where things stand

    def _arrange(self) -> Layout:
        names = list(self.picture.boxes)
        place = {name: float(names.index(name)) for name in names}
        nodes = {
            name: Node(text.width + 2 * PADDING, text.height + 2 * PADDING, place[name])
            for name, text in self.boxes.items()
        }
        lines = [("initial", self.picture.initial)]
        nodes["initial"] = Node(DOT, DOT, -1.0)
        for name, arrow in self.arrows.items():
            text = self.labels[name]
            nodes[name] = Node(text.width + PADDING, text.height, _label_place(arrow, place))
            lines += [*((tail, name) for tail in arrow.tails), (name, arrow.head)]
        return arrange(nodes, lines)

    # --- what is drawn

    def parts(self) -> Iterable[str]:
        yield f'<text class="title" x="{MARGIN:g}" y="{MARGIN + 8:g}">{escape(self.picture.title)}</text>'
        shift = max(0.0, (self.width - 2 * MARGIN - self.layout.width) / 2)
        yield f'<g transform="translate({MARGIN + shift:.1f} {HEADER:g})">'
        yield from self._lines()
        yield from self._labels()
        yield from self._boxes()
        yield "</g>"
        for line, note in enumerate(reversed(NOTES)):
            y = self.height - MARGIN - LINE * line
            yield f'<text class="note" x="{MARGIN:g}" y="{y:g}">{escape(note)}</text>'

    def _lines(self) -> Iterable[str]:
        for (tail, head), points in self.layout.lines.items():
            kind = self._kind(tail, head)
            tip = "" if head in self.labels else f' marker-end="url(#tip{kind})"'
            style = f"line {kind[1:]}".rstrip()
            yield f'<path class="{style}" d="{_curve(points)}"{tip}/>'

    def _kind(self, tail: str, head: str) -> str:
        """How a line is drawn: "", "-back" upwards, "-unused" when the trace never took it."""
        arrow = self.arrows.get(head) or self.arrows.get(tail)
        if self.overlay is not None and arrow is not None:
            box = self.picture.boxes.get(tail)
            steps = arrow.steps if box is None else [step.within(box.states) for step in arrow.steps]
            if not any(step.count(self.overlay) for step in steps):
                return "-unused"
        points = self.layout.lines[tail, head]
        return "-back" if points[-1][1] < points[0][1] else ""

    def _labels(self) -> Iterable[str]:
        for name, text in self.labels.items():
            x, y = self.layout.centres[name]
            left, top = x - text.width / 2, y - text.height / 2
            yield (
                f'<rect x="{left - PADDING / 2:.1f}" y="{top:.1f}" width="{text.width + PADDING:.1f}" '
                f'height="{text.height:.1f}" fill="#fff"/>'
            )
            yield from _text(text, left, top)

    def _boxes(self) -> Iterable[str]:
        x, y = self.layout.centres["initial"]
        yield f'<circle class="tip" cx="{x:.1f}" cy="{y:.1f}" r="{DOT / 2:g}"><title>initial state</title></circle>'
        for box in self.picture.boxes.values():
            yield from self._box(box)

    def _box(self, box: Box) -> Iterable[str]:
        text = self.boxes[box.name]
        x, y = self.layout.centres[box.name]
        left, top = x - text.width / 2, y - text.height / 2
        yield (
            f'<rect class="{"box" if box.is_state else "group"}" x="{left - PADDING:.1f}" y="{top - PADDING:.1f}" '
            f'width="{text.width + 2 * PADDING:.1f}" height="{text.height + 2 * PADDING:.1f}" rx="9"/>'
        )
        if text.rule is not None:
            at = top + text.rule
            yield (
                f'<line class="rule" x1="{left - PADDING:.1f}" x2="{left + text.width + PADDING:.1f}" '
                f'y1="{at:.1f}" y2="{at:.1f}"/>'
            )
        yield from _text(text, left, top)


def _label_place(arrow: Arrow, place: dict[str, float]) -> float:
    """Just after the last of the states before its head, or after its head if all stand behind that."""
    before = [place[tail] for tail in arrow.tails if place[tail] < place[arrow.head]]
    return max(before) + 0.25 if before else place[arrow.head] + 0.5


def _text(text: Block, left: float, top: float) -> Iterable[str]:
    for line in text.lines:
        spans = "".join(
            f'<tspan class="{span.style}">{escape(span.text)}</tspan>' if span.style else escape(span.text)
            for span in line.spans
        )
        x = left + (text.width - line.width) / 2 if line.centred else left
        yield f'<text xml:space="preserve" x="{x:.1f}" y="{top + line.baseline:.1f}">{spans}</text>'


def _curve(points: list[Point]) -> str:
    """Upright where it passes a layer, curved in the gaps between layers.

    A line of no length would have no direction, and the head of an arrow at its end would point sideways.
    """
    (x, y), *rest = points
    path = f"M{x:.1f} {y:.1f}"
    for to_x, to_y in rest:
        if abs(to_x - x) < 0.05:
            if abs(to_y - y) < 0.05:
                continue
            path += f"V{to_y:.1f}"
        else:
            bend = (to_y - y) / 2
            path += f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = to_x, to_y
    return path


def _marker(kind: str) -> str:
    return (
        f'<marker id="{kind}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path class="{kind}" d="M0 0L10 5L0 10z"/></marker>'
    )
