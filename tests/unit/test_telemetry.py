"""The log: one JSON object a line, under the trace id, with no key in it."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from gateway.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "0123456789abcdef" * 2
NAMED = [
    f"Ocp-Apim-Subscription-Key: {KEY}",
    f"ocp-apim-subscription-key={KEY}",
    f"GET /get-data?subscription-key={KEY}&a=b HTTP/1.1",
    f"{{'Ocp-Apim-Subscription-Key': '{KEY}'}}",
    f'{{"api-key": "{KEY}"}}',
    f"[('Ocp-Apim-Subscription-Key', '{KEY}')]",
    f"Authorization: Bearer {KEY}",
    f"authorization=bearer {KEY}",
    f"API-KEY :  {KEY}",
]


class Terminal(io.StringIO):
    """Standard error where somebody looks at it."""

    def isatty(self) -> bool:
        """Always."""
        return True


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[io.StringIO], io.StringIO]]:
    """Sets logging up over a stream, as `configure_logging` finds standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def configure(stream: io.StringIO) -> io.StringIO:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            configure_logging()
        return stream

    yield configure
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def output(configure: Callable[[io.StringIO], io.StringIO]) -> io.StringIO:
    return configure(io.StringIO())


@pytest.fixture
def terminal(configure: Callable[[io.StringIO], io.StringIO]) -> io.StringIO:
    return configure(Terminal())


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def log_failure(text: str) -> None:
    def fail() -> None:
        raise ValueError(text)

    try:
        fail()
    except ValueError:
        logging.getLogger("theirs").exception("failed")


def test_every_line_is_one_json_object(output: io.StringIO) -> None:
    structlog.get_logger("ours").info("two\nlines", number=1, thing=object(), text="é\ud800")
    logging.getLogger("theirs").warning("with %s", "arguments")
    ours, theirs = lines(output)
    assert (ours["event"], ours["level"], ours["logger"], ours["number"]) == ("two\nlines", "info", "ours", 1)
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("with arguments", "warning", "theirs")
    assert ours["timestamp"].endswith("Z")


def test_every_line_of_a_request_has_its_trace_id(output: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(trace_id="4bf9"):
        structlog.get_logger("ours").info("a")
        logging.getLogger("theirs").warning("b")
    logging.getLogger("theirs").warning("c")
    assert [line.get("trace_id") for line in lines(output)] == ["4bf9", "4bf9", None]


def test_debug_and_talkative_libraries_are_left_out(output: io.StringIO) -> None:
    structlog.get_logger("ours").debug("a")
    logging.getLogger("alembic.runtime").info("b")
    logging.getLogger("vllm").info("c")
    logging.getLogger("vllm").warning("d")
    assert [line["event"] for line in lines(output)] == ["d"]


def test_a_traceback_is_one_field_of_its_line(output: io.StringIO) -> None:
    log_failure("x")
    (line,) = lines(output)
    assert line["exception"].startswith("Traceback")


@pytest.mark.parametrize("text", NAMED)
def test_a_key_with_its_name_is_taken_out_wherever_it_stands(output: io.StringIO, text: str) -> None:
    structlog.get_logger("ours").info(text, detail=text)
    logging.getLogger("theirs").warning("%s", text)
    log_failure(text)
    assert KEY not in output.getvalue()
    assert output.getvalue().count("[redacted]") == 4


@pytest.mark.parametrize("text", NAMED)
def test_a_key_is_taken_out_on_a_terminal_too(terminal: io.StringIO, text: str) -> None:
    structlog.get_logger("ours").info(text, detail=text)
    log_failure(text)
    assert KEY not in terminal.getvalue()
    assert terminal.getvalue().count("[redacted]") == 3
    assert "Traceback" in terminal.getvalue()


def test_what_stands_beside_a_key_stays(output: io.StringIO) -> None:
    structlog.get_logger("ours").info(f"GET /x?subscription-key={KEY}&model=a", subscription="dev", key="primary")
    (line,) = lines(output)
    assert line["event"] == "GET /x?subscription-key=[redacted]&model=a"
    assert (line["subscription"], line["key"]) == ("dev", "primary")


def test_setting_up_twice_writes_once(configure: Callable[[io.StringIO], io.StringIO]) -> None:
    configure(io.StringIO())
    output = configure(io.StringIO())
    logging.getLogger("theirs").warning("once")
    assert len(lines(output)) == 1
