"""`flask trace`: the steps of a request that was traced for a support case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from flask.cli import with_appcontext

from app.cli.group import OneLineErrors, json_option, services
from app.cli.output import NOTHING, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECTIONS = ("inbound", "backend", "outbound")


@click.command("trace", cls=OneLineErrors)
@click.argument("trace_id")
@json_option
@with_appcontext
def trace(trace_id: str, *, as_json: bool) -> None:
    """Show the steps of the request whose answer had TRACE_ID in its header Apim-Trace-Id."""
    found = services().traces.get(trace_id)
    if as_json:
        print_json(found)
        return
    names = ("requestTraceId", "subscription", "product", "operation", "status", "duration")
    print_pairs([(name, str(found[name])) for name in names])
    entries = [entry for section in _SECTIONS for entry in found["traceEntries"][section]]
    print_table(("Elapsed", "Duration", "Step", "Found and decided"), [_row(entry) for entry in entries])


def _row(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    step = f"{entry['inside']}: {entry['source']}" if "inside" in entry else entry["source"]
    facts = ", ".join(f"{name}={fact}" for name, fact in entry["data"].items())
    return entry["elapsed"], entry.get("duration", NOTHING), step, facts
