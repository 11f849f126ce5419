"""Row 12: a key, a prompt and an answer that are searched for wherever they have no place to be."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.processes import below, title
from tests.collector import Collector, collecting
from tests.faults.corpus import CORPUS
from tests.real.callers import ADMIN_TOKEN, CHAT, COMPLETIONS, GET_DATA, Caller, manage
from tests.server import running, wait_for
from tests.worker.server import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.faults.figures import Figure
    from tests.server import GatewayServer, Reply

KEY = "Ocp-Apim-Subscription-Key"
ANSWER = "a family of large language models"  # what the demo model says of Llama 2
FOUR_KINDS = {"master", "worker", "engine host", "engine"}


def letters() -> str:
    """A word of its own that no filter for keys knows, and that may be a method."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(20))


@dataclass
class Canaries:
    """What is sent, and searched for.

    Attributes:
        prompt: content, in every field that takes any.
        path: in addresses and names of things that are not there.
        keys: good ones and bad ones.
        errors: every answer of 400 and above.
    """

    prompt: str = field(default_factory=letters)
    path: str = field(default_factory=letters)
    keys: list[str] = field(default_factory=list)
    errors: list[bytes] = field(default_factory=list)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Where its traces go."""
    with collecting() as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[GatewayServer]:
    """One of its own, whose every file and line is of this test."""
    environment = {"GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with running(tmp_path_factory.mktemp("canaries"), **environment) as started:
        yield started


def schema(canary: str) -> dict[str, Any]:
    """A JSON schema with a canary wherever one can be: more than xgrammar can do, and so for another engine."""
    texts = {"type": "string", "pattern": f"(^{canary}$)", "description": canary}
    return {
        "title": canary,
        "type": "object",
        "properties": {canary: texts, "b": {"enum": [canary]}, "c": {"type": "string", "default": canary}},
        "patternProperties": {f"(^{canary}$)": {"type": "string"}},
        "required": [canary],
    }


def anchored(canary: str) -> dict[str, Any]:
    """One that xgrammar makes a grammar of, and warns of the anchors in it."""
    return {"type": "object", "properties": {"a": {"type": "string", "pattern": f"(^{canary}$)"}}, "required": ["a"]}


def form(canary: str, of: dict[str, Any]) -> dict[str, Any]:
    """The `response_format` of a schema."""
    return {"type": "json_schema", "json_schema": {"name": canary, "schema": of}}


def bodies(canary: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests that are served, and requests that are not, by operation."""
    said = [{"role": "system", "content": canary}, {"role": "user", "content": canary}]
    tool = {"name": canary, "description": canary, "parameters": schema(canary)}
    wanted, simple = form(canary, schema(canary)), form(canary, anchored(canary))
    for stream in (False, True):
        plain = {"prompt": canary, "max_tokens": 2, "stream": stream}
        yield GET_DATA, plain
        yield "/system-prompt-get-data", {**plain, "system prompt": canary}
        yield GET_DATA, {**plain, "stop": [canary]}
        yield GET_DATA, {**plain, "response_format": wanted}
        yield GET_DATA, {**plain, "response_format": simple}
        yield GET_DATA, {**plain, "prompt": canary * 1000}  # longer than the context
        yield COMPLETIONS, {**plain, "user": canary, "stop": canary, "logprobs": 2}
        yield COMPLETIONS, {**plain, "prompt": [canary, canary], "n": 2}
        chat = {"messages": said, "max_tokens": 2, "stream": stream}
        yield CHAT, {**chat, "metadata": {canary: canary}, "user": canary, "logprobs": True}
        yield CHAT, {**chat, "response_format": wanted}
        yield CHAT, {**chat, "response_format": simple}
        yield CHAT, {**chat, "tools": [{"type": "function", "function": tool}], "tool_choice": "none"}
        yield CHAT, {**chat, "structured_outputs": {"regex": f"(^{canary}$)|{canary}^a"}}
        yield CHAT, {**chat, "structured_outputs": {"choice": [canary]}}
        yield CHAT, {**chat, "structured_outputs": {"grammar": f'root ::= "{canary}"'}}
        yield CHAT, {**chat, "structured_outputs": {"grammar": f"root ::= {canary}"}}  # a rule that is not there
        yield CHAT, {**chat, "structured_outputs": {"regex": f"{canary}("}}
        yield CHAT, {**chat, "structured_outputs": {"regex": f"{canary}\\b"}}
        yield CHAT, {**chat, "response_format": {"type": canary}}
    for name in ("temperature", "top_p", "max_tokens", "seed", "stop", "model", "response_format", "stream"):
        for value in (canary, [canary], {canary: canary}, [[canary]]):
            yield GET_DATA, {"prompt": "Hello", name: value}
            yield CHAT, {"messages": said, name: value}
    yield CHAT, {"messages": canary}
    yield CHAT, {"messages": [{"role": canary, "content": canary}]}
    yield CHAT, {"messages": [{"role": "user", "content": [{"type": canary, "text": canary}]}]}
    yield CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": canary}}]}]}
    yield COMPLETIONS, {"prompt": [[canary]]}
    yield COMPLETIONS, {"prompt": canary, "logit_bias": {canary: 1}}
    yield "/v1/chat/completions?api-version=" + canary, {"messages": said}


def send(  # noqa: PLR0913, PLR0917 - the parts of a request
    server: GatewayServer,
    canaries: Canaries,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> int:
    """One request; its status. What it was told, if it failed, is kept."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        content = response.read()
        if response.status >= 400:
            canaries.errors += [content, str(response.headers).encode()]
        return response.status


def prompts_in_every_field(server: GatewayServer, canaries: Canaries) -> dict[int, int]:
    """How many had which status."""
    found: dict[int, int] = {}
    issued = server.post(
        "/management/subscriptions/dev/listDebugCredentials", {}, Authorization=f"Bearer {ADMIN_TOKEN}"
    )
    headers = {KEY: server.key, "Apim-Debug-Authorization": issued.json["token"]}
    for path, body in bodies(canaries.prompt):
        status = send(server, canaries, "POST", path, json.dumps(body).encode(), headers)
        found[status] = found.get(status, 0) + 1
    answer = server.post(GET_DATA, {"prompt": "Tell me about llama2", "temperature": 0})
    assert ANSWER in answer.json["generated_text"]
    return found


def keys_in_every_place(server: GatewayServer, canaries: Canaries) -> None:
    """Good keys, keys of nobody, and words that are no keys."""
    said = json.dumps({"messages": [{"role": "user", "content": canaries.prompt}], "max_tokens": 1}).encode()
    given = secrets.token_hex(16)
    caller = {"displayName": "Canary", "scope": "/products/unlimited", "primaryKey": given, "state": "active"}
    made = manage(server, "PUT", "/subscriptions/canary", dict(caller)).json["properties"]
    renewed = manage(server, "POST", "/subscriptions/canary/regenerateSecondaryKey").json["secondaryKey"]
    canaries.keys += [server.key, given, made["secondaryKey"], renewed, secrets.token_hex(16), letters()]
    for key in canaries.keys:
        for headers in ({KEY: key}, {"api-key": key}, {"Authorization": f"Bearer {key}"}, {"Authorization": key}):
            send(server, canaries, "POST", CHAT, said, headers)
            send(server, canaries, "POST", GET_DATA, b'{"prompt": "a", "max_tokens": 1}', headers)
            send(server, canaries, "GET", "/me/usage", headers=headers)
            send(server, canaries, "GET", "/management/subscriptions", headers=headers)
        for path in (CHAT, GET_DATA, "/me/regenerateKey", "/v1/models", "/nowhere", f"/{key}", f"/v1/models/{key}"):
            send(server, canaries, "POST", f"{path}?subscription-key={key}&{key}={key}", said)
        send(
            server,
            canaries,
            "PUT",
            f"/management/subscriptions/{key}",
            b"{",
            {"Authorization": f"Bearer {ADMIN_TOKEN}"},
        )
    assert manage(server, "PUT", "/subscriptions/other", dict(caller)).status == 409  # the key is in use


def addresses_that_are_none(server: GatewayServer, canaries: Canaries) -> None:
    """Canaries in paths, queries, methods and headers that nobody reads."""
    for path in (f"/{canaries.path}", f"/v1/models/{canaries.path}", f"/get-data/{canaries.path}"):
        for method in ("GET", "POST", "DELETE"):
            send(server, canaries, method, f"{path}?{canaries.path}={canaries.path}", headers={KEY: server.key})
    deployment = f"/openai/deployments/{canaries.path}/chat/completions"
    send(server, canaries, "POST", deployment, b'{"messages": []}', {KEY: server.key})
    send(server, canaries, canaries.path.upper(), "/get-data")
    manage(server, "GET", f"/products/{canaries.path}")
    unread = {"User-Agent": canaries.path, "Referer": f"http://{canaries.path}/", "Cookie": canaries.path}
    more = {"traceparent": canaries.path, "baggage": f"a={canaries.path}", "X-Request-Id": canaries.path}
    send(server, canaries, "POST", GET_DATA, b"{", {KEY: server.key, **unread, **more})
    send(server, canaries, "POST", GET_DATA, f'{{"{canaries.prompt}'.encode(), {KEY: server.key, **unread, **more})


def malformed(server: GatewayServer, canaries: Canaries) -> None:
    """The corpus of row 5, once more with these canaries."""
    for case in CORPUS:
        with Client(("127.0.0.1", server.port)) as client:
            values = {"key": server.key, "mark": canaries.path, "smuggled": canaries.prompt, "length": "24"}
            client.send(case.bytes(**{name: value.encode() for name, value in values.items()}))
            client.sock.shutdown(1)
            with contextlib.suppress(ConnectionError):
                while reply := client.reply():
                    if reply.status >= 400:
                        canaries.errors.append(reply.body)


def conversation(canaries: Canaries) -> dict[str, Any]:
    """A request for a long answer in OpenAI's form."""
    said = [{"role": "user", "content": canaries.prompt}]
    return {"messages": said, "max_tokens": 900, "ignore_eos": True}


def hang_ups(server: GatewayServer, canaries: Canaries) -> None:
    """Streams that are left, one after its first event and one at once."""
    caller = Caller(server, "dev", server.key)
    for path, said in ((GET_DATA, {"prompt": canaries.prompt}), (CHAT, conversation(canaries))):
        with caller.stream(path, **said) as stream:
            assert stream.event()
        with caller.stream(path, **said):
            pass


def an_engine_that_dies(server: GatewayServer, canaries: Canaries) -> None:
    """Under a stream, which is told so."""
    caller = Caller(server, "dev", server.key)
    with caller.stream(CHAT, **conversation(canaries)) as stream:
        stream.event()
        (engine,) = [pid for pid in below(server.process.pid) if title(pid) == "engine"]
        os.kill(engine, signal.SIGKILL)
        with contextlib.suppress(http.client.IncompleteRead):
            canaries.errors.append(stream.rest().encode())
    wait_for(lambda: server.post(GET_DATA, {"prompt": "Hello", "max_tokens": 1}).status == 200, "the new engine")


def what_is_written(server: GatewayServer, collector: Collector) -> Iterator[tuple[str, bytes]]:
    """Each place where a secret could have gone to, with all that is there."""
    reply: Reply = server.post(GET_DATA, {"prompt": "Hello", "max_tokens": 1})
    server.request_log(reply.headers["X-Trace-Id"])  # all that came before is logged by now
    yield "the log", "\n".join(server.log).encode()
    yield "metrics", server.get("/metrics").content
    assert collector.trace(reply.headers["X-Trace-Id"])
    yield "traces", b"".join(collector.bodies)
    for pid in below(server.process.pid):
        for name in ("cmdline", "comm"):
            yield f"the {name} of the {title(pid)}", Path(f"/proc/{pid}/{name}").read_bytes()
        for thread in Path(f"/proc/{pid}/task").iterdir():
            yield f"a thread's name in the {title(pid)}", (thread / "comm").read_bytes()
    for path in server.folder.rglob("*"):
        if path.is_file():
            yield f"the file {path.name}", path.read_bytes()


def test_a_canary_is_found_nowhere(server: GatewayServer, collector: Collector, figure: Figure) -> None:
    canaries = Canaries()
    statuses = prompts_in_every_field(server, canaries)
    assert set(statuses) == {200, 400, 404}
    keys_in_every_place(server, canaries)
    addresses_that_are_none(server, canaries)
    malformed(server, canaries)
    hang_ups(server, canaries)
    an_engine_that_dies(server, canaries)

    secret = [*canaries.keys, canaries.prompt, canaries.path, ADMIN_TOKEN, ANSWER]
    places = [*what_is_written(server, collector), *(("an error", text) for text in canaries.errors)]
    assert {title(pid) for pid in below(server.process.pid)} == FOUR_KINDS
    assert {"the file gateway.sqlite3", "the file gateway.sqlite3-wal"} <= {place for place, _ in places}
    assert any(b"traceEntries" in text for place, text in places if "sqlite3" in place)  # the debug traces
    found = [
        (place, word)
        for place, text in places
        for word in secret
        if word.encode() in text or word.upper().encode() in text
    ]
    sent = f"{sum(statuses.values())} bodies, {len(canaries.keys)} keys, {len(CORPUS)} malformed requests"
    figure(12, f"{sent}: found in {len(found)} of {len(places)} texts")
    assert found == []


def test_the_engine_cannot_even_read_the_gateways_secrets(server: GatewayServer) -> None:
    secrets_of_the_gateway = {name: server.environment[name] for name in ("GATEWAY_DEV_KEY", "GATEWAY_KEY_PEPPER")}
    for pid in below(server.process.pid):
        if title(pid) in {"engine host", "engine"}:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            assert not any(name.encode() in environment for name in secrets_of_the_gateway)
            assert not any(value.encode() in environment for value in secrets_of_the_gateway.values())
