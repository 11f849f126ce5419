"""The spellings of the two Get Data paths, folded into one before routing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

GET_DATA = "/get-data"
SYSTEM_PROMPT_GET_DATA = "/system-prompt-get-data"

_SPELLING = re.compile(r"/(?:(system prompt )?get data|(system-prompt-)?get-data)/?", re.IGNORECASE)


class FoldPaths:
    """WSGI middleware: `/Get Data`, `/GET DATA/` and `/get-data` reach one route, likewise with a system prompt."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request."""
        found = _SPELLING.fullmatch(environ.get("PATH_INFO", ""))
        if found:
            environ["PATH_INFO"] = SYSTEM_PROMPT_GET_DATA if found[1] or found[2] else GET_DATA
        return self._application(environ, start_response)
