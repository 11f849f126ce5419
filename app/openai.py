"""OpenAI's API (https://platform.openai.com/docs/api-reference), for its clients, NVIDIA's and Azure's, unmodified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from flask import Blueprint, jsonify, request

from app import streaming
from app.auth import require_caller
from app.body import json_object
from app.calls import call
from app.openapi.operation import describe
from app.openapi.operations import generating
from app.services import services
from app.telemetry import entry
from gateway.engine import OpenAIRequest
from gateway.errors import InvalidRequestError

if TYPE_CHECKING:
    from flask import Response

    from gateway.admission import Admission
    from gateway.engine import Model

blueprint = Blueprint("openai", __name__)

_AZURE = "/openai/deployments/<path:deployment>"


@blueprint.post("/v1/chat/completions", endpoint="chat completions")
@describe(generating.CHAT)
def chat_completions() -> Response:
    """Answer a conversation."""
    return _complete("chat.completions")


@blueprint.post("/v1/completions", endpoint="completions")
@describe(generating.COMPLETION)
def completions() -> Response:
    """Go on with a text."""
    return _complete("completions")


@blueprint.post(f"{_AZURE}/chat/completions", endpoint="azure chat completions")
@describe(generating.AZURE_CHAT)
def azure_chat_completions(deployment: str) -> Response:
    """Answer a conversation; Azure's clients name the model in the path, and any `api-version` will do."""
    return _complete("chat.completions", deployment)


@blueprint.post(f"{_AZURE}/completions", endpoint="azure completions")
@describe(generating.AZURE_COMPLETION)
def azure_completions(deployment: str) -> Response:
    """Go on with a text, as Azure's clients ask for it."""
    return _complete("completions", deployment)


@blueprint.get("/v1/models", endpoint="models")
@describe(generating.MODELS)
def models() -> Response:
    """What may be named as `model`."""
    require_caller()
    return jsonify(object="list", data=[_shown(model) for model in services().gateway.models()])


@blueprint.get("/v1/models/<path:id>", endpoint="model")
@describe(generating.MODEL)
def model(id: str) -> Response:  # noqa: A002 - the contract's name for it
    """One of them."""
    require_caller()
    return jsonify(_shown(services().gateway.model(id)))


def _complete(operation: Literal["chat.completions", "completions"], deployment: str | None = None) -> Response:
    def make(admission: Admission) -> Response:
        with admission.trail.step("body"):
            body = json_object()
            if deployment is not None:
                body["model"] = deployment
            _check(body)
            if admission.trail.on:
                admission.trail.note(bytes=request.content_length)
        wanted = OpenAIRequest(operation, body, entry().trace_id)
        answer = services().gateway.complete(admission, wanted)
        return streaming.respond(answer, streaming.OPENAI, stream=wanted.stream)

    return call(make, deployment or "")


def _check(body: dict[str, Any]) -> None:
    """The two fields that are read before vLLM checks them all."""
    if not isinstance(body.get("model"), str | None):
        raise InvalidRequestError("Field `model` should be a string.", param="model")
    if not isinstance(body.get("stream"), bool | None):
        raise InvalidRequestError("Field `stream` should be true or false.", param="stream")


def _shown(found: Model) -> dict[str, object]:
    return {
        "id": found.name,
        "object": "model",
        "created": found.created,
        "owned_by": "get-data",
        "root": found.root,
        "parent": None,
        "max_model_len": found.context_length,
    }
