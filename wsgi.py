"""From the environment to a WSGI app: settings, services, Flask. Importing it starts nothing and loads no engine.

gunicorn -c deploy/gunicorn.conf.py wsgi:app
flask subscriptions list
"""

from __future__ import annotations

from app.factory import create_app
from app.services import Services
from gateway.exposition import Exposition
from gateway.metrics import Metrics, count_in
from gateway.processes import METRICS_FOLDER
from gateway.settings import load_settings
from gateway.startup import faults_end_the_process
from gateway.telemetry import configure_logging
from gateway.wiring import build_gateway, build_key_store, build_spans

configure_logging()
with faults_end_the_process():
    settings = load_settings()
    key_store = build_key_store(settings)
    spans = build_spans(settings)

folder = settings.runtime_dir / METRICS_FOLDER if settings.runtime_dir else None
if folder is not None:  # one of gunicorn's workers
    count_in(folder)
gateway, metrics = build_gateway(settings, key_store), Metrics()

app = create_app(
    Services(
        gateway,
        key_store.subscriptions,
        key_store.products,
        key_store.usage,
        metrics,
        Exposition(metrics, gateway.engine, folder),
        key_store.traces,
        spans,
    ),
    max_body_bytes=settings.max_body_bytes,
    admin_token=settings.admin_token,
    model=settings.model,
)
