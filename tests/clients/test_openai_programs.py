"""The whole programs for OpenAI's API, as they stand in the documentation, against the real gateway."""

from __future__ import annotations

import ast
import json
import re
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.settings import ROOT
from tests.clients.programs import HERE, Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server import GatewayServer

FOLDER = HERE / "openai"


def plain(output: str) -> str:
    """What a program printed that prints the text and nothing else."""
    return output.removesuffix("\n")


def message(output: str) -> str:
    """The text of a message that OpenAI's package has printed."""
    start = output.index("content=") + len("content=")
    return str(ast.literal_eval(output[start : output.index(", refusal=")]))


def body(output: str) -> str:
    """The text in an answer as it came."""
    return str(json.loads(output)["choices"][0]["message"]["content"])


def events(output: str) -> str:
    """The text in server-sent events as they came."""
    *data, done, _ = output.split("\n\n")
    assert done == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in data]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


PROGRAMS = {
    "openai_chat.py": message,
    "openai_stream.py": plain,
    "azure_chat.py": plain,
    "nvidia_chat.py": plain,
    "langchain_chat.py": plain,
    "openai_chat.mjs": plain,
    "openai_stream.mjs": plain,
    "chat.sh": body,
    "chat_stream.sh": events,
}


@pytest.fixture(scope="module")
def whole(gateway_server: GatewayServer) -> str:
    """What the programs ask for, from Get Data."""
    return str(gateway_server.generate("Tell me about llama2", max_tokens=1024)["generated_text"])


def command(name: str, request: pytest.FixtureRequest) -> tuple[str, ...]:
    """How a program is run."""
    if name.endswith(".mjs"):
        request.getfixturevalue("npm_programs")
    runner = {"py": sys.executable, "mjs": "node", "sh": "bash"}[name.rpartition(".")[2]]
    return (runner, str(FOLDER / name))


@pytest.mark.parametrize(("name", "read"), PROGRAMS.items(), ids=list(PROGRAMS))
def test_every_program_gets_what_get_data_answers(
    name: str, read: Callable[[str], str], gateway_server: GatewayServer, whole: str, request: pytest.FixtureRequest
) -> None:
    done = Program(name, command(name, request)).start(gateway_server)
    assert done.returncode == 0, done.stderr.decode()
    assert read(done.stdout.decode()) == whole


def test_every_program_of_the_folder_is_run() -> None:
    helpers = {"ask.mjs"}
    found = {path.name for path in FOLDER.iterdir() if path.suffix in {".py", ".mjs", ".sh"}}
    assert found - helpers == set(PROGRAMS)


def test_the_lines_that_the_documentation_names_stand_in_the_programs() -> None:
    page = (ROOT / "docs" / "clients.md").read_text().partition("## OpenAI's")[2].partition("\n## ")[0]
    programs = "".join((FOLDER / name).read_text() for name in PROGRAMS)
    rows = re.findall(r"^\|.*\|.*\| (.*) \|$", page, re.MULTILINE)[2:]
    lines = [line for row in rows for _, line in re.findall(r"(`+) ?(.+?) ?\1", row)]
    assert len(lines) == 13
    assert not [line for line in lines if line not in programs]
    assert all(name in page for name in PROGRAMS)
