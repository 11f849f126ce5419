"""What an HTTP caller sends, when an answer is whole, and how it is read. No sockets here.

Two operations: Get Data, which only the gateway has, and OpenAI's chat completions, which others have as well.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

Operation = Literal["get-data", "chat"]

_PATHS: dict[Operation, str] = {"get-data": "/Get%20Data", "chat": "/v1/chat/completions"}
# The first chunk of a chat has a role and an empty text.
_FIRST_TEXTS = {"get-data": re.compile(rb'"generated_text"'), "chat": re.compile(rb'"content": ?"[^"]')}
_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class UnexpectedAnswerError(Exception):
    """A server answered with something else than a whole answer to a prompt."""


@dataclass(frozen=True)
class Target:
    """A server on this machine, and what it is asked for.

    Attributes:
        key: a subscription's, or what the server takes for one.
        model: its name, where the operation needs one.
    """

    port: int
    key: str
    operation: Operation = "get-data"
    model: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Reading:
    """An answer, read."""

    text: str
    prompt_tokens: int
    output_tokens: int
    finish_reason: str


def request(target: Target, prompt: str, max_tokens: int, *, stream: bool) -> bytes:
    """A request that leaves the connection open."""
    fields = {"max_tokens": max_tokens, "temperature": 0, "stream": stream}
    if target.operation == "get-data":
        body = json.dumps({"prompt": prompt, **fields}).encode()
        key = f"Ocp-Apim-Subscription-Key: {target.key}"
    else:
        more = {"stream_options": {"include_usage": True}} if stream else {}
        messages = [{"role": "user", "content": prompt}]
        body = json.dumps({"model": target.model, "messages": messages, **fields, **more}).encode()
        key = f"Authorization: Bearer {target.key}"
    head = (
        f"POST {_PATHS[target.operation]} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"{key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def has_text(raw: bytes | bytearray, operation: Operation) -> bool:
    """Whether the first text of a stream is here."""
    return _FIRST_TEXTS[operation].search(raw) is not None


def is_whole(raw: bytes | bytearray) -> bool:
    """Whether the last byte is here. Cheap: it is asked at each arrival.

    An event's data never holds a raw CRLF, so the last chunk cannot be mistaken for content.
    """
    end = raw.find(_HEAD_END)
    if end < 0:
        return False
    length = _CONTENT_LENGTH.search(raw, 0, end)
    if length is None:
        return raw.endswith(_LAST_CHUNK)
    return len(raw) >= end + len(_HEAD_END) + int(length[1])


def read(raw: bytes, operation: Operation) -> Reading:
    """Take a whole answer apart, and believe nothing.

    Raises:
        UnexpectedAnswerError: it is no success, or cut short.
    """
    head, _, body = raw.partition(_HEAD_END)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise UnexpectedAnswerError(raw[:2000].decode(errors="replace"))
    if _CONTENT_LENGTH.search(head):
        found = json.loads(body)
        if operation == "get-data":
            return _reading(found["generated_text"], found["usage"], found["finish_reason"])
        choice = found["choices"][0]
        return _reading(choice["message"]["content"], found["usage"], choice["finish_reason"])
    events = _events(_unchunked(body))
    if len(events) < 2 or events[-1] != "[DONE]":
        raise UnexpectedAnswerError(f"a stream without its end: {events[-2:]}")
    pieces = [json.loads(event) for event in events[:-1]]
    return _read_pieces(pieces) if operation == "get-data" else _read_chunks(pieces)


def _read_pieces(pieces: list[dict[str, Any]]) -> Reading:
    *pieces, last = pieces
    return _reading("".join(piece["generated_text"] for piece in pieces), last["usage"], last["finish_reason"])


def _read_chunks(chunks: list[dict[str, Any]]) -> Reading:
    if any("choices" not in chunk for chunk in chunks):
        raise UnexpectedAnswerError(f"a stream that failed: {chunks[-2:]}")
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    reasons = [reason for choice in choices if (reason := choice.get("finish_reason"))]
    usages = [usage for chunk in chunks if (usage := chunk.get("usage"))]
    if not reasons or not usages:
        raise UnexpectedAnswerError(f"a stream without a reason or usage: {chunks[-2:]}")
    return _reading(text, usages[-1], reasons[-1])


def _reading(text: str, usage: dict[str, Any], reason: str) -> Reading:
    return Reading(text, int(usage["prompt_tokens"]), int(usage["completion_tokens"]), reason)


def _unchunked(body: bytes) -> bytes:
    """The content of a chunked body (RFC 9112, section 7.1)."""
    pieces: list[bytes] = []
    rest = body
    while True:
        size, found, rest = rest.partition(b"\r\n")
        length = int(size, 16) if found else -1
        if length < 0 or rest[length : length + 2] != b"\r\n":
            raise UnexpectedAnswerError("a chunk is cut short")
        if length == 0:
            return b"".join(pieces)
        pieces.append(rest[:length])
        rest = rest[length + 2 :]


def _events(content: bytes) -> list[str]:
    """The data of each server-sent event."""
    blocks = [block for block in content.decode().split("\n\n") if block]
    for block in blocks:
        if not block.startswith("data: "):
            raise UnexpectedAnswerError(f"an event that is none of an answer: {block[:500]}")
    return [block.removeprefix("data: ") for block in blocks]
