"""What the worker relies on inside gunicorn. Whoever updates gunicorn learns here what to look at."""

from __future__ import annotations

import inspect
import random
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import errors, wsgi
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader, Unreader
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, PollableMethodQueue, ThreadWorker

from deploy.worker import GatewayWorker, refusal
from deploy.worker.request import Chunked, read_head

PEER = ("127.0.0.1", 1)
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CONFIG = Config()
COUNTED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"


def parameters(method: Any) -> list[str]:
    return [name for name in inspect.signature(method).parameters if name != "self"]


def test_the_methods_that_are_overridden_are_still_called_so() -> None:
    assert parameters(ThreadWorker.accept) == ["listener"]
    assert parameters(ThreadWorker.handle_exit) == ["sig", "frame"]
    assert parameters(ThreadWorker.check_config) == ["cfg", "log"]
    assert parameters(ThreadWorker.init_signals) == []
    assert parameters(ThreadWorker.run) == []
    assert parameters(Request.parse) == ["unreader"]
    assert parameters(Request.parse_request_line) == ["line_bytes"]
    assert parameters(Request.set_body_reader) == []
    assert parameters(Unreader.chunk) == ["size_hint"]


def test_the_methods_that_are_used_are_still_there() -> None:
    assert parameters(ThreadWorker.set_accept_enabled) == ["enabled"]
    assert parameters(ThreadWorker.wait_for_and_dispatch_events) == ["timeout"]
    assert parameters(PollableMethodQueue.defer) == ["callback", "args"]
    assert parameters(PollableMethodQueue.run_callbacks)[0] == "_fileobj"
    assert parameters(wsgi.create)[:5] == ["req", "sock", "client", "server", "cfg"]
    assert parameters(Unreader.take_buffered) == []
    assert STOP_KEEPALIVE_LINGER == 2.0
    run = inspect.getsource(ThreadWorker.run)
    for step in ("self.notify()", "self.is_parent_alive()", "self.tpool.shutdown(wait=False)"):
        assert step in run  # GatewayWorker.run has the same steps: compare them when this fails


def test_the_parser_in_python_is_the_one_in_use() -> None:
    found = read_head(CONFIG, bytearray(COUNTED), PEER, 1)
    assert found is not None
    request, rest = found
    assert request._use_fast is False  # noqa: SLF001
    assert request._expected_100_continue is False  # noqa: SLF001
    assert isinstance(request.body.reader, LengthReader)
    assert request.body.reader.length == 3
    assert rest == b""


def test_every_parse_error_of_gunicorns_has_an_answer_that_quotes_nothing() -> None:
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, Exception)]
    assert len(kinds) > 15
    for kind in kinds:
        fault: Any = kind.__new__(kind)
        if kind is errors.InvalidHTTPVersion:
            fault.version = (2, 0)
        answer = refusal.answer_to(fault)
        assert answer.status >= 400
        assert answer.message.endswith(".")


def test_settings_that_the_main_loop_cannot_read_for_stop_the_start() -> None:
    config = Config()
    config.set("certfile", "some.pem")
    with pytest.raises(RuntimeError, match="certfile"):
        GatewayWorker.check_config(config, None)


def _ours(data: bytes) -> tuple[bytes, bytes] | str | None:
    """What the main loop makes of a chunked body that comes byte by byte: content and rest, or a fault."""
    found = read_head(CONFIG, bytearray(CHUNKED), PEER, 1)
    assert found is not None
    framing, buffer = Chunked(1000), bytearray()
    try:
        for n in range(len(data)):
            buffer += data[n : n + 1]
            if (end := framing.end(buffer)) is not None:
                return framing.content(found[0], bytes(buffer[:end])), data[end:]
    except (errors.ParseException, refusal.Refusal) as fault:
        return type(fault).__name__
    return None


def _gunicorns(data: bytes) -> tuple[bytes, bytes] | str:
    found = read_head(CONFIG, bytearray(CHUNKED), PEER, 1)
    assert found is not None
    unreader = IterUnreader([data])
    try:
        return Body(ChunkedReader(found[0], unreader)).read(), unreader.take_buffered()
    except (errors.ParseException, errors.NoMoreData) as fault:
        return type(fault).__name__


def test_the_end_of_a_chunked_body_is_where_gunicorn_sees_it() -> None:
    words = [b"0", b"1", b"2", b"a", b"\r\n", b"\r", b"\n", b";", b"x=y", b" ", b"xx", b"A: b", b"00", b"-"]
    words += [b"\r\n\r\n", b"0\r\n\r\n", b"1\r\nx\r\n"]
    source = random.Random(1)  # noqa: S311 - the same bodies each time
    agreed = 0
    for _ in range(1500):
        data = b"".join(source.choices(words, k=source.randint(1, 8)))
        theirs, ours = _gunicorns(data), _ours(data)
        assert ours == theirs or (isinstance(theirs, str) and not isinstance(ours, tuple)), data
        agreed += isinstance(ours, tuple)
    assert agreed > 50
