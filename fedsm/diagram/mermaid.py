"""A machine in the language of Mermaid, by the diagram support of ``transitions``.

That draws every transition as an arrow and joins the labels of those that run side by side with bars. Here the
steps that stay in a state are lines inside it, each label has a line of its own, and an arrow with several tails
has its label in a node where they meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transitions.extensions import GraphMachine
from transitions.extensions.diagrams_mermaid import Graph

from fedsm.diagram.picture import Arrow, Overlay, Picture, Step
from fedsm.diagram.text import share

_STYLES: dict[str, str | dict[str, Any]] = {
    "state": {"fill": "#eef3fb", "stroke": "#2f4f7f", "color": "#1a1a1a"},
    "group": {"fill": "#fafafa", "stroke": "#777", "stroke-dasharray": "6 4", "color": "#1a1a1a"},
    "label": {"fill": "#e8e8e8", "stroke": "none", "color": "#1a1a1a"},
}


def mermaid(picture: Picture, overlay: Overlay | None = None) -> str:
    """A state diagram whose boxes and arrows are those of the SVG."""
    sketch = _Sketch(picture, overlay)
    machine = GraphMachine(
        model=None,
        states=list(sketch.nodes),
        initial=picture.initial,
        transitions=sketch.transitions,
        auto_transitions=False,
        graph_engine="mermaid",
    )
    machine.machine_attributes = {"rankdir": "TB"}
    machine.style_attributes = {"node": _STYLES}
    graph = _Graph(machine, sketch.nodes)
    return f"{graph.get_graph(title=f'title: {picture.title}').draw(None)}\n"


@dataclass(frozen=True)
class _Node:
    title: str
    style: str


class _Sketch:
    """The picture as ``transitions`` takes it: nodes by name, and transitions with labels."""

    def __init__(self, picture: Picture, overlay: Overlay | None) -> None:
        self.overlay = overlay
        self.nodes: dict[str, _Node] = {}
        self.transitions: list[dict[str, Any]] = []
        for box in picture.boxes.values():
            spent = f" ({share(overlay, box.name)})" if overlay is not None and box.is_state else ""
            self.nodes[box.name] = _Node(box.title + spent, "state" if box.is_state else "group")
            for step in box.steps:
                self._add(box.name, None, self._label(step))
        for arrow in picture.arrows:
            self._add_arrow(arrow)

    def _add_arrow(self, arrow: Arrow) -> None:
        label = "<br/>".join(self._label(step) for step in arrow.steps)
        if len(arrow.tails) == 1:
            self._add(arrow.tails[0], arrow.head, label)
            return
        meeting = f"label{len(self.nodes)}"
        self.nodes[meeting] = _Node(label, "label")
        for tail in arrow.tails:
            self._add(tail, meeting, "")
        self._add(meeting, arrow.head, "")

    def _add(self, source: str, dest: str | None, label: str) -> None:
        self.transitions.append({"trigger": label or "then", "source": source, "dest": dest, "label": label})

    def _label(self, step: Step) -> str:
        count = "" if self.overlay is None else f" ({step.count(self.overlay)}x)"
        return f"{step.event} / {step.action}{count}"


class _Graph(Graph):
    def __init__(self, machine: GraphMachine, nodes: dict[str, _Node]) -> None:
        super().__init__(machine)  # type: ignore[arg-type]  # its stub asks for the class
        self._nodes = nodes

    def _add_nodes(self, states: list[dict[str, Any]], container: list[str]) -> None:
        for state in states:
            node = self._nodes[state["name"]]
            container += [f'state "{node.title}" as {state["name"]}', f"class {state['name']} s_{node.style}"]

    def _add_edges(self, transitions: list[dict[str, Any]], container: list[str]) -> None:
        for transition in transitions:
            source, dest, label = transition["source"], transition.get("dest"), transition.get("label", "")
            if dest is None:
                container.append(f"{source} : {label}")
            else:
                container.append(f"{source} --> {dest}{': ' if label else ''}{label}")
