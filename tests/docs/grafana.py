"""The Grafana dashboard as its file has it, with the variables filled in as Grafana would."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.settings import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = ROOT / "deploy" / "grafana" / "dashboards" / "get-data-gateway.json"
# "All" of each; a window that has several scrapes in it.
_VARIABLES = {"$instance": ".*", "$product": ".*", "$__rate_interval": "1m"}


@dataclass(frozen=True)
class Query:
    """A panel's PromQL expression."""

    panel: str
    expression: str

    def __str__(self) -> str:
        return f"{self.panel}: {self.expression}"


def dashboard() -> dict[str, Any]:
    """The whole file."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def queries() -> Iterator[Query]:
    """Every expression of every panel."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in _VARIABLES.items():
                expression = expression.replace(name, value)
            yield Query(panel["title"], expression)


def metrics(expression: str) -> set[str]:
    """The names of the samples in an expression."""
    return set(re.findall(r"\b(?:gateway|gen_ai|vllm|process)[a-z_:]+(?=\{)", expression))
