"""Reading requests out of memory: gunicorn's own parser, fed with bytes that have arrived already.

The worker collects bytes without blocking and asks here what they amount to. What a request means is decided
by gunicorn's parser alone; nothing here is a second opinion that could differ from it.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.errors import (
    ChunkMissingTerminator,
    InvalidChunkSize,
    InvalidHeader,
    InvalidRequestLine,
    LimitRequestHeaders,
    NoMoreData,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader

from deploy.worker.refusal import BodyCutShort, BodyTooLarge

_READ_SIZE = 8192

# The two paths of the contract that have a space in them, sent raw (Java's HttpURLConnection).
_RAW_SPACE = re.compile(
    rb"(?P<method>[^ ]+) (?P<path>/(?:system prompt )?get data/?)(?P<query>(?:\?[^ ]*)?) (?P<version>[^ ]+)",
    re.IGNORECASE,
)

# RFC 9110, section 7.2: uri-host [":" port], of RFC 3986, section 3.2.2. It may be empty.
_HOST = re.compile(r"(?:\[[0-9A-Za-z:._~!$&'()*+,;=-]+\]|[0-9A-Za-z._~!$&'()*+;=%-]*)(?::[0-9]*)?")

_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;.*)?", re.DOTALL)
_CHUNK_SIZE_LINE_LIMIT = 8190
_TRAILERS_LIMIT = 65536
_FRAMING_LIMIT = 65536


class BufferUnreader(Unreader):  # type: ignore[misc]
    """Where gunicorn's parser reads from. The end of the bytes looks to it like the end of the connection."""

    def __init__(self, data: bytes | bytearray) -> None:
        super().__init__()
        self._data = memoryview(bytes(data))

    def chunk(self, size_hint: int | None = None) -> bytes:  # noqa: ARG002 - gunicorn's signature
        """The next piece, as small as from a socket.

        Given all at once, gunicorn would miss that a head is too large, and its chunk reader would copy
        everything once for each chunk.
        """
        piece, self._data = self._data[:_READ_SIZE], self._data[_READ_SIZE:]
        return bytes(piece)

    def rest(self) -> bytes:
        """All that the parser left over."""
        held: bytes = self.take_buffered()
        return held + bytes(self._data)


class GatewayRequest(Request):  # type: ignore[misc]
    """gunicorn's request, with the contract's raw-space paths let in and a few gaps closed."""

    path: str  # gunicorn's own

    def parse(self, unreader: Unreader) -> bytes:
        """Always the parser in Python: the one in C would not call `parse_request_line`."""
        self._use_fast = False
        unused: bytes = super().parse(unreader)
        return unused

    def parse_request_line(self, line_bytes: bytes) -> None:
        """Read `POST /Get Data HTTP/1.1` as if its space were encoded; every other line as it is."""
        found = _RAW_SPACE.fullmatch(line_bytes)
        if found:
            target = found["path"].replace(b" ", b"%20") + found["query"]
            line_bytes = b" ".join([found["method"], target, found["version"]])
        super().parse_request_line(line_bytes)
        if "#" in self.uri:  # RFC 9112, section 3.2: a target has no fragment
            raise InvalidRequestLine("")
        self.path = self.path or "/"  # of an absolute target: RFC 9110, section 4.2.3

    def set_body_reader(self) -> None:
        """Refuse what gunicorn takes: a missing or broken Host, and transfer codings that nobody would decode.

        The head is read by now, so every refusal from here on carries the request, and with it the trace id.
        """
        try:
            host = self.header("HOST")
            if self.version >= (1, 1) if host is None else _HOST.fullmatch(host) is None:
                raise InvalidHeader("HOST")  # RFC 9112, section 3.2
            super().set_body_reader()
            codings = (self.header("TRANSFER-ENCODING") or "chunked").lower().split(",")
            if any(coding.strip(" \t") not in {"chunked", "identity"} for coding in codings):
                raise UnsupportedTransferCoding("")  # RFC 9112, section 6.1
        except ParseException as fault:
            fault.req = self
            raise

    def header(self, name: str) -> str | None:
        """A header by its name in capitals; all of them joined where there are several."""
        values = [value for key, value in self.headers if key == name]
        return ",".join(values) if values else None


def read_head(cfg: Any, buffer: bytearray, client: Any, number: int) -> tuple[GatewayRequest, bytes] | None:
    """The request whose head starts the buffer and the bytes behind that head; None where more must come.

    Raises:
        ParseException: one of gunicorn's, if no further bytes can make this a request.
    """
    unreader = BufferUnreader(buffer)
    try:
        return GatewayRequest(cfg, unreader, client, number), unreader.rest()
    except (NoMoreData, StopIteration):
        return None


class Framing(Protocol):
    """Knows where the body of one request ends."""

    def end(self, buffer: bytearray) -> int | None:
        """How many bytes of the buffer are the body; None where more must come."""

    def content(self, request: GatewayRequest, raw: bytes) -> bytes:
        """The body as the application gets it, out of the bytes that were sent."""


class Counted:
    """A body of a declared length, none included."""

    def __init__(self, length: int) -> None:
        self._length = length

    def end(self, buffer: bytearray) -> int | None:
        """See Framing."""
        return self._length if len(buffer) >= self._length else None

    def content(self, request: GatewayRequest, raw: bytes) -> bytes:  # noqa: ARG002
        """See Framing."""
        return raw


class Unread:
    """A body that is declared too large: the application is asked before it is read.

    Whoever has no valid key is to learn nothing about the body, its size included (contract, section 4), so the
    application answers, which finds out when it wants to read.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def end(self, buffer: bytearray) -> int | None:  # noqa: ARG002
        """See Framing."""
        return 0

    def content(self, request: GatewayRequest, raw: bytes) -> bytes:  # noqa: ARG002
        """See Framing."""
        raise BodyTooLarge(self._limit)


class Chunked:
    """A chunked body. `end` steps from size line to size line as bytes come; gunicorn's reader decodes after.

    The two read the same rules. Should they ever disagree, the body is refused and the connection closed.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit  # of the decoded body
        self._framing_limit = limit // 8 + _FRAMING_LIMIT  # of what is sent around it
        self._decoded = 0
        self._next = 0  # where the next size line starts; once the last was seen, its CRLF
        self._in_trailers = False

    def end(self, buffer: bytearray) -> int | None:
        """See Framing."""
        while not self._in_trailers:
            behind_data = bytes(buffer[max(0, self._next - 2) : self._next])
            if not b"\r\n".startswith(behind_data):  # told at once, not once the read deadline has passed
                raise ChunkMissingTerminator(b"")
            line_end = buffer.find(b"\r\n", self._next)
            if line_end < 0:
                if len(buffer) - self._next > _CHUNK_SIZE_LINE_LIMIT:
                    raise InvalidChunkSize(b"")
                return None
            self._step(bytes(buffer[self._next : line_end]), line_end)
        trailers_end = buffer.find(b"\r\n\r\n", self._next)
        if trailers_end < 0:
            if len(buffer) - self._next > _TRAILERS_LIMIT:
                raise LimitRequestHeaders("")
            return None
        return trailers_end + 4

    def _step(self, line: bytes, line_end: int) -> None:
        """Go on from one size line to where the next must be."""
        found = _CHUNK_SIZE.fullmatch(line)
        if not found:
            raise InvalidChunkSize(b"")
        size = int(found[1], 16)
        self._in_trailers = size == 0
        self._next = line_end if size == 0 else line_end + 2 + size + 2
        self._decoded += size
        # Each chunk costs time, however little is in it: a megabyte of them one by one, a second and more.
        if self._decoded > self._limit or self._next - self._decoded > self._framing_limit:
            raise BodyTooLarge(self._limit)

    def content(self, request: GatewayRequest, raw: bytes) -> bytes:
        """See Framing."""
        unreader = BufferUnreader(raw)
        try:
            body: bytes = Body(ChunkedReader(request, unreader)).read()
        except NoMoreData:
            raise BodyCutShort from None
        if unreader.rest():
            raise InvalidChunkSize(b"")
        return body


def framing_of(request: GatewayRequest, limit: int) -> Framing:
    """How the request's body ends, as gunicorn's parser decided."""
    reader = request.body.reader
    if isinstance(reader, ChunkedReader):
        return Chunked(limit)
    if reader.length > limit:
        return Unread(limit)
    return Counted(reader.length)
