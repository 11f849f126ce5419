"""`/management/engine`: how the engine is doing, for people who look at it now. `GET /metrics` is for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, jsonify

from app.openapi.operation import describe
from app.openapi.operations import management
from app.services import services
from gateway.engine import RATE_SECONDS
from gateway.errors import UnavailableError

if TYPE_CHECKING:
    from flask import Response

    from gateway.engine import Activity, Engine

blueprint = Blueprint("engine", __name__, url_prefix="/engine")

# An engine answers between two steps. One that hangs is to hold up nobody who looks.
_ENGINE_SECONDS = 1.0


@blueprint.get("", endpoint="get engine")
@describe(management.GET_ENGINE)
def get() -> Response:
    """What it is doing, for all workers; what nobody knows while it is away is null."""
    engine = services().gateway.engine
    activity = _activity(engine)
    status = engine.status()  # asked last: one that has just died is known to be away by now
    return jsonify(
        ready=status.ready,
        state=status.phase,
        step=status.step,
        steps=status.steps,
        models=[model.name for model in engine.models()],
        requestsInProgress=services().exposition.requests_running(),
        requestsRunning=activity and activity.running,
        requestsWaiting=activity and activity.waiting,
        kvCacheUsage=None if activity is None or activity.kv_cache is None else round(activity.kv_cache, 4),
        tokensPerSecond=activity and round(activity.speed, 1),
        windowSeconds=RATE_SECONDS,
    )


def _activity(engine: Engine) -> Activity | None:
    try:
        return engine.activity(_ENGINE_SECONDS)
    except UnavailableError:
        return None
