"""From the environment to a WSGI app: settings, services, Flask. Importing it starts nothing and loads no engine.

gunicorn -c deploy/gunicorn.conf.py wsgi:app
flask subscriptions list
"""

from __future__ import annotations

import os
import sys

from app import create_app
from app.services import Services
from gateway.errors import UnavailableError
from gateway.settings import SettingsError, load_settings
from gateway.telemetry import configure_logging
from gateway.wiring import build_gateway, build_key_store

configure_logging()
try:
    settings = load_settings()
    key_store = build_key_store(settings)
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(os.EX_CONFIG)
except UnavailableError as error:
    sys.stderr.write(f"GATEWAY_DATABASE_URL: {error.message} ({error.detail})\n")
    sys.exit(os.EX_UNAVAILABLE)

app = create_app(
    Services(build_gateway(settings), key_store.subscriptions, key_store.products),
    max_body_bytes=settings.max_body_bytes,
)
