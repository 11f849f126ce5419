"""The two Get Data operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, request

from app import schemas, streaming
from app.body import json_object
from app.calls import call
from app.openapi.operation import describe
from app.openapi.operations import generating
from app.paths import GET_DATA, SYSTEM_PROMPT_GET_DATA
from app.services import services

if TYPE_CHECKING:
    from flask import Response
    from marshmallow import Schema

    from gateway.admission import Admission

blueprint = Blueprint("getdata", __name__)

_GET_DATA_SCHEMA = schemas.GetDataSchema()
_SYSTEM_PROMPT_SCHEMA = schemas.SystemPromptGetDataSchema()


@blueprint.post(GET_DATA, endpoint="Get Data")
@describe(generating.GET_DATA)
def get_data() -> Response:
    """Answer a prompt."""
    return _generate(_GET_DATA_SCHEMA)


@blueprint.post(SYSTEM_PROMPT_GET_DATA, endpoint="System Prompt Get Data")
@describe(generating.SYSTEM_PROMPT_GET_DATA)
def system_prompt_get_data() -> Response:
    """Answer a prompt under a system prompt."""
    return _generate(_SYSTEM_PROMPT_SCHEMA)


def _generate(schema: Schema) -> Response:
    def make(admission: Admission) -> Response:
        with admission.trail.step("body"):
            wanted = schemas.load(schema, json_object())
            if admission.trail.on:
                admission.trail.note(bytes=request.content_length)
        answer = services().gateway.generate(admission, wanted)
        return streaming.respond(answer, streaming.GET_DATA, stream=wanted.stream)

    return call(make)
