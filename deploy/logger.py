"""gunicorn's own log records, through the gateway's logging."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger


class GatewayLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Hands gunicorn's records on to the root logger instead of writing them in a form of its own."""

    def setup(self, cfg: Any) -> None:
        """Take gunicorn's level, and none of its handlers."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
