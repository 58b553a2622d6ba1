"""Dashboard, alert rules, runbook and metrics page speak of metrics that there are, and of all of them."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from prometheus_client.parser import text_string_to_metric_families

from fedsm.chains.rpc import RpcError
from fedsm.observe.status import Block, Member, ReissuanceStatus, ReissuedAsset, Status
from tests.unit.test_observe import cluster

ROOT = Path(__file__).parents[2]
FILE = yaml.safe_load((ROOT / "contrib/prometheus/fedsm.rules.yml").read_text())
RULES: list[dict[str, Any]] = FILE["groups"][0]["rules"]
DASHBOARD = json.loads((ROOT / "contrib/grafana/fedsm.json").read_text())
# What Prometheus adds by itself.
OF_PROMETHEUS = {"up": {"job", "instance"}}
LABELS_OF_PROMETHEUS = {"instance", "job", "le"}
# Names in an expression that are no metrics: functions, keywords and labels.
METRIC = re.compile(r"\b((?:fedsm|process)_[a-z_]+|up)\b(\{[^}]*\})?")


@cache
def exposition() -> dict[str, set[str]]:
    """Every sample of a member that has seen blocks, failures and a node's error, with its labels' names."""
    made, machines = cluster()
    made.run_until_height(3)
    made.members[0].signer_down = True
    made.run_for(2_000)
    made.members[0].signer_down = False
    made.members[0].disk_full = True
    made.run_for(2_000)
    made.members[0].disk_full = False
    made.members[2].crash()
    made.run_until_height(made.members[1].height + 8)
    station = machines[0].station

    class Node:
        def call(self, method: str, *_: object, **__: object) -> None:
            if method == "testproposedblock":
                raise RpcError(-25, "bad-txns")

    node = station.timed(Node())
    node.call("getnewblockhex")
    with contextlib.suppress(RpcError):
        node.call("testproposedblock")
    board = cast(Any, machines[0].trace)._board
    board._now = replace(board.now, reissuance=ReissuanceStatus(8, 8, (ReissuedAsset("aa" * 32, "Done", 8),)))
    samples: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(station.metrics().decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, set()).update(sample.labels)
    return samples


def check(expression: str) -> None:
    """Every metric of an expression is exposed with every label that the expression asks of it."""
    known = exposition() | OF_PROMETHEUS
    found = METRIC.findall(expression)
    assert found, expression
    for name, selector in found:
        assert name in known, f"{name} in {expression}"
        asked = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector))
        assert asked <= known[name] | LABELS_OF_PROMETHEUS, f"{name}{selector}"
    by = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
    assert by <= labels_of(expression), expression


def labels_of(expression: str) -> set[str]:
    """The labels that the metrics of an expression have."""
    known = exposition() | OF_PROMETHEUS
    return LABELS_OF_PROMETHEUS.union(*(known[name] for name, _ in METRIC.findall(expression)))


def test_every_alert_reads_what_is_exposed() -> None:
    assert len(RULES) > 10
    for rule in RULES:
        check(rule["expr"])


def test_every_alert_uses_labels_that_its_expression_leaves() -> None:
    for rule in RULES:
        used = set(re.findall(r"\$labels\.([a-z_]+)", rule["annotations"]["summary"]))
        assert used <= labels_of(rule["expr"])


def test_every_alert_has_a_runbook_entry_and_every_entry_an_alert() -> None:
    entries = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert entries == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_every_panel_of_the_dashboard_reads_what_is_exposed() -> None:
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    assert len(expressions) > 20
    for expression in expressions:
        check(expression)
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert shown <= labels_of(target["expr"])


def test_every_metric_is_explained_and_every_explained_one_exposed() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| (`fedsm_[^|]*) \|", page, re.MULTILINE)
    explained = {name for row in rows for name in re.findall(r"`(fedsm_\w+)`", row)}
    samples = {name for name in exposition() if name.startswith("fedsm_") and not name.endswith("_created")}
    assert explained == {re.sub(r"_(bucket|count|sum)$", "", name) for name in samples}


def test_every_check_of_ready_is_explained() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    section = page[page.index("## Checks of /ready") : page.index("## Prometheus")]
    _, machines = cluster()
    checks = {check.name for check in machines[0].status.checks}
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == checks


def test_every_field_of_the_status_document_is_explained() -> None:
    page = (ROOT / "docs" / "formats.md").read_text()
    section = page[page.index("## Status document") :].split("\n## ")[0]
    tables = [set(re.findall(r"`(\w+)`", cells)) for cells in map(first_cells, section.split("\n\n"))]
    wanted = [set(kind.__struct_fields__) for kind in (Status, Member, Block)]
    assert [table for table in tables if table] == wanted


def first_cells(table: str) -> str:
    return "\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
