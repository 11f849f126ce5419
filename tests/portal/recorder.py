"""A server that writes down what programs send it, and answers in the gateway's forms."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECES = ("Grüße, ", "“it” worked 🦙")
TEXT = "".join(PIECES)
MODEL = "a-model"


@dataclass
class Recorder:
    """What has come, the newest last: path, headers in lower case, and the body's JSON."""

    url: str
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@contextmanager
def recording() -> Iterator[Recorder]:
    """A recorder on a free port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        found = Recorder(f"http://127.0.0.1:{server.server_port}")
        server.recorder = found  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])).decode("utf-8"))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.recorder.requests.append((self.path, headers, body))  # type: ignore[attr-defined]
        write = {"/get-data": _get_data, "/system-prompt-get-data": _get_data, "/v1/completions": _completion}
        form = write.get(self.path, _chat)
        if body.get("stream"):
            events = [*(form(piece, stream=True) for piece in PIECES), "[DONE]"]
            self._answer("".join(f"data: {event}\n\n" for event in events), "text/event-stream")
        else:
            self._answer(form(TEXT, stream=False))

    def _answer(self, text: str, kind: str = "application/json") -> None:
        self.send_response(200)
        content = text.encode()
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


def _get_data(text: str, *, stream: bool) -> str:
    return json.dumps({"generated_text": text} if stream else {"status": 200, "generated_text": text})


def _chat(text: str, *, stream: bool) -> str:
    key, kind = ("delta", "chat.completion.chunk") if stream else ("message", "chat.completion")
    choice = {"index": 0, key: {"role": "assistant", "content": text}, "finish_reason": None if stream else "stop"}
    return json.dumps({"id": "1", "object": kind, "created": 1, "model": MODEL, "choices": [choice]})


def _completion(text: str, *, stream: bool) -> str:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": None if stream else "stop"}
    return json.dumps({"id": "1", "object": "text_completion", "created": 1, "model": MODEL, "choices": [choice]})
