"""Row 6: bodies that hypothesis makes up: no fault of the gateway, and no answer that is not in the description."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.management.conftest import ACME, GOLD
from tests.real.callers import CHAT, COMPLETIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.figures import Figure
    from tests.http.conftest import Log, Reply
    from tests.management.conftest import Admin
    from tests.openapi.conftest import Described
    from tests.server import GatewayServer

SHORT, FULL = 400, 10_500  # over the scripted engine
SHORT_REAL, FULL_REAL = 100, 2_000  # over vLLM

# A word of each kind that a field may take, and more that none does.
TEXTS = st.sampled_from(
    ["", " ", "a", "text", "json_object", "json_schema", "user", "system", "active", "/apis", "week", "\0"]
)
NUMBERS = st.one_of(
    st.integers(-3, 3), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.just(1e308)
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.text(max_size=20))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
RAW = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.integers(1, 2000).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth),
    st.integers(1, 2000).map(lambda depth: b"[" * depth),
    st.integers(1, 6000).map(lambda digits: b'{"seed": ' + b"9" * digits + b"}"),
    VALUES.map(lambda value: json.dumps(value).encode()),
)


def bodies_of(schema: dict[str, Any], resolve: Callable[[dict[str, Any]], dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """Bodies with an operation's own fields, right and wrong, whole and cut; and bodies that are none of its."""

    def objects(of: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
        fields = resolve(of).get("properties", {})
        if not fields or not depth:
            return VALUES
        own = {name: st.one_of(VALUES, objects(inner, depth - 1), likely(inner)) for name, inner in fields.items()}
        required = {name: own.pop(name) for name in resolve(of).get("required", ()) if name in own}
        whole = st.fixed_dictionaries(required, optional=own)
        return st.one_of(
            whole, whole, st.tuples(whole, st.dictionaries(st.text(max_size=9), VALUES, max_size=1)).map(merged)
        )

    def likely(of: dict[str, Any]) -> st.SearchStrategy[Any]:
        found = resolve(of)
        if "enum" in found:
            return st.sampled_from(found["enum"])
        return {"string": TEXTS, "boolean": st.booleans(), "integer": st.integers(-2, 9), "number": NUMBERS}.get(
            str(found.get("type")), VALUES
        )

    written = objects(schema, 3).map(lambda value: json.dumps(value).encode())
    cut = st.tuples(written, st.integers(0, 200)).map(lambda pair: pair[0][: pair[1]])
    twice = written.map(lambda text: text[:-1] + b"," + text[1:])
    return st.one_of(written, written, written, cut, twice, RAW)


def merged(parts: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """Objects in one."""
    return {name: value for part in parts for name, value in part.items()}


def play(check: Callable[[bytes], None], bodies: st.SearchStrategy[bytes], examples: int, *, full: bool) -> None:
    """Check so many bodies: other ones with each full run, the same with each short one."""
    chosen = settings(
        max_examples=examples,
        deadline=None,
        derandomize=not full,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    @chosen
    @given(bodies)
    def one(body: bytes) -> None:
        check(body)

    one()


def test_no_made_up_body_is_a_fault_of_the_gateways(
    admin: Admin, described: Described, log: Log, figure: Figure, *, full: bool
) -> None:
    key = str(admin.subscribe(scope="/products/unlimited")["primaryKey"])
    operations = [
        ("post", "/get-data", "/get-data"),
        ("post", "/system-prompt-get-data", "/system-prompt-get-data"),
        ("post", CHAT, CHAT),
        ("post", COMPLETIONS, COMPLETIONS),
        ("put", "/management/subscriptions/{sid}", f"{ACME}-2"),
        ("patch", "/management/subscriptions/{sid}", f"{ACME}-2"),
        ("put", "/management/products/{pid}", GOLD),
        ("patch", "/management/products/{pid}", GOLD),
        ("post", "/me/regenerateKey", "/me/regenerateKey"),
    ]
    statuses: Counter[int] = Counter()
    fuller = {"/get-data", "/system-prompt-get-data"}  # half of the bodies are prompts
    total = FULL if full else SHORT
    for method, template, path in operations:
        # A key of a caller's own that is replaced is used up: the other one is always replaced.
        headers = {"If-Match": "*", "Authorization": f"Bearer {admin.token}", "Content-Type": "application/json"}
        if not path.startswith("/management"):
            headers["Ocp-Apim-Subscription-Key"] = key
        if method == "put":
            del headers["If-Match"]

        def check(
            body: bytes,
            method: str = method,
            template: str = template,
            path: str = path,
            headers: dict[str, str] = headers,
        ) -> None:
            if path == "/me/regenerateKey" and b'"primary"' in body:
                return
            reply: Reply = admin.api.open(method.upper(), path, body=body, headers=headers)
            statuses[reply.status] += 1
            described.check(method, template, reply)
            assert reply.status < 500

        examples = total // 4 if path in fuller else total // 14
        play(check, bodies_of(described.body_schema(method, template), described.resolve), examples, full=full)
    figure(
        6,
        f"{statuses.total()} bodies: {', '.join(f'{count} of {status}' for status, count in sorted(statuses.items()))}",
    )
    assert statuses[200] > 0
    assert statuses[400] > 0
    assert "Traceback" not in log.text
    assert admin.api.engine.running == 0


# Fields of OpenAI's that vLLM reads, any of which may hold anything.
FIELDS = [
    "best_of",
    "echo",
    "frequency_penalty",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "min_tokens",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_logprobs",
    "repetition_penalty",
    "response_format",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "suffix",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "user",
    "reasoning_effort",
    "min_p",
    "stop_token_ids",
    "bad_words",
    "structured_outputs",
]
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant", "tool"]) | LEAVES},
        optional={"content": VALUES, "tool_calls": VALUES, "name": VALUES},
    ),
    max_size=3,
)
# What a field takes, and what some field or other takes: several of the first and perhaps one of the second get far.
RIGHT = {
    "echo": True,
    "frequency_penalty": 1.5,
    "logit_bias": {"1": 5},
    "logprobs": True,
    "min_p": 0.5,
    "min_tokens": 1,
    "n": 2,
    "presence_penalty": -1,
    "prompt_logprobs": 1,
    "repetition_penalty": 1.5,
    "response_format": {"type": "json_object"},
    "seed": 1,
    "stop": ["a"],
    "stream": True,
    "temperature": 2,
    "top_k": 1,
    "top_p": 0.5,
    "user": "a",
}
LIKELY = [
    *(0, 1, 2, -1, 0.5, 1.5, 10**6, True, False, None),
    *("", "a", "auto", "none", "required", "low"),
    *([], ["a"], [1], {}, {"1": 5}, {"include_usage": True}),
    *({"type": "text"}, {"type": "json_object"}, {"json": {"type": "object"}}),
    *([{"type": "function", "function": {"name": "a"}}], {"type": "function", "function": {"name": "a"}}),
]
PROMPTS: list[dict[str, Any]] = [{"messages": [{"role": "user", "content": "a"}]}, {"prompt": "a"}]
NEARLY_RIGHT = st.tuples(
    st.sampled_from(PROMPTS).map(lambda prompt: {**prompt, "max_tokens": 1}),
    st.lists(st.sampled_from(sorted(RIGHT)), max_size=3).map(lambda names: {name: RIGHT[name] for name in names}),
    st.just({}) | st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(LIKELY), max_size=1),
).map(merged)
REQUESTS = st.one_of(
    NEARLY_RIGHT,
    NEARLY_RIGHT,
    st.fixed_dictionaries(
        {"messages": TURNS | VALUES | st.just([{"role": "user", "content": "a"}]), "max_tokens": st.just(1) | LEAVES},
        optional=dict.fromkeys(FIELDS, VALUES),
    ),
    st.fixed_dictionaries(
        {"prompt": st.just("a") | VALUES, "max_tokens": st.just(1)},
        optional=dict.fromkeys(FIELDS, VALUES),
    ),
).map(lambda value: json.dumps(value).encode())


def test_no_made_up_body_is_a_fault_of_vllms(
    gateway_server: GatewayServer, described: Described, figure: Figure, *, full: bool
) -> None:
    statuses: Counter[int] = Counter()

    def check(body: bytes) -> None:
        path = CHAT if b'"messages"' in body else COMPLETIONS
        reply = gateway_server.post(path, body)
        statuses[reply.status] += 1
        assert reply.status < 500, reply.content
        if reply.status >= 400:
            schema = described.document["components"]["schemas"]["OpenAIErrorBody"]
            assert described.faults(schema, reply.json, strict=True) == []
        elif reply.headers["Content-Type"].startswith("text/event-stream"):
            assert reply.content.endswith(b"data: [DONE]\n\n"), reply.content

    play(check, REQUESTS, FULL_REAL if full else SHORT_REAL, full=full)
    told = ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))
    figure(6, f"{statuses.total()} bodies of OpenAI's API on vLLM: {told}")
    assert statuses[400] > 0
    assert statuses[200] > statuses.total() // 25
    assert gateway_server.post(CHAT, {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}).status == 200
