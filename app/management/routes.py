"""The routes below `/management`, behind the admin token."""

from __future__ import annotations

import hmac
from hashlib import sha256

from flask import Blueprint, request

from app.auth import bearer
from app.body import raw_body
from app.management import engine, products, subscriptions, traces, usage
from gateway.errors import AdminTokenError


def make_blueprint(admin_token: str) -> Blueprint:
    """The routes below `/management`, all of them behind the admin token.

    Args:
        admin_token: what callers must send as `Authorization: Bearer`. It stays in here.
    """
    blueprint = Blueprint("management", __name__, url_prefix="/management")
    # Digests have one length, so that comparing them takes the same time whatever was sent.
    expected = sha256(admin_token.encode()).digest()

    def check_token() -> None:
        if request.method == "OPTIONS":  # a browser's preflight, which cannot carry a token
            return
        given = sha256((bearer() or "").encode()).digest()
        if not hmac.compare_digest(given, expected):
            raise AdminTokenError
        if request.method not in {"GET", "HEAD"}:
            raw_body()  # what did not arrive whole changes nothing, also where nothing of it would be looked at

    blueprint.before_request(check_token)
    blueprint.register_blueprint(subscriptions.blueprint)
    blueprint.register_blueprint(products.blueprint)
    blueprint.register_blueprint(usage.blueprint)
    blueprint.register_blueprint(engine.blueprint)
    blueprint.register_blueprint(traces.blueprint)
    return blueprint
