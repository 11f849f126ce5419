"""The trace id and the error body, without a server."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from app.contract import error_body, new_trace_id, trace_id_from

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_new_trace_id_is_32_hex_digits_and_another_each_time() -> None:
    made = {new_trace_id() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"[0-9a-f]{32}", trace_id) for trace_id in made)


def test_a_trace_id_is_taken_from_a_valid_traceparent_only() -> None:
    assert trace_id_from(f"00-{TRACE}-00f067aa0ba902b7-01") == TRACE
    for other in (None, "", TRACE, f"00-{TRACE}-00f067aa0ba902b7-01\n00", f"00-{TRACE}-{'0' * 16}-01"):
        assert re.fullmatch(r"[0-9a-f]{32}", trace_id_from(other))
        assert trace_id_from(other) != TRACE


def test_an_error_body_has_three_fields_and_is_ascii() -> None:
    body = error_body(400, 'No "ü",\nno \ud800.', TRACE)
    assert body.isascii()
    assert b"\n" not in body  # it is the data of an event as well
    assert list(json.loads(body).items()) == [("code", 400), ("message", 'No "ü",\nno \ud800.'), ("traceId", TRACE)]


def test_it_needs_neither_flask_nor_gunicorn() -> None:
    program = "import sys; sys.modules['flask'] = sys.modules['gunicorn'] = None; exec(open(sys.argv[1]).read())"
    source = sys.modules["app.contract"].__file__
    subprocess.run([sys.executable, "-c", program, str(source)], check=True)
