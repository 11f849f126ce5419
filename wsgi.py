"""From the environment to a WSGI app: settings, services, Flask. Importing it starts nothing and loads no engine.

gunicorn -c deploy/gunicorn.conf.py wsgi:app
flask subscriptions list
"""

from __future__ import annotations

import os
import sys

from app import create_app
from app.services import Services
from gateway.settings import SettingsError, load_settings
from gateway.telemetry import configure_logging
from gateway.wiring import build_gateway, connect_key_store

try:
    settings = load_settings()
except SettingsError as error:
    sys.stderr.write("\n".join(error.faults) + "\n")
    sys.exit(os.EX_CONFIG)

configure_logging()
key_store = connect_key_store(settings)
app = create_app(
    Services(build_gateway(settings), key_store.subscriptions, key_store.products),
    max_body_bytes=settings.max_body_bytes,
)
