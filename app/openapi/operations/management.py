"""The operator's operations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.management import schemas
from app.openapi import answers
from app.openapi.examples import EXAMPLES
from app.openapi.failures import BODY, SERVER
from app.openapi.operation import Answer, Operation
from app.openapi.parameters import MAY_MATCH, MUST_MATCH, PAGE, usage_parameters
from app.openapi.security import ADMIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OFF = "Off, and 404, as long as the operator has set no `GATEWAY_ADMIN_TOKEN`."
_KNOWN = (401, 404, *SERVER)
_CHANGE = (409, 412, *BODY)
_RESOURCE = ("ETag", "Cache-Control")
_PRIVATE = ("Cache-Control",)


def _operation(
    given: Mapping[int, Answer], errors: Sequence[int] = (), parameters: Sequence[Mapping[str, Any]] = ()
) -> Operation:
    return Operation(
        "Management",
        given,
        (*_KNOWN, *errors),
        dialect="management",
        security=ADMIN,
        parameters=parameters,
        note=_OFF,
    )


_NO_CONTENT = {204: Answer("It is gone.", headers=_PRIVATE)}
_SUBSCRIPTION = Answer("The subscription.", answers.Subscription, {"subscription": EXAMPLES["subscription"]}, _RESOURCE)
_PRODUCT = Answer("The product.", answers.Product, {"product": EXAMPLES["product"]}, _RESOURCE)

LIST_SUBSCRIPTIONS = _operation(
    {200: Answer("A page of them.", answers.SubscriptionPage, {"first of two": EXAMPLES["subscriptions"]}, _PRIVATE)},
    (400,),
    PAGE,
)
GET_SUBSCRIPTION = _operation({200: _SUBSCRIPTION})
PUT_SUBSCRIPTION = replace(
    _operation(
        {
            200: _SUBSCRIPTION,
            201: Answer(
                "It is new; its keys are shown this once.",
                answers.NewSubscription,
                {"made": EXAMPLES["subscription made"]},
                _RESOURCE,
            ),
        },
        _CHANGE,
        MAY_MATCH,
    ),
    body=schemas.SubscriptionPut,
    examples={"active": EXAMPLES["put subscription request"]},
)
PATCH_SUBSCRIPTION = replace(
    _operation({200: _SUBSCRIPTION}, _CHANGE, MUST_MATCH),
    body=schemas.SubscriptionPatch,
    examples={"activate": EXAMPLES["patch subscription request"]},
)
DELETE_SUBSCRIPTION = _operation(_NO_CONTENT, (400, 412), MUST_MATCH)
REGENERATE_PRIMARY_KEY = _operation(
    {200: Answer("The new key.", answers.PrimaryKey, {"key": EXAMPLES["regenerate primary key"]}, _PRIVATE)}
)
REGENERATE_SECONDARY_KEY = _operation(
    {200: Answer("The new key.", answers.SecondaryKey, {"key": EXAMPLES["regenerate my key"]}, _PRIVATE)}
)

LIST_PRODUCTS = _operation(
    {200: Answer("A page of them.", answers.ProductPage, {"first of three": EXAMPLES["products"]}, _PRIVATE)},
    (400,),
    PAGE,
)
GET_PRODUCT = _operation({200: _PRODUCT})
PUT_PRODUCT = replace(
    _operation({200: _PRODUCT, 201: replace(_PRODUCT, description="It is new.")}, _CHANGE, MAY_MATCH),
    body=schemas.ProductPut,
    examples={"gold": EXAMPLES["put product request"]},
)
PATCH_PRODUCT = replace(
    _operation({200: _PRODUCT}, _CHANGE, MUST_MATCH),
    body=schemas.ProductPatch,
    examples={"no token quota": {"properties": {"tokenQuota": None}}},
)
DELETE_PRODUCT = _operation(
    _NO_CONTENT,
    (400, 412),
    (
        *MUST_MATCH,
        {
            "name": "deleteSubscriptions",
            "in": "query",
            "description": "Whether its subscriptions go with it; without it, a product that has some stays (400).",
            "schema": {"type": "boolean", "default": False},
        },
    ),
)
GET_ENGINE = _operation(
    {200: Answer("How it is doing.", answers.EngineActivity, {"busy": EXAMPLES["engine"]}, _PRIVATE)}
)
LIST_DEBUG_CREDENTIALS = replace(
    _operation(
        {200: Answer("The token.", answers.DebugCredentials, {"token": EXAMPLES["debug credentials"]}, _PRIVATE)}, BODY
    ),
    body=schemas.ListDebugCredentials,
    examples={"an hour": EXAMPLES["debug credentials request"], "a minute": {"credentialsExpireAfter": "PT1M"}},
)
LIST_TRACE = replace(
    _operation({200: Answer("The trace.", answers.Trace, {"trace": EXAMPLES["trace"]}, _PRIVATE)}, BODY),
    body=schemas.ListTrace,
    examples={"trace": EXAMPLES["trace request"]},
)
GET_USAGE = _operation(
    {200: Answer("The sums.", answers.UsageReport, {"usage": EXAMPLES["my usage"]}, _PRIVATE)},
    (400,),
    usage_parameters(("subscription", "product", "model", "operation"), "day,subscription,product,model"),
)
