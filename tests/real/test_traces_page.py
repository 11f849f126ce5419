"""What docs/traces.md says of debug traces is done word for word, and comes out as it is shown."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from gateway.settings import ROOT
from tests.real.callers import ADMIN_TOKEN, manage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.server import GatewayServer

PAGE = (ROOT / "docs" / "traces.md").read_text(encoding="utf-8").partition("## Debug traces")[2]
SHOWN = re.findall(r"^```console\n\$ ((?:[^\n]*\\\n)*[^\n]*)\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
"""Each command, and what is shown below it."""


def trace_id(printed: str) -> str:
    """The one line that is to be printed of an answer's headers."""
    found = re.fullmatch(r"Apim-Trace-Id: ([0-9a-f]{32})\n", printed)
    assert found, printed
    return found[1]


def shell(server: GatewayServer, key: str) -> Callable[..., str]:
    """Runs a command as a person would, and gives back what it prints."""

    def run(command: str, token: str = "") -> str:
        here = command.replace("http://127.0.0.1:8000", server.url)
        here = here.replace(".venv/bin/flask", f"{sys.executable} -m flask")
        environment = {**server.environment, "GATEWAY_KEY": key, "TOKEN": token}
        done = subprocess.run(
            ["bash", "-euc", here], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (here, done.stderr)
        return done.stdout.replace("\r", "")

    return run


def steps(trace: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Each step with the names of its facts."""
    return [(entry["source"], list(entry["data"])) for part in trace["traceEntries"].values() for entry in part]


def table(text: str) -> list[list[str]]:
    """The steps with the names of their facts, as the shell shows them."""
    rows = re.findall(r"^ \d\d:\S+ +\S+ +(\w[\w ]*?) {2,}(.*?) *$", text, re.MULTILINE)
    return [[step, *re.findall(r"(?:^|, )(\w+)=", facts)] for step, facts in rows]


def test_the_commands_of_the_page_come_out_as_it_shows(managed: GatewayServer) -> None:
    make_token, call, read, show = SHOWN
    key = secrets.token_hex(16)
    wanted: dict[str, object] = {
        "displayName": "Acme",
        "scope": "/products/starter",
        "state": "active",
        "primaryKey": key,
    }
    assert manage(managed, "PUT", "/subscriptions/acme", wanted).status == 201
    run = shell(managed, key)

    made = json.loads(run(make_token[0]))
    assert made.keys() == json.loads(make_token[1]).keys()
    # The sixth call in a minute is one too many.
    *_, found = [trace_id(run(call[0], made["token"])) for _ in range(6)]
    old = trace_id(call[1])

    trace = json.loads(run(read[0].replace(old, found)))
    shown = json.loads(read[1])
    assert trace["status"] == shown["status"] == 429
    assert trace.keys() == shown.keys()
    assert steps(trace) == steps(shown)

    printed = table(run(show[0].replace(old, found)))
    assert len(printed) == 4
    assert printed == table(show[1])

    other = shell(managed, managed.key)(call[0], made["token"])
    assert other.startswith("Apim-Debug-Authorization-WrongAPI: ")
    assert ADMIN_TOKEN not in other
