"""Every route of the gateway, and their description."""

from __future__ import annotations

import functools
import secrets

import orjson
from flask import Flask

from app import getdata, me, openai, ops
from app.management.routes import make_blueprint as management
from app.openapi import view
from app.openapi.document import document
from app.portal.routes import make_blueprint as portal
from app.portal.texts import read_texts


def register_routes(app: Flask, admin_token: str | None, model: str | None = None) -> None:
    """Adds the routes to an app.

    Args:
        app: what gets them.
        admin_token: what management asks for; without one there is neither it nor the operator's page.
        model: what is served, a folder or a Hugging Face id, for the portal to show its card.
    """
    for blueprint in (getdata.blueprint, openai.blueprint, ops.blueprint, me.blueprint):
        app.register_blueprint(blueprint)
    app.register_blueprint(view.make_blueprint(description))
    app.register_blueprint(portal(description, functools.partial(read_texts, model), admin=admin_token is not None))
    if admin_token is not None:
        app.register_blueprint(management(admin_token))


@functools.cache
def description() -> bytes:
    """The OpenAPI document as JSON, of all routes: those of management are in it whether they are on or off.

    Made when it is first asked for, and once.
    """
    every = Flask("every route", static_folder=None)
    register_routes(every, secrets.token_hex())
    return orjson.dumps(document(every))
