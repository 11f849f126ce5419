"""The application, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask
from flask_cors import CORS

from app import cli, errors, safe_headers, telemetry
from app.contract import DEBUG_HEADERS, REPLAYED_HEADER, TRACE_HEADER
from app.limits import LIMIT_HEADERS
from app.paths import FoldPaths, refuse_doubled_slash
from app.routes import register_routes
from app.services import EXTENSION

if TYPE_CHECKING:
    from app.services import Services

_EXPOSED_HEADERS = [
    TRACE_HEADER,
    REPLAYED_HEADER,
    "ETag",
    "Retry-After",
    "WWW-Authenticate",
    *LIMIT_HEADERS,
    *DEBUG_HEADERS,
]
_PREFLIGHT_SECONDS = 600


def create_app(
    services: Services, *, max_body_bytes: int, admin_token: str | None = None, model: str | None = None
) -> Flask:
    """The gateway as a WSGI application.

    Args:
        services: what the views call.
        max_body_bytes: largest request body; a larger one is answered with 413.
        admin_token: what management asks for; without one there is no management.
        model: what is served, a folder or a Hugging Face id, for the portal to show its card.
    """
    app = Flask("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the order of the contract's examples
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # it would answer `//` with a redirect, in HTML
    app.extensions[EXTENSION] = services
    telemetry.install(app)
    errors.install(app)
    safe_headers.install(app)
    app.before_request(refuse_doubled_slash)
    register_routes(app, admin_token, model)
    cli.register_commands(app)
    # A page in a browser may call the API with its key header; no cookie is involved, so any origin will do.
    CORS(app, send_wildcard=True, expose_headers=_EXPOSED_HEADERS, max_age=_PREFLIGHT_SECONDS)
    app.wsgi_app = FoldPaths(app.wsgi_app)  # type: ignore[method-assign]
    return app
