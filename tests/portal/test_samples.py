"""What is typed arrives as it was typed, from a sample in any language: run where the tool is, read where it is not."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from app.portal.assets import HERE
from tests.clients.programs import TIMEOUT
from tests.portal.programs import FILES, run, text_of
from tests.portal.recorder import MODEL, TEXT, recording
from tests.portal.test_try_it import greedy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.portal.conftest import Visit
    from tests.portal.recorder import Recorder
    from tests.server import GatewayServer

# Each of these is special somewhere: to a shell, in a string, in a template, to an editor, in an encoding.
NASTY = (
    "He said \"hi\", it's 'quoted' and `ticked`: $HOME ${HOME} $(ls) #{1} {{x}} %s %d 100% !! * ? ~\n"
    "second line\r\n\ttabbed \\n \\\\ \\u0041 \\' back\\\n\n  ends with a backslash \\"
    "\u0000\u0007\u001b[31m\u007f\u0085\u00a0\u00ad\u200b\u202e\u2028\u2029\ufeff"
    "é ß 漢字 العربية 🦙 👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 </script> <?php ?> \"\"\" ''' */ // -- ; EOF\n"
)
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"type": "object", "properties": {}, "enum": [None, True, -1.5, "'\"\\"]}},
}
SETTINGS = {"temperature": 0, "top_p": 0.9, "seed": -(2**53) + 1, "stop": ["\n'", '"$x`'], "response_format": SCHEMA}
MESSAGES = [{"role": "system", "content": "'$`\\"}, {"role": "user", "content": NASTY}]
CALLS: dict[str, dict[str, Any]] = {
    "get data": {
        "path": "/get-data",
        "kind": "get-data",
        "body": {"prompt": NASTY, "model": 'it\'s "one"', "top_k": 3, **SETTINGS},
    },
    "system prompt, streamed": {
        "path": "/system-prompt-get-data",
        "kind": "get-data",
        "body": {"prompt": "a", "system prompt": NASTY, "stream": True},
    },
    "chat, streamed": {
        "path": "/v1/chat/completions",
        "kind": "chat",
        "body": {"messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}, **SETTINGS},
    },
    "completion": {"path": "/v1/completions", "kind": "completion", "body": {"prompt": NASTY, "echo": False}},
    "azure": {
        "path": "/openai/deployments/a%20b/chat/completions?api-version=2024-02-01",
        "kind": "chat",
        "body": {"messages": MESSAGES},
        "azure": {"deployment": "a b", "version": "2024-02-01"},
    },
}
KEY = "0123456789abcdef0123456789abcdef"


def make(call: dict[str, Any], origin: str, key: str | None = None) -> dict[str, str]:
    """The samples of a call by language, made by the portal's own module."""
    program = (
        f"import {{ samples }} from {json.dumps((HERE / 'static' / 'samples.js').as_uri())};"
        "const call = JSON.parse(await new Promise((done) => { let text = ''; process.stdin"
        ".on('data', (piece) => { text += piece; }).on('end', () => done(text)); }));"
        "console.log(JSON.stringify(samples(call)));"
    )
    given = {"method": "POST", "keyed": True, "origin": origin, "key": key, **call}
    done = subprocess.run(
        ["node", "--no-warnings", "--input-type=module", "--eval", program],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    return {one["id"]: one["code"] for one in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with recording() as found:
        yield found


def as_openai(call: dict[str, Any]) -> dict[str, Any]:
    """What OpenAI's packages send for a call."""
    body = {**call["body"]}
    if call["kind"] == "get-data":
        system = body.pop("system prompt", None)
        body["messages"] = [{"role": "user", "content": body.pop("prompt")}]
        if system:
            body["messages"].insert(0, {"role": "system", "content": system})
    return {"model": call.get("azure", {}).get("deployment", MODEL), **body}


RUNS = [
    (name, language)
    for name, call in CALLS.items()
    for language in FILES
    if "azure" not in call or "openai" in language  # to the others it is one more path
]


@pytest.mark.parametrize(("name", "language"), RUNS)
def test_a_sample_sends_what_was_typed_and_prints_the_answer(
    recorder: Recorder, tmp_path: Path, language: str, name: str
) -> None:
    call = CALLS[name]
    with_key = language == "http" or name == "completion"
    code = make(call, recorder.url, KEY if with_key else None)[language]
    output = run(language, code, tmp_path, "" if with_key else KEY, recorder.url)
    path, headers, body = recorder.requests[-1]
    if "openai" in language:
        assert body == as_openai(call)
        assert KEY in (headers.get("authorization", "") + headers.get("api-key", ""))
    else:
        assert path == call["path"]
        assert body == call["body"]
        assert headers["ocp-apim-subscription-key"] == KEY
        assert headers["content-type"].startswith("application/json")
    assert text_of(language, output) == TEXT


def ruby(code: str) -> str:
    """The body that Ruby sends: between single quotes, only a backslash and a quote are escaped."""
    found = re.search(r"request\.body = '((?:\\[\\']|[^\\'])*)'\n", code)
    assert found
    return re.sub(r"\\([\\'])", r"\1", found[1])


def csharp(code: str) -> str:
    """The body that C# sends: a verbatim string has no escapes but a doubled quote."""
    found = re.search(r'var body = @"((?:""|[^"])*)";\n', code)
    assert found
    return found[1].replace('""', '"')


def go(code: str) -> str:
    """The body that Go sends: a raw string has no escapes at all, and drops carriage returns."""
    found = re.search(r"strings\.NewReader\(`([^`]*)`\)\n", code)
    assert found
    assert "\r" not in found[1]
    return found[1]


@pytest.mark.parametrize(("language", "read"), [("ruby", ruby), ("csharp", csharp), ("go", go)])
@pytest.mark.parametrize("name", CALLS)
def test_a_sample_that_is_not_run_here_has_what_was_typed(language: str, read: Callable[[str], str], name: str) -> None:
    code = make(CALLS[name], "http://127.0.0.1:8000")[language]
    assert json.loads(read(code)) == CALLS[name]["body"]


def test_nothing_in_a_sample_is_hidden_from_its_reader() -> None:
    hidden = re.compile("[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\ufeff]")
    for language, code in make(CALLS["get data"], "http://127.0.0.1:8000").items():
        assert not hidden.search(code.replace("\t", "") if language == "go" else code), language


TYPED = "Tell me about 'llama2' \"quoted\", $HOME \\n `x` 🦙\nsecond line"
TOKENS = 16


@pytest.fixture(scope="module")
def copied(visit: Visit, server: GatewayServer) -> dict[str, str]:
    """Each sample of what is typed, as the page's own button has copied it."""
    found = {}
    with visit(key=server.key) as person:
        page = person.open("/portal/operations/get-data")
        greedy(page, TYPED, TOKENS)
        page.uncheck("#stream")
        page.check("#with-key")
        for language in FILES:
            page.check(f"#languages input[value={language}]")
            page.click("#copy")
            expect(page.locator("#copied")).to_have_text("Copied.")
            found[language] = str(page.evaluate("navigator.clipboard.readText()"))
    return found


@pytest.mark.parametrize("language", FILES)
def test_a_sample_that_was_copied_gets_the_answer_that_get_data_gives(
    copied: dict[str, str], server: GatewayServer, tmp_path: Path, language: str
) -> None:
    code = copied[language]
    assert server.key in code
    expected = server.generate(TYPED, max_tokens=TOKENS)["generated_text"]
    assert text_of(language, run(language, code, tmp_path, "", server.url)) == expected
