"""What machines ask: is the process alive, would a prompt be answered, what has been counted?"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify, request

from app.openapi.operation import describe
from app.openapi.operations import own
from app.services import services
from app.telemetry import entry
from gateway.exposition import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable

blueprint = Blueprint("ops", __name__)


@blueprint.get("/health/live")
@describe(own.LIVE)
def live() -> Response:
    """200 as long as the process answers, from before the model is loaded."""
    return jsonify(status="live")


@blueprint.get("/health/ready")
@describe(own.READY)
def ready() -> Response:
    """200 when a prompt would be answered; before that 503 and how far loading is."""
    status = services().gateway.engine.status()
    progress = {"phase": status.phase, "step": status.step, "steps": status.steps}
    if status.ready:
        return jsonify(status="ready", **progress)
    message = f"The model is not ready: {status.phase}, step {status.step} of {status.steps}, {status.elapsed:.0f} s."
    response = jsonify(
        code=HTTPStatus.SERVICE_UNAVAILABLE,
        message=message,
        traceId=entry().trace_id,
        elapsedSeconds=round(status.elapsed, 1),
        **progress,
    )
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    response.headers["Retry-After"] = str(status.retry_after)
    return response


@blueprint.get("/metrics")
@describe(own.METRICS)
def metrics() -> Response:
    """For Prometheus, without a key: nothing in it tells of a caller. It waits for what is still to be counted."""
    catch_up: Callable[[], None] | None = request.environ.get("gateway.catch_up")  # `deploy.worker` has it
    if catch_up is not None:
        catch_up()
    return Response(services().exposition.text(), content_type=CONTENT_TYPE)
