"""The spellings of the two Get Data paths, folded into one before routing, and a spelling that no path has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import request
from werkzeug.exceptions import NotFound

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


def refuse_doubled_slash() -> None:
    """Before a request is served: `//management` is not `/management`, which a proxy in front may keep to itself.

    Werkzeug's routing drops all but one of the slashes that a path begins with.
    """
    if request.environ["PATH_INFO"].startswith("//"):
        raise NotFound
