"""Diagrams show every row of the tables once, in every format, and docs/diagrams/ holds what the tables say now."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fedsm.cli.diagram import diagram
from fedsm.diagram import FORMATS, Overlay, documents, draw
from fedsm.diagram.picture import MAX_TAILS, Picture, Step, picture_of, steps_of
from fedsm.diagram.text import duration
from fedsm.errors import FedsmError
from states.table import AGREEMENT, ROUND, TABLES, Edge, MachineTable

DOCS = Path(__file__).parents[2] / "docs" / "diagrams"
SVG = "{http://www.w3.org/2000/svg}"

# A machine that is none of ours, with what they have not: one state that leads to itself, and no shared rows.
LAMP = MachineTable(
    "lamp",
    ("Off", "On"),
    (
        Edge("press", "Off", "On", "light", ("not_broken", "has_power")),
        Edge("press", "Off", None, "click"),
        Edge("press", "On", "Off", "darken"),
        Edge("dim", "On", "On", "lower <a> & b"),
    ),
    {"dim": (("Off",), "there is nothing to dim")},
    {"On": "press"},
)

tables = pytest.mark.parametrize("table", [*TABLES, LAMP], ids=lambda table: table.name)


def drawn_steps(picture: Picture) -> list[Step]:
    inner = [step for box in picture.boxes.values() for step in box.steps]
    return inner + [step for arrow in picture.arrows for step in arrow.steps]


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own output


def words(svg: str) -> list[str]:
    """The text of each line of an SVG."""
    return ["".join(line.itertext()).strip() for line in parsed(svg).iter(f"{SVG}text")]


def overlay(table: MachineTable) -> Overlay:
    """The edges in order are taken 0, 1, 2, ... times, the states last 0, 1, 2, ... seconds."""
    return Overlay(
        {edge: count for count, edge in enumerate(table.edges)},
        {state: 1000 * seconds for seconds, state in enumerate(table.states)},
    )


# --- the files


def test_the_files_in_docs_are_what_the_tables_say_now() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in DOCS.iterdir()}
    stale = sorted(name for name in {**found, **documents()} if found.get(name) != documents().get(name))
    assert not stale, f"{stale} are out of date: run fedsm diagram --write docs/diagrams and look at the pictures"


def test_all_machines_have_a_picture_the_same_in_mermaid_and_a_table() -> None:
    assert set(documents()) == {f"{table.name}.{kind}" for table in TABLES for kind in ("svg", "mmd", "md")}


# --- what is drawn


@tables
def test_every_row_of_the_table_is_drawn_exactly_once(table: MachineTable) -> None:
    edges = [edge for step in drawn_steps(picture_of(table)) for edge in step.edges]
    assert sorted(map(repr, edges)) == sorted(map(repr, table.edges))


@tables
def test_an_arrow_leads_from_where_its_rows_are_taken_to_where_they_lead(table: MachineTable) -> None:
    picture = picture_of(table)
    for arrow in picture.arrows:
        tails = {state for tail in arrow.tails for state in picture.boxes[tail].states}
        for step in arrow.steps:
            assert set(step.sources) == tails
            assert {edge.dest for edge in step.edges} == {arrow.head}
    for box in picture.boxes.values():
        for step in box.steps:
            assert set(step.sources) == set(box.states)


@tables
def test_few_tails_are_drawn_from_the_states_themselves(table: MachineTable) -> None:
    picture = picture_of(table)
    assert all(len(arrow.tails) <= MAX_TAILS for arrow in picture.arrows)
    assert all(len(box.states) > MAX_TAILS for box in picture.boxes.values() if not box.is_state)


def test_rows_without_a_guard_behind_guarded_ones_say_else() -> None:
    assert [step.guard for step in steps_of(LAMP)] == ["[not_broken & has_power]", "[else]", "", ""]


def test_rows_of_a_state_stand_in_the_order_in_which_they_are_tried() -> None:
    for table in TABLES:
        for box in picture_of(table).boxes.values():
            places = [table.edges.index(step.edges[0]) for step in box.steps]
            assert places == sorted(places)


def test_a_summary_names_the_states_it_stands_for() -> None:
    titles = [box.title for box in picture_of(AGREEMENT).boxes.values() if not box.is_state]
    assert titles == [
        "every state",
        "every state but Decided",
        "every state but Waiting, RoundOver and Decided",
    ]


# --- the formats


@tables
def test_the_svg_holds_every_trigger_guard_and_action(table: MachineTable) -> None:
    text = " ".join(words(draw([table], "svg")))
    for edge in table.edges:
        for word in (edge.trigger, edge.source, edge.action, *edge.guards):
            assert word in text


@tables
def test_the_initial_state_is_marked(table: MachineTable) -> None:
    root = parsed(draw([table], "svg"))
    assert [title.text for title in root.iter(f"{SVG}title")] == ["initial state"]
    assert f"[*] --> {table.states[0]}\n" in draw([table], "mermaid")
    assert f"initial -> {table.states[0]};" in draw([table], "dot")


@tables
@pytest.mark.parametrize("form", ["mermaid", "dot"])
def test_graph_languages_have_all_boxes_and_steps(table: MachineTable, form: str) -> None:
    text = draw([table], form).replace("&#160;", " ")
    picture = picture_of(table)
    for box in picture.boxes.values():
        assert re.search(rf"^\s*{box.name} \[|as {box.name}$", text, re.MULTILINE)
    assert all(step.action in text for step in drawn_steps(picture) if "<" not in step.action)


@tables
def test_mermaid_writes_one_line_for_a_step_that_stays_in_its_state(table: MachineTable) -> None:
    lines = draw([table], "mermaid").splitlines()
    assert lines[:4] == ["---", f"title: {table.name} machine", "---", "stateDiagram-v2"]
    for box in picture_of(table).boxes.values():
        for step in box.steps:
            assert f"  {box.name} : {step.event} / {step.action}" in lines


@tables
def test_json_is_the_table_as_data(table: MachineTable) -> None:
    data = json.loads(draw([table], "json"))
    rows = [Edge(**(row | {"guards": tuple(row["guards"])})) for row in data["edges"]]
    ignored = {row["trigger"]: (tuple(row["states"]), row["because"]) for row in data["ignored"]}
    states = tuple(state["name"] for state in data["states"])
    assert MachineTable(data["name"], states, tuple(rows), ignored, data["timeouts"]) == table
    assert data["initial"] == table.states[0]


def test_the_text_table_has_all_rows_what_is_ignored_and_the_timers() -> None:
    lines = [re.sub(r" +", " ", line) for line in draw([LAMP], "table").splitlines()]
    assert "| Off | press | not_broken & has_power | light | On |" in lines
    assert "| Off | press | else | click | - |" in lines
    assert "| dim | Off | there is nothing to dim |" in lines
    assert "| On | press |" in lines


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_table_gives_the_same_text(form: str) -> None:
    assert draw(TABLES, form) == draw(TABLES, form)


def test_all_machines_fit_into_one_document_of_each_kind() -> None:
    assert [word for word in words(draw(TABLES, "svg")) if word.endswith(" machine")] == [
        f"{table.name} machine" for table in TABLES
    ]
    assert [machine["name"] for machine in json.loads(draw(TABLES, "json"))] == [t.name for t in TABLES]
    assert draw(TABLES, "dot").count("digraph ") == len(TABLES)
    assert draw(TABLES, "mermaid").count("```mermaid\n---\ntitle: ") == len(TABLES)


# --- what a trace adds


def test_counts_of_a_trace_stand_at_each_step_and_times_at_each_state() -> None:
    traced = {"lamp": overlay(LAMP)}
    svg = " ".join(words(draw([LAMP], "svg", traced)))
    assert "click 1x" in svg
    assert "darken 2x" in svg
    assert "1.0 s, 100.0 %" in svg
    assert 'class="line unused"' in draw([LAMP], "svg", traced)
    assert "press [else] / click (1x)" in draw([LAMP], "mermaid", traced)
    assert "On (1.0 s, 100.0 %)" in draw([LAMP], "mermaid", traced)
    assert "| darken | Off | 2 |" in re.sub(r" +", " ", draw([LAMP], "table", traced))
    data = json.loads(draw([LAMP], "json", traced))
    assert [row["count"] for row in data["edges"]] == [0, 1, 2, 3]
    assert [state["time_ms"] for state in data["states"]] == [0, 1000]
    assert "2x" in draw([LAMP], "dot", traced)


def test_a_step_of_several_states_counts_them_together() -> None:
    counted = Overlay({edge: 2 for edge in ROUND.edges if edge.trigger == "decide"}, {})
    (line,) = [word for word in words(draw([ROUND], "svg", {"round": counted})) if word.startswith("decide")]
    assert line == "decide / sign_decided 6x"


def test_without_a_trace_nothing_is_counted() -> None:
    for form in FORMATS:
        assert "0x" not in draw([LAMP], form)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 ms"), (999, "999 ms"), (12_340, "12.3 s"), (300_000, "5.0 min"), (11_160_000, "3.1 h")],
)
def test_times_are_written_as_people_read_them(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


# --- the command


def run(*arguments: str) -> Result:
    return CliRunner().invoke(diagram, list(arguments))


def test_the_command_prints_the_machine_asked_for_in_the_format_asked_for() -> None:
    for form in FORMATS:
        assert run("round", "--format", form).output == draw([ROUND], form)
    assert run("agreement").output == draw([AGREEMENT], "mermaid")
    assert run("--format", "table").output == draw(TABLES, "table")


def test_an_unknown_machine_or_format_is_refused_with_those_there_are() -> None:
    assert run("toaster").exit_code == 2
    assert "round" in run("toaster").output
    assert run("--format", "png").exit_code == 2


def test_the_command_writes_the_files_of_the_documentation(tmp_path: Path) -> None:
    target = tmp_path / "new" / "diagrams"
    assert run("--write", str(target)).exit_code == 0
    assert {path.name: path.read_text(encoding="utf-8") for path in target.iterdir()} == documents()


def test_a_directory_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = run("--write", str(tmp_path / "file" / "below"))
    assert isinstance(result.exception, FedsmError)
    assert str(tmp_path / "file" / "below") in str(result.exception)
