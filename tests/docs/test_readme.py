"""The README's tables and commands are true."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

from gateway.settings import ROOT, Settings

if TYPE_CHECKING:
    from tests.server import GatewayServer

README = (ROOT / "README.md").read_text()
# Set by the gateway's own master for its workers, and by nobody else.
INTERNAL = {"GATEWAY_RUNTIME_DIR"}


def test_every_setting_stands_in_a_table_with_its_meaning() -> None:
    settings = {str(field.validation_alias): field.description for field in Settings.model_fields.values()}
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| .* \| (.*) \|$", README, re.MULTILINE))
    own = {name: text for name, text in settings.items() if not name.startswith("OTEL_")}
    assert documented == {name: text for name, text in own.items() if name not in INTERNAL}
    traces = (ROOT / "docs" / "traces.md").read_text()
    documented = dict(re.findall(r"^\| `(OTEL_[A-Z_]+)` \| (.*) \|$", traces, re.MULTILINE))
    assert documented == {name: text for name, text in settings.items() if name not in own}


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets


def test_every_link_to_a_file_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_first_screen_has_what_a_newcomer_needs() -> None:
    first_screen = "\n".join(README.splitlines()[:30])
    for needed in ("make serve", "make test", "curl -X POST", "generated_text", "traceId"):
        assert needed in first_screen


def block(language: str, start: str) -> str:
    """The first code block of a language that starts so."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(text for text in blocks if text.lstrip().startswith(start))


def test_the_curl_line_gets_the_answer_that_stands_below_it(gateway_server: GatewayServer) -> None:
    line = block("sh", "curl").replace("http://127.0.0.1:8000", gateway_server.url)
    environment = {**os.environ, "GATEWAY_KEY": gateway_server.key}
    done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, timeout=60, check=True)
    answer, shown = json.loads(done.stdout), json.loads(block("json", '{"status"'))
    assert list(answer) == list(shown)
    assert answer["model"] == shown["model"]
    greedy = gateway_server.generate("Tell me about llama2")
    assert {**shown, "traceId": greedy["traceId"]} == greedy


def test_the_last_event_of_a_stream_has_what_is_shown(gateway_server: GatewayServer) -> None:
    shown = re.findall(r"^data: (\{.*\})$", README, re.MULTILINE)[-1]
    body = {"prompt": "Hello", "stream": True, "max_tokens": 2}
    events = re.findall(r"^data: (\{.*\})$", gateway_server.post("/get-data", body).content.decode(), re.MULTILINE)
    assert list(json.loads(events[-1])) == re.findall(r'"(\w[\w-]*)":', shown)


def test_the_error_that_is_shown_is_the_one_that_comes(gateway_server: GatewayServer) -> None:
    reply = gateway_server.post("/get-data", {"prompt": "Hello"}, Ocp_Apim_Subscription_Key="")
    shown = json.loads(block("json", '{"code"'))
    assert {**shown, "traceId": reply.json["traceId"]} == reply.json
