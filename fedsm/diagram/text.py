"""The words of a picture, line by line, with the room they take in a font of fixed width."""

from __future__ import annotations

from dataclasses import dataclass

from fedsm.diagram.picture import Arrow, Box, Overlay, Step

CHARACTER = 7.9  # the width of one at 13 px: 0.6 em in every common fixed-width font, and a little more
LINE = 17.0
ASCENT = 13.0
RULE = 10.0
WIDEST = 36  # characters; longer steps and headings are broken


@dataclass(frozen=True)
class Span:
    """Words in one style (a class of the style sheet)."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Line:
    """Spans on one line; ``baseline`` is measured from the top of the block."""

    spans: tuple[Span, ...]
    baseline: float
    centred: bool = False

    @property
    def width(self) -> float:
        """In pixels."""
        return sum(len(span.text) for span in self.spans) * CHARACTER


@dataclass(frozen=True)
class Block:
    """Lines and the room they take; ``rule`` is where a line is drawn under the heading."""

    lines: tuple[Line, ...]
    width: float
    height: float
    rule: float | None = None


def box_text(box: Box, overlay: Overlay | None) -> Block:
    """The heading of a box, and the steps that stay in it."""
    heading: list[tuple[Span, ...]] = [(Span(line, "name"),) for line in _wrapped(box.title)]
    if overlay is not None and box.is_state:
        heading.append((Span(share(overlay, box.name), "count"),))
    return _block(heading, [line for step in box.steps for line in _step(step, overlay)])


def arrow_text(arrow: Arrow, overlay: Overlay | None) -> Block:
    """The steps of an arrow."""
    return _block([], [line for step in arrow.steps for line in _step(step, overlay)])


def duration(milliseconds: int) -> str:
    """A time as people read it: 250 ms, 12.3 s, 5.0 min, 3.1 h."""
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds >= size:
            return f"{milliseconds / size:.1f} {unit}"
    return f"{milliseconds} ms"


def share(overlay: Overlay, state: str) -> str:
    """The time spent in a state, and its part of all time."""
    spent = overlay.times_ms.get(state, 0)
    total = sum(overlay.times_ms.values())
    return f"{duration(spent)}, {100 * spent / total:.1f} %" if total else duration(spent)


def _step(step: Step, overlay: Overlay | None) -> list[tuple[Span, ...]]:
    """Trigger, guards, action and count, on as many lines as it takes."""
    words = [Span(step.edges[0].trigger, "name")]
    words += [Span(word) for word in step.guard.replace(" & ", "\n& ").splitlines()]
    words.append(Span(f"/ {step.action}", "action"))
    if overlay is not None:
        count = step.count(overlay)
        words.append(Span(f"{count}x", "count" if count else "none"))
    lines: list[list[Span]] = [[]]
    for word in words:
        taken = sum(len(span.text) for span in lines[-1])
        if lines[-1] and taken + 1 + len(word.text) > WIDEST:
            lines.append([Span("  "), word])
        else:
            lines[-1] += [Span(" "), word] if lines[-1] else [word]
    return [tuple(line) for line in lines]


def _block(heading: list[tuple[Span, ...]], body: list[tuple[Span, ...]]) -> Block:
    lines = []
    y = 0.0
    for spans in heading:
        lines.append(Line(spans, y + ASCENT, centred=True))
        y += LINE
    rule = None
    if heading and body:
        rule = y + RULE / 2
        y += RULE
    for spans in body:
        lines.append(Line(spans, y + ASCENT))
        y += LINE
    return Block(tuple(lines), max((line.width for line in lines), default=0.0), y, rule)


def _wrapped(title: str) -> list[str]:
    """A heading that lists many states takes more than one line."""
    lines = [""]
    for word in title.split():
        if len(lines[-1]) + len(word) > WIDEST:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
