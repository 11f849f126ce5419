"""The operations of a caller on its own subscription, those of an orchestrator, and the description itself."""

from __future__ import annotations

from app.contract import DEBUG_HEADERS
from app.openapi import answers
from app.openapi.examples import EXAMPLES
from app.openapi.failures import BODY, SERVER
from app.openapi.operation import Answer, Operation
from app.openapi.parameters import DEBUG_AUTHORIZATION, usage_parameters
from app.openapi.security import KEY
from app.schemas import RegenerateKeySchema

_PRIVATE = ("Cache-Control", *DEBUG_HEADERS)
_UNAVAILABLE = 503
_IF_NONE_MATCH = (
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of the document that the caller has.",
        "schema": {"type": "string"},
    },
)
_EXPOSITION = """\
# HELP gateway_requests_total Requests answered.
# TYPE gateway_requests_total counter
gateway_requests_total{operation="Get Data",product="unlimited",status="200"} 8.0
"""

MY_SUBSCRIPTION = Operation(
    "My subscription",
    {200: Answer("The subscription.", answers.MySubscription, {"subscription": EXAMPLES["my subscription"]}, _PRIVATE)},
    (401, *SERVER),
    security=KEY,
    parameters=(DEBUG_AUTHORIZATION,),
)
MY_USAGE = Operation(
    "My subscription",
    {200: Answer("The sums.", answers.UsageReport, {"usage": EXAMPLES["my usage"]}, _PRIVATE)},
    (400, 401, *SERVER),
    security=KEY,
    parameters=(*usage_parameters(("product", "model", "operation"), "day,model"), DEBUG_AUTHORIZATION),
)
REGENERATE_MY_KEY = Operation(
    "My subscription",
    {200: Answer("The new key.", answers.NewKey, {"key": EXAMPLES["regenerate my key"]}, _PRIVATE)},
    (401, *BODY, *SERVER),
    security=KEY,
    parameters=(DEBUG_AUTHORIZATION,),
    body=RegenerateKeySchema,
    examples={"secondary": EXAMPLES["regenerate my key request"]},
)

LIVE = Operation("Health", {200: Answer("It is alive.", answers.Live, {"live": EXAMPLES["live"]})}, SERVER)
READY = Operation(
    "Health",
    {
        200: Answer("It would be answered.", answers.Ready, {"ready": EXAMPLES["ready"]}),
        503: Answer(
            "It would not be answered yet.", answers.NotReadyBody, {"loading": EXAMPLES["not ready"]}, ("Retry-After",)
        ),
    },
    [status for status in SERVER if status != _UNAVAILABLE],
)

METRICS = Operation(
    "Health",
    {200: Answer("What has been counted, in Prometheus' text format.", text={"text/plain": _EXPOSITION})},
    SERVER,
)

DESCRIPTION = Operation(
    "Description",
    {
        200: Answer("The OpenAPI document.", answers.Description, headers=("ETag", "Cache-Control")),
        304: Answer("It is the one that the caller has.", headers=("ETag", "Cache-Control")),
    },
    SERVER,
    parameters=_IF_NONE_MATCH,
)

PORTAL = Operation(
    "Portal",
    {
        200: Answer(
            "The first page.", headers=("ETag", "Cache-Control"), text={"text/html": "<!doctype html>\n<html lang=en>…"}
        ),
        304: Answer("It is the one that the caller has.", headers=("ETag", "Cache-Control")),
    },
    SERVER,
    parameters=_IF_NONE_MATCH,
    note="A page for each operation to try it, samples in many languages, and a caller's own subscription.",
)
