"""`/management/subscriptions`: who may call, as resources. A key is in the answer that makes it, and in no other."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from app.body import json_object
from app.documents import moment
from app.management.conditions import wanted_condition
from app.management.paging import listed, wanted_page
from app.management.resources import check_envelope, envelope, naming_properties, no_content, read_only, resource
from app.management.schemas import SubscriptionPatch, SubscriptionPut, scope
from app.openapi.operation import describe
from app.openapi.operations import management
from app.schemas import checked
from app.services import services
from gateway.subscription import Details, Issued

if TYPE_CHECKING:
    from flask import Response
    from marshmallow import Schema

    from gateway.subscription import Subscription

blueprint = Blueprint("subscriptions", __name__, url_prefix="/subscriptions")

_EXAMPLE = '{"properties": {"displayName": "Acme", "scope": "/products/starter", "state": "active"}}'
_PUT = SubscriptionPut()
_PATCH = SubscriptionPatch()
_READ_ONLY = {"created_at": "createdDate", "ended_at": "endDate"}


@blueprint.get("", endpoint="list subscriptions")
@describe(management.LIST_SUBSCRIPTIONS)
def list_() -> Response:
    """Some of them, the oldest first."""
    wanted = wanted_page()
    found = services().subscriptions.page(*wanted)
    return listed([_document(one) for one in found.items], found.total, wanted)


@blueprint.get("/<sid>", endpoint="get subscription")
@describe(management.GET_SUBSCRIPTION)
def get(sid: str) -> Response:
    """One of them, without its keys."""
    return _answer(services().subscriptions.get(sid))


@blueprint.put("/<sid>", endpoint="put subscription")
@describe(management.PUT_SUBSCRIPTION)
def put(sid: str) -> Response:
    """Make one, and show its keys; or replace what is said of the one that is there."""
    condition = wanted_condition(required=False)
    given = _properties(_PUT, sid)

    def make(before: Subscription | None) -> Details:
        _check_read_only(given, before)
        kept = {"starts_at": before.starts_at} if before else {}
        return Details(**{**kept, **_writable(given)})

    with naming_properties():
        saved = services().subscriptions.put(sid, make, condition)
    if not isinstance(saved, Issued):
        return _answer(saved)
    document = _document(saved.subscription, primaryKey=saved.primary_key, secondaryKey=saved.secondary_key)
    return resource(document, saved.subscription.revision, HTTPStatus.CREATED)


@blueprint.patch("/<sid>", endpoint="patch subscription")
@describe(management.PATCH_SUBSCRIPTION)
def patch(sid: str) -> Response:
    """Change what is given; null lifts a date."""
    condition = wanted_condition(required=True)
    given = _properties(_PATCH, sid)

    def make(before: Subscription) -> Details:
        _check_read_only(given, before)
        kept = {name: getattr(before, name) for name in ("name", "product", "starts_at", "expires_at")}
        return Details(**{**kept, **_writable(given)})

    with naming_properties():
        return _answer(services().subscriptions.change(sid, make, condition))


@blueprint.delete("/<sid>", endpoint="delete subscription")
@describe(management.DELETE_SUBSCRIPTION)
def delete(sid: str) -> Response:
    """Take one away; its keys are void at once."""
    services().subscriptions.delete(sid, wanted_condition(required=True))
    return no_content()


@blueprint.post("/<sid>/regeneratePrimaryKey", endpoint="regenerate primary key")
@describe(management.REGENERATE_PRIMARY_KEY)
def regenerate_primary_key(sid: str) -> Response:
    """Replace the primary key, and show the new one."""
    return jsonify(primaryKey=services().subscriptions.regenerate(sid, "primary"))


@blueprint.post("/<sid>/regenerateSecondaryKey", endpoint="regenerate secondary key")
@describe(management.REGENERATE_SECONDARY_KEY)
def regenerate_secondary_key(sid: str) -> Response:
    """Replace the secondary key, and show the new one."""
    return jsonify(secondaryKey=services().subscriptions.regenerate(sid, "secondary"))


def _properties(schema: Schema, sid: str) -> dict[str, Any]:
    body = checked(schema, json_object(_EXAMPLE))
    check_envelope(body, "subscriptions", sid)
    properties: dict[str, Any] = body["properties"]
    return properties


def _check_read_only(given: dict[str, Any], before: Subscription | None) -> None:
    for attribute, name in _READ_ONLY.items():
        if given.get(attribute) is not None and given[attribute] != getattr(before, attribute, None):
            raise read_only(name)


def _writable(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in _READ_ONLY}


def _answer(subscription: Subscription) -> Response:
    return resource(_document(subscription), subscription.revision)


def _document(subscription: Subscription, **keys: str) -> dict[str, object]:
    properties = {
        "displayName": subscription.name,
        "scope": scope(subscription.product),
        "state": subscription.state.value,
        "createdDate": moment(subscription.created_at),
        "startDate": moment(subscription.starts_at),
        "expirationDate": moment(subscription.expires_at),
        "endDate": moment(subscription.ended_at),
        **keys,
    }
    return envelope("subscriptions", subscription.id, properties)
