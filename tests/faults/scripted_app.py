"""The gateway over a scripted engine, for gunicorn: what `tests.faults.scripted` starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from app.factory import create_app
from gateway.engines.scripted import ScriptedEngine
from gateway.keys import KeyHasher
from gateway.store import open_store
from gateway.subscriptions import Subscriptions
from tests.gateways import PEPPER, make_gateway, make_services

if TYPE_CHECKING:
    from flask import Flask

MAX_BODY_BYTES = 65_536
CONTEXT_LENGTH = 4096


def make() -> Flask:
    """The app over the folder, with the key and the admin token, that the environment has."""
    folder, key, token = (os.environ[f"TEST_SCRIPTED_{name}"] for name in ("FOLDER", "KEY", "TOKEN"))
    store = open_store(f"sqlite:///{Path(folder) / 'gateway.sqlite3'}")
    subscriptions = Subscriptions(store, KeyHasher(PEPPER))
    subscriptions.ensure_dev(key)
    gateway = make_gateway(ScriptedEngine(context_length=CONTEXT_LENGTH), store)
    services = make_services(gateway, subscriptions, store)
    return create_app(services, max_body_bytes=MAX_BODY_BYTES, admin_token=token)
