"""docs/idempotency.md says what the code does, and its programs run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from gateway.claims import KEPT_FOR
from gateway.keeper import BEAT_SECONDS, DEAD_AFTER_SECONDS, LOOK_EVERY
from gateway.sealing import LARGEST_ANSWER, LONGEST_KEY
from gateway.settings import ROOT

if TYPE_CHECKING:
    from tests.server import GatewayServer

PAGE = (ROOT / "docs" / "idempotency.md").read_text(encoding="utf-8")


def run(language: str, command: list[str], server: GatewayServer) -> str:
    """What the page's program of a language prints."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    environment = {"PATH": os.environ["PATH"], "GATEWAY_URL": server.url, "GATEWAY_KEY": server.key}
    done = subprocess.run(
        [*command, found[1]], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_lines_for_the_shell_show_the_same_answer_twice(gateway_server: GatewayServer) -> None:
    output = run("sh", ["bash", "-euc"], gateway_server)
    first, again = re.findall(r'^\{"status":200.*\}$', output, re.MULTILINE)
    assert first == again
    assert output.count("Idempotent-Replayed: true") == 1


def test_the_lines_for_openais_client_run(gateway_server: GatewayServer) -> None:
    run("python", [sys.executable, "-c"], gateway_server)


def test_the_figures_on_the_page_are_the_code_s() -> None:
    text = " ".join(PAGE.split())
    assert f"within {KEPT_FOR.total_seconds() / 3600:g} hours" in text
    assert f"1 to {LONGEST_KEY} visible ASCII characters" in text
    assert f"over {LARGEST_ANSWER >> 20} MiB compressed" in text
    assert f"no more than {DEAD_AFTER_SECONDS + (LOOK_EVERY + 1) * BEAT_SECONDS:g} seconds" in text
