"""From the environment to a WSGI app: settings, services, Flask. Importing it starts nothing and loads no engine.

gunicorn -c deploy/gunicorn.conf.py wsgi:app
flask subscriptions list
"""

from __future__ import annotations

from app import create_app
from app.services import Services
from gateway.settings import load_settings
from gateway.telemetry import configure_logging
from gateway.wiring import build_gateway, build_key_store, faults_end_the_process

configure_logging()
with faults_end_the_process():
    settings = load_settings()
    key_store = build_key_store(settings)

app = create_app(
    Services(build_gateway(settings, key_store), key_store.subscriptions, key_store.products, key_store.usage),
    max_body_bytes=settings.max_body_bytes,
    admin_token=settings.admin_token,
)
