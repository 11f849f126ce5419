"""The schemas of requests take what the code takes, and refuse what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.management.conftest import ACME, GOLD, body_of

if TYPE_CHECKING:
    from tests.management.conftest import Admin
    from tests.openapi.conftest import Described

SCHEMA = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
GET_DATA: list[tuple[Any, bool]] = [
    ({"prompt": "a"}, True),
    ({"prompt": " a "}, True),
    ({"prompt": ""}, False),
    ({"prompt": " \n"}, False),
    ({"prompt": 1}, False),
    ({"prompt": None}, False),
    ({}, False),
    ({"prompt": "a", "temprature": 1}, False),
    ({"prompt": "a", "system prompt": "b"}, False),
    ({"prompt": "a", "temperature": 0}, True),
    ({"prompt": "a", "temperature": 2}, True),
    ({"prompt": "a", "temperature": 2.1}, False),
    ({"prompt": "a", "temperature": -0.1}, False),
    ({"prompt": "a", "temperature": "1"}, False),
    ({"prompt": "a", "temperature": True}, False),
    ({"prompt": "a", "temperature": None}, False),
    ({"prompt": "a", "top_p": 1}, True),
    ({"prompt": "a", "top_p": 0}, False),
    ({"prompt": "a", "top_k": -1}, True),
    ({"prompt": "a", "top_k": 0}, False),
    ({"prompt": "a", "top_k": -2}, False),
    ({"prompt": "a", "top_k": 1.0}, True),
    ({"prompt": "a", "top_k": 1.5}, False),
    ({"prompt": "a", "max_tokens": 1}, True),
    ({"prompt": "a", "max_tokens": 0}, False),
    ({"prompt": "a", "seed": 2**63 - 1}, True),
    ({"prompt": "a", "seed": 2**63}, False),
    ({"prompt": "a", "stop": "b"}, True),
    ({"prompt": "a", "stop": []}, True),
    ({"prompt": "a", "stop": ["b"] * 4}, True),
    ({"prompt": "a", "stop": ["b"] * 5}, False),
    ({"prompt": "a", "stop": ""}, False),
    ({"prompt": "a", "stop": ["b", ""]}, False),
    ({"prompt": "a", "presence_penalty": -2}, True),
    ({"prompt": "a", "frequency_penalty": 2.5}, False),
    ({"prompt": "a", "response_format": {"type": "text"}}, True),
    ({"prompt": "a", "response_format": {"type": "xml"}}, False),
    ({"prompt": "a", "response_format": {"type": "json_schema"}}, False),
    ({"prompt": "a", "response_format": SCHEMA}, True),
    ({"prompt": "a", "response_format": {**SCHEMA, "more": 1}}, False),
    ({"prompt": "a", "response_format": {"type": "json_schema", "json_schema": {}}}, False),
    ({"prompt": "a", "stream": True}, True),
    ({"prompt": "a", "stream": 1}, False),
]
SYSTEM_PROMPT: list[tuple[Any, bool]] = [
    ({"prompt": "a"}, True),
    ({"prompt": "a", "system prompt": "b"}, True),
    ({"prompt": "a", "system prompt": ""}, True),
    ({"prompt": "a", "system_prompt": "b"}, True),
    ({"prompt": "a", "system_prompt": "b", "system prompt": "b"}, False),
    ({"prompt": "a", "system_prompt": None}, False),
    ({"system prompt": "b"}, False),
]
NEW = {"displayName": "Acme", "scope": "/products/starter"}
SUBSCRIPTION: list[tuple[Any, bool]] = [
    (body_of(**NEW), True),
    (body_of(**{**NEW, "scope": "/apis"}), True),
    (body_of(**{**NEW, "scope": "/products/"}), False),
    (body_of(**{**NEW, "scope": "starter"}), False),
    (body_of(**{**NEW, "scope": "/products/" + "a" * 81}), False),
    (body_of(**{**NEW, "scope": None}), False),
    (body_of(**{**NEW, "displayName": " "}), False),
    (body_of(displayName="Acme"), False),
    (body_of(**NEW, state="active"), True),
    (body_of(**NEW, state="asleep"), False),
    (body_of(**NEW, expirationDate=None), True),
    (body_of(**NEW, expirationDate="2999-01-31T00:00:00Z"), True),
    (body_of(**NEW, expirationDate="2999-01-31"), False),
    (body_of(**NEW, expirationDate=1), False),
    (body_of(**NEW, primaryKey="0" * 32), True),
    (body_of(**NEW, primaryKey="0" * 31), False),
    (body_of(**NEW, more=1), False),
    ({}, False),
]
PRODUCT: list[tuple[Any, bool]] = [
    (body_of(displayName="Gold"), True),
    (body_of(displayName="Gold", rate={"calls": 1}), True),
    (body_of(displayName="Gold", rate={"calls": 1, "seconds": 86_400}), True),
    (body_of(displayName="Gold", rate={"calls": 1, "seconds": 86_401}), False),
    (body_of(displayName="Gold", rate={"calls": 0}), False),
    (body_of(displayName="Gold", rate=None), True),
    (body_of(displayName="Gold", tokenQuota={"amount": 1, "period": "week"}), True),
    (body_of(displayName="Gold", tokenQuota={"amount": 1, "period": "era"}), False),
    (body_of(displayName="Gold", tokenQuota={"amount": 1}), False),
    (body_of(displayName="Gold", models=[]), False),
    (body_of(displayName="Gold", models=["a"]), True),
    (body_of(displayName="Gold", maxTokens=2**53 - 1), True),
    (body_of(displayName="Gold", maxTokens=2**53), False),
    (body_of(displayName="Gold", priority=-5), True),
    (body_of(displayName="Gold", sharedCache=None), False),
    (body_of(rate={"calls": 1}), False),
]


@pytest.mark.parametrize(
    ("path", "body", "right"),
    [
        *(("/get-data", body, right) for body, right in GET_DATA),
        *(("/system-prompt-get-data", body, right) for body, right in SYSTEM_PROMPT),
    ],
)
def test_a_prompt_is_described_as_it_is_taken(
    admin: Admin, described: Described, path: str, body: object, *, right: bool
) -> None:
    key = str(admin.subscribe(scope="/products/unlimited")["primaryKey"])
    reply = admin.send("POST", path, body, {"Ocp-Apim-Subscription-Key": key})
    assert reply.status == (200 if right else 400), reply.body
    assert (described.faults(described.body_schema("post", path), body) == []) is right


@pytest.mark.parametrize(
    ("path", "template", "body", "right"),
    [
        *((ACME, "/management/subscriptions/{sid}", body, right) for body, right in SUBSCRIPTION),
        *((GOLD, "/management/products/{pid}", body, right) for body, right in PRODUCT),
    ],
)
def test_a_resource_is_described_as_it_is_taken(  # noqa: PLR0913 - a row of a table
    admin: Admin, described: Described, path: str, template: str, body: object, *, right: bool
) -> None:
    reply = admin.send("PUT", path, body)
    assert reply.status == (201 if right else 400), reply.body
    assert (described.faults(described.body_schema("put", template), body) == []) is right
