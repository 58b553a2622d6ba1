"""The formats by name, and the files of docs/diagrams/."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from fedsm.diagram import tables
from fedsm.diagram.dot import dot
from fedsm.diagram.mermaid import mermaid
from fedsm.diagram.picture import Overlay, picture_of
from fedsm.diagram.svg import svg
from states.table import TABLES, MachineTable

FORMATS = ("mermaid", "dot", "svg", "json", "table")


def draw(machines: Sequence[MachineTable], form: str, overlays: Mapping[str, Overlay] | None = None) -> str:
    """Machines in one of ``FORMATS``; ``overlays`` (by the machine's name) say what a trace counted.

    Several machines in Mermaid, which has one diagram to a file, come as blocks of a Markdown text.
    """
    found = overlays or {}
    if form == "svg":
        return svg([picture_of(table) for table in machines], found)
    if form == "json":
        drawn = [tables.data(table, found.get(table.name)) for table in machines]
        return json.dumps(drawn[0] if len(drawn) == 1 else drawn, indent=2) + "\n"
    if form == "table":
        return "\n".join(tables.text(table, found.get(table.name)) for table in machines)
    if form == "dot":
        return "\n".join(dot(picture_of(table), found.get(table.name)) for table in machines)
    blocks = [mermaid(picture_of(table), found.get(table.name)) for table in machines]
    return blocks[0] if len(blocks) == 1 else "\n".join(f"```mermaid\n{block}```\n" for block in blocks)


def documents() -> dict[str, str]:
    """The files of docs/diagrams/ by name: for each machine its picture, the same in Mermaid, and its table."""
    files = {}
    for table in TABLES:
        heading, rest = draw([table], "table").split("\n\n", 1)
        files[f"{table.name}.svg"] = draw([table], "svg")
        files[f"{table.name}.mmd"] = draw([table], "mermaid")
        files[f"{table.name}.md"] = f"{heading}\n\n![{table.name} machine]({table.name}.svg)\n\n{rest}"
    return files
