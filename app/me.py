"""A caller's own view, with its own key: what it has used, what is left to it, new keys for old ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flask import Blueprint, jsonify

from app import usage
from app.auth import require_caller
from app.body import json_object
from app.documents import limits_document, moment
from app.openapi.operation import describe
from app.openapi.operations import own
from app.schemas import RegenerateKeySchema, checked
from app.services import services

if TYPE_CHECKING:
    from flask import Response

    from gateway.call_limits import Window


blueprint = Blueprint("me", __name__, url_prefix="/me")


_REGENERATE_KEY = RegenerateKeySchema()


@blueprint.get("/subscription", endpoint="my subscription")
@describe(own.MY_SUBSCRIPTION)
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
        startDate=moment(found.starts_at),
        expirationDate=moment(found.expires_at),
        keyUsed=caller.key,
        limits=limits_document(caller.product.limits),
        left={_camel(name): _window(window) for name, window in left.items()},
    )


@blueprint.get("/usage", endpoint="my usage")
@describe(own.MY_USAGE)
def my_usage() -> Response:
    """What the caller has used; `since`, `until`, `by` and filters as for the operator, but of nobody else."""
    caller = require_caller()
    chosen, by = usage.wanted(("product", "model", "operation"), ("day", "model"))
    mine: dict[str, str | int] = {"subscription": caller.subscription_id, "account": caller.account}
    own = replace(chosen, equal={**chosen.equal, **mine})
    return jsonify(usage.document(services().usage.sums(own, by)))


@blueprint.post("/regenerateKey", endpoint="regenerate my key")
@describe(own.REGENERATE_MY_KEY)
def regenerate_key() -> Response:
    """A new key in the place of one of the caller's own; the old one is void at once."""
    caller = require_caller()
    slot = checked(_REGENERATE_KEY, json_object('{"key": "primary"}'))["key"]
    key = services().subscriptions.regenerate(caller.subscription_id, slot)
    return jsonify({f"{slot}Key": key})


def _window(window: Window) -> dict[str, object]:
    return {"limit": window.limit, "remaining": window.remaining, "resetSeconds": window.reset}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
