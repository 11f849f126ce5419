"""How the gateway's processes log: structlog, one JSON object a line where standard error is no terminal.

Records of the standard library's logging (gunicorn, vLLM, Alembic) go the same way. What looks like a key with
its name is taken out of every line, as a last line of defence: nothing is meant to log one.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

# Libraries that tell at INFO what only their own authors want to know.
_TALKATIVE = ("alembic", "vllm", "transformers", "httpx")

# These tell of what callers sent and of what the model wrote, and may quote it. The caller is told by the gateway.
_INDISCREET = (
    "vllm.entrypoints",
    "vllm.parser",
    "vllm.reasoning",
    "vllm.renderers",
    "vllm.tool_parsers",
    "vllm.v1.structured_output",
)

_NAMED_KEY = re.compile(
    r"(?i)((?:subscription-key|api-key|authorization)['\"]?\s*[=:,]\s*['\"]?(?:bearer\s+)?)[^\s'\"&,;]+",
)


def configure_logging(level: int = logging.INFO) -> None:
    """Set up logging in this process. A child that is forked from it logs the same way."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.PositionalArgumentsFormatter()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(terminal=sys.stderr.isatty()),
            ],
        ),
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _INDISCREET:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _renderers(*, terminal: bool) -> list[Processor]:
    # A traceback is text like any other when it is searched for keys: so it is made before.
    render: Processor = structlog.processors.JSONRenderer()
    if terminal:
        render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return [structlog.processors.format_exc_info, _redact, render]


def _redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _NAMED_KEY.sub(r"\1[redacted]", value)
    return event
