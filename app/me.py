"""A caller's own view, with its own key: what it has used, what is left to it, new keys for old ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, jsonify, request
from marshmallow.validate import OneOf

from app import usage
from app.auth import require_caller
from app.body import json_object
from app.documents import limits_document, moment
from app.schemas import StrictSchema, Text, load_fields
from app.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Response

    from gateway.subscriptions import Caller

blueprint = Blueprint("me", __name__, url_prefix="/me")

_FILTERS = ("product", "model", "operation")
_DEFAULT_BY = ("day", "model")


class RegenerateKeySchema(StrictSchema):
    """The body of POST /me/regenerateKey."""

    key = Text(required=True, validate=OneOf(["primary", "secondary"], error="should be `primary` or `secondary`"))


@blueprint.after_request
def _keep_out_of_caches(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/subscription", endpoint="my subscription")
def subscription() -> Response:
    """The caller's subscription, its product's limits and what they leave."""
    caller = require_caller()
    found = services().subscriptions.get(caller.subscription_id)
    left = services().gateway.left(caller)
    return jsonify(
        id=found.id,
        displayName=found.name,
        product=found.product,
        state=found.state.value,
        startDate=_iso(found.starts_at),
        expirationDate=_iso(found.expires_at),
        keyUsed=caller.key,
        limits=limits_document(caller.product.limits),
        left={name: _window(window) for name, window in left.items()},
    )


@blueprint.get("/usage", endpoint="my usage")
def my_usage() -> Response:
    """What the caller has used; `since`, `until`, `by` and filters as for the operator, but of nobody else."""
    caller = require_caller()
    chosen = usage.selection(_arguments(caller), ("subscription", *_FILTERS))
    by = usage.dimensions(request.args.get("by"), _DEFAULT_BY)
    return jsonify(usage.document(services().usage.sums(chosen, by)))


@blueprint.post("/regenerateKey", endpoint="regenerate my key")
def regenerate_key() -> Response:
    """A new key in the place of one of the caller's own; the old one is void at once."""
    caller = require_caller()
    slot = load_fields(RegenerateKeySchema(), json_object())["key"]
    key = services().subscriptions.regenerate(caller.subscription_id, slot)
    return jsonify({f"{slot}Key": key})


def _arguments(caller: Caller) -> Mapping[str, str]:
    return {**request.args.to_dict(), "subscription": caller.subscription_id}
