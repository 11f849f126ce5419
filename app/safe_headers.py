"""The headers that keep an answer from being taken for something else, or kept by somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.contract import SAFE_HEADERS

if TYPE_CHECKING:
    from flask import Flask, Response


def install(app: Flask) -> None:
    """Put them on every answer of the app; a view that has set one has its own."""
    app.after_request(_add)


def _add(response: Response) -> Response:
    headers = response.headers
    for name, value in SAFE_HEADERS.items():
        if name not in headers:
            headers.add(name, value)
    return response
