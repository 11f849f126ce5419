"""The description itself: valid, whole, public, and with examples that fit."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.openapi.document import document
from app.openapi.operation import UndescribedError, is_page
from app.openapi.security import SCHEMES
from gateway.settings import ROOT
from tests.management.conftest import TOKEN, make_api
from tests.openapi.conftest import check_stream

if TYPE_CHECKING:
    from gateway.store import Store
    from tests.management.conftest import Admin
    from tests.openapi.conftest import Described
    from tests.store.conftest import Clock

PATH = "/openapi.json"


def test_it_is_valid_openapi_3_1(described: Described) -> None:
    assert described.document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(described.document).iter_errors()] == []


def routes(app: Flask, *, pages: bool) -> set[tuple[str, str]]:
    """Method and path of each route, either of those that are pages or of all others."""
    return {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if is_page(app.view_functions[rule.endpoint]) is pages
    }


def test_every_route_with_every_method_is_in_it_and_no_other(described: Described, admin: Admin) -> None:
    assert {(method, path) for method, path, _ in described.operations()} == routes(admin.api.app, pages=False)


def test_only_what_is_behind_the_portal_is_left_out_as_a_page(admin: Admin) -> None:
    left_out = routes(admin.api.app, pages=True)
    assert left_out
    for method, path in left_out:
        assert method == "get"
        assert path == "/admin" or path.startswith("/portal/")


def test_a_route_without_a_description_is_a_fault() -> None:
    app = Flask("one route", static_folder=None)
    app.add_url_rule("/new", endpoint="new", view_func=lambda: "")
    with pytest.raises(UndescribedError, match="`new` has no description"):
        document(app)


def test_each_operation_has_an_id_of_its_own_a_summary_and_known_security(described: Described) -> None:
    found = [operation for _, _, operation in described.operations()]
    assert len({operation["operationId"] for operation in found}) == len(found)
    for operation in found:
        assert operation["summary"]
        assert {name for one in operation["security"] for name in one} <= SCHEMES.keys()


def test_management_is_described_as_off_without_a_token(described: Described, store: Store, clock: Clock) -> None:
    api = make_api(store, clock, None)
    assert api.get("/management/products").status == 404
    assert json.loads(api.get(PATH).body) == described.document
    for _, path, operation in described.operations():
        if path.startswith("/management/"):
            assert "GATEWAY_ADMIN_TOKEN" in operation["description"]
            assert operation["security"] == [{"adminToken": []}]
            assert "404" in operation["responses"]


def test_each_error_status_of_the_contract_is_described(described: Described) -> None:
    responses = described.document["components"]["responses"]
    for status in (400, 401, 403, 404, 405, 408, 413, 414, 415, 429, 431, 500, 503, 504):
        assert f"Error{status}" in responses
        assert f"OpenAIError{status}" in responses
    for method, path, operation in described.operations():
        if method == "post" and path.startswith(("/get-data", "/system", "/v1", "/openai")):
            assert {
                "400",
                "401",
                "403",
                "404",
                "408",
                "409",
                "413",
                "414",
                "415",
                "429",
                "431",
                "500",
                "503",
                "504",
            } <= set(operation["responses"])
    assert "Allow" in responses["Error405"]["headers"]


def contents(found: Any) -> list[dict[str, Any]]:
    """Everything that has a schema and examples, wherever it is."""
    inside = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else []
    own = [found] if isinstance(found, dict) and "examples" in found and "schema" in found else []
    return [*own, *(content for one in inside for content in contents(one))]


def test_every_example_fits_its_schema(described: Described) -> None:
    found = contents(described.document)
    assert len(found) > 60
    for content in found:
        for example in content["examples"].values():
            assert described.faults(content["schema"], example["value"], strict=True) == []
            if "x-events" in content:
                check_stream(described, content, example["value"])


def test_every_body_has_an_example_but_for_the_description_itself(described: Described) -> None:
    for method, path, operation in described.operations():
        if path == PATH:
            continue
        parts = [operation["requestBody"]] if "requestBody" in operation else []
        for part in map(described.resolve, [*parts, *operation["responses"].values()]):
            for kind, content in part.get("content", {}).items():
                assert "examples" in content or "example" in content, (method, path, kind)


def test_the_page_lists_every_path(described: Described) -> None:
    page = (ROOT / "docs" / "openapi.md").read_text(encoding="utf-8")
    listed = re.search(r"^\$ curl .*/openapi\.json .*\n((?:/.*\n)+)", page, re.MULTILINE)
    assert listed
    assert listed[1].splitlines() == list(described.document["paths"])


def test_every_single_example_fits_its_schema(described: Described) -> None:
    parameters = [one for _, _, operation in described.operations() for one in operation["parameters"]]
    headers = described.document["components"]["headers"].values()
    for one in map(described.resolve, [*parameters, *headers]):
        if "example" in one:
            assert described.faults(one["schema"], one["example"]) == []


def test_it_is_public_and_may_be_read_by_any_page(admin: Admin) -> None:
    reply = admin.api.get(PATH)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert reply.headers["Cache-Control"] == "public, max-age=300"
    assert TOKEN.encode() not in reply.body


def test_who_has_it_is_told_so_by_its_etag(admin: Admin) -> None:
    tag = admin.api.get(PATH).headers["ETag"]
    again = admin.api.open("GET", PATH, headers={"If-None-Match": tag})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert admin.api.open("GET", PATH, headers={"If-None-Match": '"another"'}).status == 200
