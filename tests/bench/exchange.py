"""What an HTTP caller of the gateway sends, when an answer is whole, and how it is read. No sockets here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

FIRST_TEXT = b'"generated_text"'
_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class UnexpectedAnswerError(Exception):
    """The gateway answered with something else than a whole answer to a prompt."""


@dataclass(frozen=True)
class Reading:
    """An answer, read."""

    text: str
    prompt_tokens: int
    output_tokens: int
    finish_reason: str


def request(key: str, prompt: str, max_tokens: int, *, stream: bool) -> bytes:
    """A Get Data request that leaves the connection open."""
    body = json.dumps({"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "stream": stream}).encode()
    head = (
        "POST /Get%20Data HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Ocp-Apim-Subscription-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


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


def read(raw: bytes) -> Reading:
    """Take a whole answer apart, and believe nothing.

    Raises:
        UnexpectedAnswerError: it is no success, or cut short.
    """
    head, _, body = raw.partition(_HEAD_END)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise UnexpectedAnswerError(raw[:2000].decode(errors="replace"))
    if _CONTENT_LENGTH.search(head):
        found = json.loads(body)
        return _reading(found["generated_text"], found)
    events = _events(_unchunked(body))
    if len(events) < 2 or events[-1] != "[DONE]":
        raise UnexpectedAnswerError(f"a stream without its end: {events[-2:]}")
    *pieces, last = (json.loads(event) for event in events[:-1])
    return _reading("".join(piece["generated_text"] for piece in pieces), last)


def _reading(text: str, last: dict[str, object]) -> Reading:
    usage = last["usage"]
    assert isinstance(usage, dict)
    return Reading(text, int(usage["prompt_tokens"]), int(usage["completion_tokens"]), str(last["finish_reason"]))


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
