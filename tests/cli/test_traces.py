"""`flask subscriptions debug-token` and `flask trace`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.traces import document, new_trace_id
from gateway.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from gateway.subscriptions import Subscriptions
    from gateway.traces import Traces

ABOUT: dict[str, object] = {
    "requestTraceId": "0" * 32,
    "subscription": "ada",
    "product": "starter",
    "operation": "Get Data",
    "status": 429,
}


def test_a_debug_token_is_printed_for_a_subscription_that_exists(
    flask: Callable[..., Result], subscriptions: Subscriptions, traces: Traces
) -> None:
    subscriptions.create("Ada", "starter", sid="ada")
    printed = json.loads(flask("subscriptions", "debug-token", "ada", "--minutes", "5", "--json").output)
    grant = traces.grant(printed["token"])
    assert grant is not None
    assert grant.subscription == "ada"
    assert timedelta(minutes=4) < grant.expires_at - datetime.now(UTC) <= timedelta(minutes=5)
    assert datetime.fromisoformat(printed["expirationDate"]) == grant.expires_at
    text = flask("subscriptions", "debug-token", "ada").output
    assert "Apim-Debug-Authorization" in text
    assert "sid=ada&p=tracing" in text
    failed = flask("subscriptions", "debug-token", "none")
    assert (failed.exit_code, "none" in failed.output) == (1, True)
    assert flask("subscriptions", "debug-token", "ada", "--minutes", "61").exit_code == 2


def test_a_trace_is_shown_as_a_table_or_as_it_is(
    flask: Callable[..., Result], subscriptions: Subscriptions, traces: Traces
) -> None:
    subscriptions.create("Ada", "starter", sid="ada")
    trail, trace_id = Trail(), new_trace_id()
    with trail.step("call rate"):
        trail.note(calls=5, remaining=0)
    whole = document(trail, {"traceId": trace_id, **ABOUT})
    traces.keep(trace_id, "ada", whole)
    assert json.loads(flask("trace", trace_id, "--json").output) == whole
    text = flask("trace", trace_id).output
    assert "429" in text
    assert "calls=5, remaining=0" in text
    failed = flask("trace", "0" * 32)
    assert (failed.exit_code, "Apim-Trace-Id" in failed.output) == (1, True)
