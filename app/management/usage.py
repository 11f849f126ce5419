"""`/management/usage`: what was used, summed by subscription, product, model, day or operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, jsonify

from app import usage
from app.openapi.operation import describe
from app.openapi.operations import management
from app.services import services
from gateway.usage import DEFAULT_BY

if TYPE_CHECKING:
    from flask import Response

blueprint = Blueprint("usage", __name__, url_prefix="/usage")


@blueprint.get("", endpoint="get usage")
@describe(management.GET_USAGE)
def get() -> Response:
    """The sums that `since`, `until`, `by` and the filters of the query ask for."""
    chosen, by = usage.wanted(("subscription", "product", "model", "operation"), DEFAULT_BY)
    return jsonify(usage.document(services().usage.sums(chosen, by)))
