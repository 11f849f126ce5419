"""`/management/products`: named sets of limits, as resources."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Blueprint, request

from app.body import json_object
from app.documents import limits_document
from app.management.conditions import wanted_condition
from app.management.paging import listed, wanted_page
from app.management.resources import check_envelope, envelope, naming_properties, no_content, resource
from app.management.schemas import ProductPatch, ProductPut
from app.openapi.operation import describe
from app.openapi.operations import management
from app.schemas import checked
from app.services import services
from gateway.errors import InvalidRequestError
from gateway.products import Limits

if TYPE_CHECKING:
    from flask import Response
    from marshmallow import Schema

    from gateway.products import Product

blueprint = Blueprint("products", __name__, url_prefix="/products")

_EXAMPLE = '{"properties": {"displayName": "Gold", "rate": {"calls": 60, "seconds": 60}}}'
_PUT = ProductPut()
_PATCH = ProductPatch()


@blueprint.get("", endpoint="list products")
@describe(management.LIST_PRODUCTS)
def list_() -> Response:
    """Some of them, by id."""
    wanted = wanted_page()
    found = services().products.page(*wanted)
    return listed([_document(one) for one in found.items], found.total, wanted)


@blueprint.get("/<pid>", endpoint="get product")
@describe(management.GET_PRODUCT)
def get(pid: str) -> Response:
    """One of them."""
    return _answer(services().products.get(pid))


@blueprint.put("/<pid>", endpoint="put product")
@describe(management.PUT_PRODUCT)
def put(pid: str) -> Response:
    """Make one, or replace the name and all limits of the one that is there."""
    condition = wanted_condition(required=False)
    given = _properties(_PUT, pid)
    name = given.pop("name")
    with naming_properties():
        saved = services().products.set(pid, lambda _: Limits(**given), name=name, condition=condition)
    return _answer(saved.product, HTTPStatus.CREATED if saved.created else HTTPStatus.OK)


@blueprint.patch("/<pid>", endpoint="patch product")
@describe(management.PATCH_PRODUCT)
def patch(pid: str) -> Response:
    """Change what is given; null lifts a limit."""
    condition = wanted_condition(required=True)
    given = _properties(_PATCH, pid)
    name = given.pop("name", None)
    with naming_properties():
        changed = services().products.change(
            pid, lambda limits: replace(limits, **given), name=name, condition=condition
        )
    return _answer(changed)


@blueprint.delete("/<pid>", endpoint="delete product")
@describe(management.DELETE_PRODUCT)
def delete(pid: str) -> Response:
    """Take one away; with `deleteSubscriptions=true` the subscriptions for it too."""
    condition = wanted_condition(required=True)
    services().products.delete(pid, with_subscriptions=_delete_subscriptions(), condition=condition)
    return no_content()


def _delete_subscriptions() -> bool:
    given = request.args.get("deleteSubscriptions", "false").lower()
    if given not in {"true", "false"}:
        raise InvalidRequestError(
            "Query parameter `deleteSubscriptions` should be true or false.", param="deleteSubscriptions"
        )
    return given == "true"


def _properties(schema: Schema, pid: str) -> dict[str, Any]:
    body = checked(schema, json_object(_EXAMPLE))
    check_envelope(body, "products", pid)
    properties: dict[str, Any] = body["properties"]
    return properties


def _answer(product: Product, status: int = HTTPStatus.OK) -> Response:
    return resource(_document(product), product.revision, status)


def _document(product: Product) -> dict[str, object]:
    properties = {"displayName": product.name, **limits_document(product.limits)}
    return envelope("products", product.id, properties)
