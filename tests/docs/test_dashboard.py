"""The Grafana dashboard is one that Grafana takes, and its expressions are Prometheus' (tests/real has its data)."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

from gateway.settings import ROOT
from tests.docs.grafana import dashboard, metrics, queries
from tests.docs.test_alerts import promtool

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_every_panel_asks_the_source_that_is_chosen_and_says_what_it_shows() -> None:
    found = dashboard()
    variables = {one["name"]: one for one in found["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert {"instance", "product"} <= set(variables)
    panels = [panel for panel in found["panels"] if panel["type"] != "row"]
    assert len(panels) > 20
    for panel in panels:
        assert panel["datasource"] == SOURCE
        assert panel["title"]
        assert all(target["datasource"] == SOURCE for target in panel["targets"])
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    assert "id" not in found  # Grafana gives it one


def test_no_panel_lies_over_another() -> None:
    cells = [
        (row, column)
        for panel in dashboard()["panels"]
        for row in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
    ]
    assert all(one != other for one, other in pairwise(sorted(cells)))
    assert max(column for _, column in cells) < 24


def test_every_expression_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": one.expression} for number, one in enumerate(queries())]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)
    assert all(metrics(one.expression) for one in queries())


def test_prometheus_takes_the_configuration() -> None:
    said = promtool("check", "config", ROOT / "deploy" / "prometheus" / "prometheus.yml")
    assert "1 rule files found" in said
