"""Every way in which a body can be wrong: told in the contract's form, naming the field, quoting nothing."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.conftest import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.http.conftest import Api

CANARY = "canary-prompt"
KEY = "0123456789abcdef0123456789abcdef"
PATHS = ["/get-data", "/system-prompt-get-data"]


def with_prompt(rest: str) -> bytes:
    """A body with the canary as its prompt, and then what is given."""
    return f'{{"prompt": "{CANARY}", {rest}}}'.encode("utf-8", "surrogatepass")


def refused(api: Api, body: object, *words: str, status: int = 400, **headers: str) -> str:
    """Sends the body to both operations; both refuse it in the same words, and no prompt is in them."""
    first, second = (api.post(body, path, **headers).assert_error(status, *words)["message"] for path in PATHS)
    if "Known fields are" not in first:  # there the operations differ
        assert first == second
    assert CANARY not in first + second
    assert api.engine.requests == []
    return str(first)


NOT_OBJECTS = [b"[]", b"null", b"true", b"0", b"-1.5", b'"prompt"', b'["prompt"]', b' [{"prompt": "a"}] ']


@pytest.mark.parametrize("body", NOT_OBJECTS)
def test_json_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    refused(api, body, "not an object")


def test_no_body_is_refused(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    api.open("POST", "/get-data", key=api.key, headers=headers).assert_error(400, "The body is empty")
    api.open("POST", "/get-data", key=api.key).assert_error(400, "The body is empty")
    refused(api, b"", "The body is empty")


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"{",
        b"}",
        b'{"prompt"',
        b'{"prompt": "canary-prompt',
        b'{"prompt": "canary-prompt"',
        b'{"prompt": "canary-prompt",}',
        b'{"prompt": "canary-prompt"} x',
        b'{"prompt": "canary-prompt"}{}',
        b"{'prompt': 'canary-prompt'}",
        b'{prompt: "canary-prompt"}',
        b'{"prompt": "canary-prompt\n"}',
        b'{"prompt": "canary-prompt\\q"}',
        b'{"prompt": "canary-prompt\\u12"}',
        b'{"prompt": "canary-prompt", "seed": 01}',
        b'{"prompt": "canary-prompt", "seed": +1}',
        b'{"prompt": "canary-prompt", "seed": 0x1}',
        b'{"prompt": "canary-prompt", "temperature": .5}',
        b'{"prompt": "canary-prompt", "stream": True}',
        b"prompt=canary-prompt",
        b"<prompt>canary-prompt</prompt>",
        b"\x00",
    ],
)
def test_what_is_not_json_is_refused_with_its_place(api: Api, body: bytes) -> None:
    message = refused(api, body, "not valid JSON at line ", "column ")
    assert message.endswith(".")
    assert ":." not in message


def test_a_body_shorter_than_declared_is_refused(api: Api) -> None:
    body = b'{"prompt": "a"}'  # whole as it is, and yet not all that was announced
    environ = {"CONTENT_LENGTH": str(len(body) + 1), "wsgi.input": io.BytesIO(body)}
    headers = {"Content-Type": "application/json"}
    reply = api.open("POST", "/get-data", key=api.key, headers=headers, environ=environ)
    reply.assert_error(400, "shorter than its Content-Length")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/vnd.api+json",
        "application",
        "",
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-16",
        'application/json; charset=""',
    ],
)
def test_another_content_type_is_refused(api: Api, content_type: str) -> None:
    body = json.dumps({"prompt": CANARY}).encode()
    refused(api, body, "Content-Type: application/json", status=415, **{"Content-Type": content_type})


def test_no_content_type_is_refused(api: Api) -> None:
    reply = api.open("POST", "/get-data", body=b'{"prompt": "a"}', key=api.key)
    reply.assert_error(415, "Content-Type: application/json")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json; charset=utf8",
        "application/json; odd=1",
    ],
)
def test_json_in_utf8_is_taken_however_it_is_spelt(api: Api, content_type: str) -> None:
    assert api.post({"prompt": "é"}, **{"Content-Type": content_type}).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity", "x"])
def test_a_compressed_body_is_refused(api: Api, encoding: str) -> None:
    refused(api, {"prompt": CANARY}, "Content-Encoding", status=415, **{"Content-Encoding": encoding})


def test_the_identity_encoding_is_taken(api: Api) -> None:
    assert api.post({"prompt": "a"}, **{"Content-Encoding": "Identity"}).status == 200


@pytest.mark.parametrize("prompt", ["", " ", "\n\t\r", "\u00a0\u2003"])
def test_a_blank_prompt_is_refused(api: Api, prompt: str) -> None:
    refused(api, {"prompt": prompt}, "`prompt`", "blank")


def test_a_missing_prompt_is_refused(api: Api) -> None:
    refused(api, {}, "`prompt`", "is required")
    refused(api, {"temperature": 1}, "`prompt`", "is required")


NOT_STRINGS: list[Any] = [None, 1, 1.5, True, [], ["a"], {}]
NOT_NUMBERS: list[Any] = [None, "1", "canary-prompt", True, False, [], [1], {}]
NOT_INTEGERS: list[Any] = [*NOT_NUMBERS, 1.5, -1.000001, 1e-9]
WRONG_TYPES = {
    "prompt": NOT_STRINGS,
    "model": NOT_STRINGS,
    "temperature": NOT_NUMBERS,
    "top_p": NOT_NUMBERS,
    "frequency_penalty": NOT_NUMBERS,
    "presence_penalty": NOT_NUMBERS,
    "top_k": NOT_INTEGERS,
    "max_tokens": NOT_INTEGERS,
    "seed": NOT_INTEGERS,
    "stream": [None, 0, 1, "true", "canary-prompt", [], {}],
    "stop": [None, 1, True, {}, "", [""], ["a", ""], [1], [None], [["a"]], ["a", "b", "c", "d", "e"]],
    "response_format": [None, 1, True, "text", "canary-prompt", [], ["text"]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG_TYPES.items() for value in values])
def test_a_value_of_the_wrong_type_is_refused_by_its_field(api: Api, name: str, value: object) -> None:
    refused(api, {"prompt": CANARY, name: value}, f"Field `{name}` should ")


@pytest.mark.parametrize("value", NOT_STRINGS)
@pytest.mark.parametrize("name", ["system prompt", "system_prompt"])
def test_a_system_prompt_of_the_wrong_type_is_refused(api: Api, name: str, value: object) -> None:
    reply = api.post({"prompt": CANARY, name: value}, "/System%20Prompt%20Get%20Data")
    reply.assert_error(400, f"Field `{name}` should ")


OUT_OF_BOUNDS = {
    "temperature": ["-0.0000001", "2.0000001", "3", "-1", "1e308", "9" * 400],
    "top_p": ["0", "0.0", "-0.0", "-0.1", "1.0000001", "2"],
    "top_k": ["0", "0.0", "-2", "-" + "9" * 4000, "-1e300"],
    "max_tokens": ["0", "-1", "-0.0", "-" + "9" * 4000],
    "seed": ["9223372036854775808", "-9223372036854775809", "9" * 4000, "1e300"],
    "frequency_penalty": ["-2.0000001", "2.0000001", "-" + "9" * 400],
    "presence_penalty": ["-2.0000001", "2.0000001", "9" * 400],
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, numbers in OUT_OF_BOUNDS.items() for number in numbers]
)
def test_a_number_out_of_its_bounds_is_refused_by_its_field(api: Api, name: str, number: str) -> None:
    message = refused(api, with_prompt(f'"{name}": {number}'), f"Field `{name}` should be ")
    assert len(message) < 200


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000])
@pytest.mark.parametrize(
    "place",
    [
        '"temperature": {}',
        '"seed": {}',
        '"unknown": {}',
        '"stop": [{}]',
        '"response_format": {{"type": "json_schema", "json_schema": {{"schema": {{"minimum": {}}}}}}}',
    ],
)
def test_a_number_that_json_or_a_computer_does_not_have_is_refused_anywhere(api: Api, place: str, number: str) -> None:
    field = json.loads(f"{{{place.format(0)}}}").popitem()[0]
    message = refused(api, with_prompt(place.format(number)), f"Field `{field}` has ")
    assert " Send " in message


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("temprature", "Did you mean `temperature`?"),
        ("Prompt", "Did you mean `prompt`?"),
        ("topk", "Did you mean `top_k`?"),
        ("max_token", "Did you mean `max_tokens`?"),
        ("xyzzy", "Known fields are: prompt, "),
        ("", "Known fields are: "),
        ("a.b", "Known fields are: "),
        ("_schema", "Known fields are: "),
        ("response_format.type", "Did you mean `response_format`?"),
    ],
)
def test_an_unknown_field_is_refused_by_name_with_a_hint(api: Api, name: str, hint: str) -> None:
    refused(api, {"prompt": CANARY, name: 1}, f"Field `{name}` is not known. {hint}")


def test_an_odd_field_name_is_shown_short_and_printable(api: Api) -> None:
    message = refused(api, {"prompt": CANARY, "\n\x1b[2J\u202e" + "x" * 5000: 1}, "`??[2J?xxx", "is not known")
    assert message.isprintable()
    assert len(message) < 300


@pytest.mark.parametrize("body", [f'{{"prompt": "a", "{KEY}": 1}}', f'{{"{KEY}": 1, "{KEY}": 1}}'])
def test_a_field_that_is_named_like_a_key_is_not_shown(api: Api, body: str) -> None:
    message = refused(api, body.encode(), "Field `****` is ")
    assert KEY not in message


@pytest.mark.parametrize("name", ["system prompt", "system_prompt"])
def test_a_system_prompt_on_get_data_is_pointed_to_its_operation(api: Api, name: str) -> None:
    reply = api.post({"prompt": "a", name: "b"})
    reply.assert_error(400, f"Field `{name}` belongs", "POST /System%20Prompt%20Get%20Data")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "Field `response_format.type` is required."),
        ({"type": "xml"}, "Field `response_format.type` should be one of: text, json_object, json_schema."),
        ({"type": 1}, "Field `response_format.type` should be a string."),
        ({"type": "text", "typ": 1}, "Field `response_format.typ` is not known. Did you mean `response_format.type`?"),
        ({"type": "json_schema"}, "Field `response_format.json_schema` is required"),
        ({"type": "json_schema", "json_schema": 1}, "Field `response_format.json_schema` should be an object."),
        ({"type": "json_schema", "json_schema": {}}, "Field `response_format.json_schema.schema` is required."),
        (
            {"type": "json_schema", "json_schema": {"schema": "canary-prompt"}},
            "Field `response_format.json_schema.schema` should be an object.",
        ),
        (
            {"type": "json_schema", "json_schema": {"schema": {}, "strickt": True}},
            "Did you mean `response_format.json_schema.strict`?",
        ),
        (
            {"type": "json_schema", "json_schema": {"schema": {}, "strict": 1}},
            "Field `response_format.json_schema.strict` should be true or false.",
        ),
        (
            {"type": "json_schema", "json_schema": {"schema": {}, "name": 1}},
            "Field `response_format.json_schema.name` should be a string.",
        ),
    ],
)
def test_a_faulty_response_format_is_refused_by_its_path(api: Api, value: object, words: str) -> None:
    refused(api, {"prompt": CANARY, "response_format": value}, words)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"prompt": "canary-prompt", "prompt": "b"}', "prompt"),
        (b'{"prompt": "canary-prompt", "\\u0070rompt": "b"}', "prompt"),
        (b'{"prompt": "a", "seed": 1, "seed": 1}', "seed"),
        (b'{"prompt": "a", "response_format": {"type": "text", "type": "text"}}', "type"),
        (b'{"prompt": "a", "stop": [{"deep": 1, "deep": 2}]}', "deep"),
    ],
)
def test_a_duplicate_key_is_refused_by_name(api: Api, body: bytes, name: str) -> None:
    refused(api, body, f"Field `{name}` is there twice")


@pytest.mark.parametrize(
    "body",
    [
        rb'{"prompt": "\ud800"}',
        rb'{"prompt": "canary-prompt\udfff canary-prompt"}',
        rb'{"prompt": "\udc00\ud800"}',
        rb'{"prompt": "\ud83e\ud83e\udd99"}',
        rb'{"prompt": "a", "\ud800": 1}',
        rb'{"prompt": "a", "stop": ["b", "\udc00"]}',
        rb'{"prompt": "a", "response_format": {"json_schema": {"schema": {"\ud800": 1}}}}',
        rb'{"prompt": "a", "response_format": {"json_schema": {"schema": {"enum": ["\ud800"]}}}}',
    ],
)
def test_half_a_surrogate_pair_is_refused_anywhere(api: Api, body: bytes) -> None:
    message = refused(api, body, "Field `", "surrogate", "Send both halves.")
    assert ("`prompt`" in message) == (b'"a"' not in body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": "\xff"}',
        b'{"prompt": "caf\xe9"}',
        b'{"prompt": "\xed\xa0\x80"}',
        b'{"prompt": "\xc0\xaf"}',
        b'{"prompt": "\xf0\x9f"}',
        '{"prompt": "é"}'.encode("utf-16"),
    ],
)
def test_invalid_utf8_is_refused(api: Api, body: bytes) -> None:
    refused(api, body, "not valid UTF-8 at byte ")


def test_a_byte_order_mark_is_refused(api: Api) -> None:
    refused(api, b'\xef\xbb\xbf{"prompt": "canary-prompt"}', "byte-order mark")


@pytest.mark.parametrize("depth", [64, 100, 900, 950, 960, 970, 975, 980, 990, 1000, 5000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused(api: Api, depth: int, opening: str, closing: str) -> None:
    inner = opening * depth + ('"\\u0041"' if closing == "]" else "1") + closing * depth
    body = with_prompt(f'"response_format": {inner}')
    if len(body) < MAX_BODY_BYTES:
        refused(api, body, "nested too deeply")


def test_nesting_up_to_the_limit_is_taken(api: Api) -> None:
    schema: dict[str, Any] = {}
    for _ in range(60):
        schema = {"items": schema}
    body = {"prompt": "a", "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    assert api.post(body).status == 200
    assert api.engine.requests[0][1].json_schema == schema


def padded(size: int) -> bytes:
    body = b'{"prompt": "a"}'
    return body + b" " * (size - len(body))


def test_a_body_of_the_limit_is_taken_and_one_byte_more_refused(api: Api) -> None:
    assert api.post(padded(MAX_BODY_BYTES)).status == 200
    api.post(padded(MAX_BODY_BYTES + 1)).assert_error(413, "The body is too large.")
    assert len(api.engine.requests) == 1


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413)])
def test_the_limit_holds_for_a_chunked_body(api: Api, size: int, status: int) -> None:
    environ = {
        "wsgi.input": io.BytesIO(padded(size)),
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
    }
    headers = {"Content-Type": "application/json"}
    assert api.open("POST", "/get-data", key=api.key, headers=headers, environ=environ).status == status


FIELDS = [*WRONG_TYPES, "system prompt", "system_prompt", "temprature", "type", "json_schema", "schema", ""]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["text", "json_schema"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=6,
)
BODIES = VALUES | st.dictionaries(st.sampled_from(FIELDS), VALUES).map(lambda body: {"prompt": "a", **body})


@pytest.fixture(scope="module")
def random_api(make_api: Callable[..., Api]) -> Api:
    return make_api()


@settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES, path=st.sampled_from(PATHS), escaped=st.booleans())
def test_any_json_gets_an_answer_in_the_form_of_the_contract(
    random_api: Api, body: object, path: str, *, escaped: bool
) -> None:
    raw = json.dumps(body, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    reply = random_api.post(raw, path)
    if reply.status != 200:
        assert reply.status in {400, 404, 413}
        reply.assert_error(reply.status)
    assert random_api.engine.running == 0


@settings(max_examples=100, deadline=None, database=None)
@given(body=st.binary(max_size=200))
def test_any_bytes_get_an_answer_in_the_form_of_the_contract(random_api: Api, body: bytes) -> None:
    random_api.post(body).assert_error(400)
