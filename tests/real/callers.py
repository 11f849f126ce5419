"""Callers of a real gateway with products of their own, and the ledger as its file has it."""

from __future__ import annotations

import http.client
import json
import secrets
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.settings import ROOT
from tests.server import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server import GatewayServer

ADMIN_TOKEN = "a-token-of-the-tests-long-enough-for-anyone"
GET_DATA, CHAT, COMPLETIONS = "/get-data", "/v1/chat/completions", "/v1/completions"
LONG = "Count from 1 to 300"


@dataclass(frozen=True)
class Caller:
    """A subscription with its primary key."""

    server: GatewayServer
    sid: str
    key: str

    def post(self, path: str, **fields: object) -> Reply:
        """An answer, whole or streamed, read to its end."""
        return self.server.post(path, fields, Ocp_Apim_Subscription_Key=self.key)

    def ask(self, text: str = "Hello", path: str = GET_DATA, **fields: object) -> Reply:
        """A short greedy answer, in the operation's own form."""
        return self.post(path, **{**body(path, text), "max_tokens": 4, **fields})

    @contextmanager
    def stream(self, path: str = GET_DATA, *, trace_id: str | None = None, **fields: object) -> Iterator[Stream]:
        """A streamed long answer; closing it early is hanging up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        headers = {"Content-Type": "application/json", "Ocp-Apim-Subscription-Key": self.key}
        if trace_id is not None:
            headers["traceparent"] = f"00-{trace_id}-00f067aa0ba902b7-01"
        asked = {**body(path, LONG), "stream": True, **fields}
        try:
            connection.request("POST", path, json.dumps(asked), headers)
            yield Stream(connection.getresponse())
        finally:
            connection.close()

    def usage(self) -> dict[str, int]:
        """What it is told that it has used, in all."""
        reply = self.get("/me/usage")
        assert reply.status == 200, reply.content
        total: dict[str, int] = reply.json["total"]
        return total

    def left(self) -> dict[str, Any]:
        """What its limits leave it, by their names."""
        found: dict[str, Any] = self.get("/me/subscription").json["left"]
        return found

    def get(self, path: str) -> Reply:
        """GET with its key."""
        return get(self.server, path, {"Ocp-Apim-Subscription-Key": self.key})

    def rows(self) -> list[dict[str, Any]]:
        """Its rows in the ledger, the oldest first."""
        with closing(sqlite3.connect(database(self.server))) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(
                "SELECT * FROM calls WHERE subscription_id = ? ORDER BY started_at", (self.sid,)
            ).fetchall()
        return [dict(row) for row in found]

    def open_rows(self) -> int:
        """How many of its calls run, or are held to."""
        return sum(row["ended_at"] is None for row in self.rows())


class Stream:
    """Server-sent events, one by one."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response

    def event(self) -> str:
        """The next one's data; an empty text where the stream is over."""
        line = self._response.readline().decode().strip()
        while line.startswith("event:"):
            line = self._response.readline().decode().strip()
        self._response.readline()
        return line.removeprefix("data: ")

    def rest(self) -> str:
        """All that is still to come."""
        return self._response.read().decode()


def body(path: str, prompt: str) -> dict[str, object]:
    """A greedy request in an operation's own form."""
    if path == CHAT:
        return {"messages": [{"role": "user", "content": prompt}], "temperature": 0}
    return {"prompt": prompt, "temperature": 0}


def usage_of(reply: Reply) -> dict[str, int]:
    """What an answer says of itself: a whole one, or Get Data's or OpenAI's last event but one."""
    assert reply.status == 200, reply.content
    text = reply.content.decode()
    if text.startswith("data: "):
        assert text.endswith("data: [DONE]\n\n")
        text = text.split("\n\n")[-3].removeprefix("data: ")
    found: dict[str, int] = json.loads(text)["usage"]
    return found


def get(server: GatewayServer, path: str, headers: dict[str, str]) -> Reply:
    """GET with headers."""
    return _request(server, "GET", path, None, headers)


def manage(server: GatewayServer, method: str, path: str, properties: dict[str, object] | None = None) -> Reply:
    """A request of the operator's."""
    content = None if properties is None else json.dumps({"properties": properties})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {ADMIN_TOKEN}"}
    return _request(server, method, "/management" + path, content, headers)


def flask(server: GatewayServer, *words: str) -> Any:
    """What a command beside the running server prints, as JSON."""
    command = [str(Path(sys.executable).parent / "flask"), *words, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=server.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def put_product(server: GatewayServer, pid: str, **limits: object) -> None:
    """A product with these limits and no others."""
    reply = manage(server, "PUT", f"/products/{pid}", {"displayName": pid, **limits})
    assert reply.status in {200, 201}, reply.content


def subscriber(server: GatewayServer, pid: str) -> Caller:
    """A new subscription for a product that is there."""
    sid, key = f"{pid}-{secrets.token_hex(4)}", secrets.token_hex(16)
    properties: dict[str, object] = {"displayName": sid, "scope": f"/products/{pid}", "primaryKey": key}
    reply = manage(server, "PUT", f"/subscriptions/{sid}", {**properties, "state": "active"})
    assert reply.status == 201, reply.content
    return Caller(server, sid, key)


def caller_with(server: GatewayServer, **limits: object) -> Caller:
    """A new subscription for a new product with these limits and no others."""
    pid = f"p-{secrets.token_hex(4)}"
    put_product(server, pid, **limits)
    return subscriber(server, pid)


@contextmanager
def asking(caller: Caller, at_a_time: int) -> Iterator[None]:
    """Have a caller ask for long answers, so many at a time."""
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            caller.ask(LONG, max_tokens=300)

    threads = [threading.Thread(target=ask) for _ in range(at_a_time)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def database(server: GatewayServer) -> Path:
    """The file of its SQLite database."""
    return server.folder / "gateway.sqlite3"


def _request(server: GatewayServer, method: str, path: str, content: str | None, headers: dict[str, str]) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with closing(connection):
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        return Reply(response.status, dict(response.headers), response.read())
