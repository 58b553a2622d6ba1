"""In a picture nothing lies on anything else: boxes, labels and lines keep apart, whatever the machine is."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsm.diagram import Overlay, draw
from fedsm.diagram.crossings import crossings, ordered
from fedsm.diagram.layout import LAYER_GAP, LINE_GAP, Layout, Node, arrange
from fedsm.diagram.text import CHARACTER
from states.table import TABLES, MachineTable

SVG = "{http://www.w3.org/2000/svg}"
NAMES = "abcdefghij"
HAIR = 0.01

Graph = tuple[dict[str, Node], list[tuple[str, str]]]


@st.composite
def graphs(draw_from: st.DrawFn) -> Graph:
    sizes = st.floats(min_value=0, max_value=400)
    names = NAMES[: draw_from(st.integers(min_value=1, max_value=len(NAMES)))]
    nodes = {name: Node(draw_from(sizes), draw_from(sizes), float(place)) for place, name in enumerate(names)}
    pairs = [(a, b) for a in names for b in names if a != b]
    lines = draw_from(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []
    # Two lines between the same two nodes have labels of their own between them.
    return nodes, [line for n, line in enumerate(lines) if line[::-1] not in lines[:n]]


def parsed(table: MachineTable, overlays: dict[str, Overlay] | None = None) -> ET.Element:
    return ET.fromstring(draw([table], "svg", overlays))  # noqa: S314 - our own output


def borders(nodes: dict[str, Node], layout: Layout, name: str) -> tuple[float, float, float, float]:
    (x, y), node = layout.centres[name], nodes[name]
    return x - node.width / 2, x + node.width / 2, y - node.height / 2, y + node.height / 2


@given(graphs())
def test_no_two_nodes_overlap(graph: Graph) -> None:
    nodes, lines = graph
    layout = arrange(nodes, lines)
    for a, b in combinations(nodes, 2):
        left, right, top, bottom = borders(nodes, layout, a)
        other = borders(nodes, layout, b)
        beside = right + LINE_GAP <= other[0] + HAIR or other[1] + LINE_GAP <= left + HAIR
        above = bottom + LAYER_GAP <= other[2] + HAIR or other[3] + LAYER_GAP <= top + HAIR
        assert beside or above


@given(graphs())
def test_no_line_crosses_a_node(graph: Graph) -> None:
    """Bends lie between layers, where no node reaches; upright parts pass beside the nodes."""
    nodes, lines = graph
    layout = arrange(nodes, lines)
    for line in lines:
        for (x, y), (to_x, to_y) in pairwise(layout.lines[line]):
            for name in nodes:
                left, right, top, bottom = borders(nodes, layout, name)
                level = min(y, to_y) < bottom - HAIR and top + HAIR < max(y, to_y)
                if abs(to_x - x) < HAIR:
                    assert not (level and left - HAIR < x < right + HAIR) or name in line
                else:
                    assert not level


@given(graphs())
def test_lines_begin_and_end_at_the_borders_of_their_nodes(graph: Graph) -> None:
    nodes, lines = graph
    layout = arrange(nodes, lines)
    for tail, head in lines:
        for name, (x, y) in ((tail, layout.lines[tail, head][0]), (head, layout.lines[tail, head][-1])):
            left, right, top, bottom = borders(nodes, layout, name)
            assert left - HAIR <= x <= right + HAIR
            assert min(abs(y - top), abs(y - bottom)) < HAIR


@given(graphs())
def test_everything_lies_within_the_picture(graph: Graph) -> None:
    nodes, lines = graph
    layout = arrange(nodes, lines)
    for name in nodes:
        left, right, top, bottom = borders(nodes, layout, name)
        assert -HAIR <= left <= right <= layout.width + HAIR
        assert -HAIR <= top <= bottom <= layout.height + HAIR


def test_lines_that_need_not_cross_do_not() -> None:
    joints = [("a", "y"), ("b", "x"), ("c", "z"), ("x", "2"), ("y", "1")]
    layers = [["a", "b", "c"], ["x", "y", "z"], ["1", "2"]]
    assert crossings(layers, joints) == 2
    assert crossings(ordered(layers, joints), joints) == 0


def test_a_long_line_is_upright_where_there_is_room() -> None:
    nodes = {name: Node(100, 40, float(place)) for place, name in enumerate("abcde")}
    layout = arrange(nodes, [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("a", "e")])
    bends = [x for x, _ in layout.lines["a", "e"]]
    assert len(set(bends)) <= 3


@pytest.mark.parametrize("count", [None, 0, 123_456_789])
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_words_of_our_pictures_fit_and_do_not_overlap(table: MachineTable, count: int | None) -> None:
    traced = None
    if count is not None:
        times = dict.fromkeys(table.states, 10 * count)
        traced = {table.name: Overlay(dict.fromkeys(table.edges, count), times)}
    root = parsed(table, traced)
    lines = []
    for parent in root.iter(f"{SVG}g"):
        for text in parent.findall(f"{SVG}text"):
            width = len("".join(text.itertext())) * CHARACTER
            lines.append((float(text.get("x", 0)), float(text.get("y", 0)), width, parent.get("transform")))
    for (x, y, width, group), (to_x, to_y, to_width, to_group) in combinations(lines, 2):
        if group == to_group and abs(y - to_y) < 13:
            assert x + width <= to_x + HAIR or to_x + to_width <= x + HAIR
    assert all(x + width <= float(root.get("width", 0)) for x, _, width, _ in lines)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_our_pictures_are_narrow_enough_to_be_read_on_a_page(table: MachineTable) -> None:
    assert float(parsed(table).get("width", 0)) < 1500


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_heads_of_arrows_point_where_their_lines_lead(table: MachineTable) -> None:
    """A line whose last piece has no length has no direction: browsers let its head point sideways."""
    headed = [path.get("d", "") for path in parsed(table).iter(f"{SVG}path") if path.get("marker-end")]
    assert len(headed) > 5
    for line in headed:
        pieces = re.findall(r"[MVC][^MVC]*", line)
        ends = [float(piece[1:].split()[-1]) for piece in pieces]
        assert ends[-1] != ends[-2], line
