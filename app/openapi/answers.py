"""The bodies of answers, to describe them; the tests hold real answers against them.

Answers may get further fields, so that these schemas are open where those of requests are closed.
"""

from __future__ import annotations

from typing import get_args

from marshmallow import EXCLUDE, Schema, fields
from marshmallow.validate import Equal, OneOf, Range, Regexp

from app.management.schemas import EnvelopeSchema, Moment, QuotaSchema, RateSchema, Scope
from app.schemas import Boolean, Integer, Number, Text
from gateway.engine import Phase
from gateway.keys import KEY_PATTERN
from gateway.subscription import State
from gateway.traces import TRACE_ID_PATTERN

_COUNT = Range(min=0)
_KEY = Regexp(f"^{KEY_PATTERN}$")
_STATES = OneOf([state.value for state in State])


class _Answer(Schema):
    class Meta:
        unknown = EXCLUDE


def _count(description: str = "") -> Integer:
    return Integer(required=True, validate=_COUNT, metadata={"description": description} if description else {})


def _trace_id() -> Text:
    return Text(
        required=True,
        validate=Regexp(r"^[0-9a-f]{32}$"),
        metadata={"description": "the W3C trace id, as in the header X-Trace-Id"},
    )


class TokenUsage(_Answer):
    """Real token ids: those given to the engine, and those that it produced."""

    prompt_tokens = _count()
    completion_tokens = _count()
    total_tokens = _count()


class _GetDataEnd(_Answer):
    status = Integer(required=True, validate=Equal(200))
    generated_text = Text(required=True)
    model = Text(required=True)
    finish_reason = Text(required=True, validate=OneOf(["stop", "length"]))
    usage = fields.Nested(TokenUsage, required=True)
    traceId = _trace_id()  # noqa: N815 - the contract's name


class GetDataAnswer(_GetDataEnd):
    """The answer of both Get Data operations."""

    content_type = Text(data_key="content-type", required=True, validate=Equal("application/json"))


class GetDataPiece(_Answer):
    """An event with the next piece of the text."""

    generated_text = Text(required=True)


class GetDataStreamEnd(_GetDataEnd):
    """The last event before `[DONE]`; its text is empty."""

    generated_text = Text(required=True, validate=Equal(""))


class ErrorBody(_Answer):
    """What every failure answers with."""

    code = Integer(required=True, validate=Range(400, 599), metadata={"description": "the HTTP status"})
    message = Text(required=True, metadata={"description": "what is wrong, and what to do next"})
    traceId = _trace_id()  # noqa: N815


class OpenAIErrorObject(_Answer):
    """OpenAI's own form of an error."""

    message = Text(required=True)
    type = Text(required=True)
    param = Text(required=True, allow_none=True)
    code = Text(required=True, allow_none=True)


class OpenAIErrorBody(ErrorBody):
    """What every failure below `/v1` and `/openai` answers with: the gateway's form, and OpenAI's beside it."""

    error = fields.Nested(OpenAIErrorObject, required=True)


class OpenAIUsage(TokenUsage):
    """Real token ids, in OpenAI's form."""


class _Completion(_Answer):
    id = Text(required=True)
    choices = fields.List(fields.Dict(), required=True)


class ChatCompletion(_Completion):
    """OpenAI's `chat.completion`, as vLLM writes it."""

    object = Text(validate=Equal("chat.completion"))
    created = Integer()
    model = Text()
    usage = fields.Nested(OpenAIUsage)


class ChatCompletionChunk(_Completion):
    """OpenAI's `chat.completion.chunk`: an event of a stream, as vLLM writes it."""

    object = Text(validate=Equal("chat.completion.chunk"))
    created = Integer()
    model = Text()
    usage = fields.Nested(OpenAIUsage, allow_none=True)


class Completion(_Completion):
    """OpenAI's `text_completion`, as vLLM writes it, and an event of its stream."""

    object = Text(validate=Equal("text_completion"))
    created = Integer()
    model = Text()
    usage = fields.Nested(OpenAIUsage, allow_none=True)


class Model(_Answer):
    """A model that requests may name."""

    id = Text(required=True)
    object = Text(required=True, validate=Equal("model"))
    created = Integer(required=True, metadata={"description": "Unix time at which the engine was up"})
    owned_by = Text(required=True)
    root = Text(required=True)
    parent = Text(required=True, allow_none=True)
    max_model_len = Integer(
        required=True, validate=Range(min=1), metadata={"description": "most tokens of prompt and answer together"}
    )


class ModelList(_Answer):
    """The models that requests may name, the default first."""

    object = Text(required=True, validate=Equal("list"))
    data = fields.List(fields.Nested(Model), required=True)


class Live(_Answer):
    """The process answers."""

    status = Text(required=True, validate=Equal("live"))


class Ready(_Answer):
    """A prompt would be answered."""

    status = Text(required=True, validate=Equal("ready"))
    phase = Text(required=True)
    step = _count()
    steps = _count()


class NotReadyBody(ErrorBody):
    """A prompt would not be answered yet, and how far loading is."""

    phase = Text(required=True)
    step = _count()
    steps = _count()
    elapsedSeconds = Number(required=True, validate=_COUNT)  # noqa: N815


class LimitsShown(_Answer):
    """The limits of a product; null where there is no such limit."""

    rate = fields.Nested(RateSchema, required=True, allow_none=True)
    call_quota = fields.Nested(QuotaSchema, data_key="callQuota", required=True, allow_none=True)
    tokens_per_minute = Integer(data_key="tokensPerMinute", required=True, allow_none=True)
    token_quota = fields.Nested(QuotaSchema, data_key="tokenQuota", required=True, allow_none=True)
    max_concurrency = Integer(data_key="maxConcurrency", required=True, allow_none=True)
    max_tokens = Integer(data_key="maxTokens", required=True, allow_none=True)
    models = fields.List(Text(), required=True, allow_none=True)
    priority = Integer(required=True, allow_none=True)
    shared_cache = Boolean(data_key="sharedCache", required=True)


class Left(_Answer):
    """What a limit leaves now."""

    limit = _count()
    remaining = Integer(required=True)
    resetSeconds = Number(  # noqa: N815
        required=True, allow_none=True, metadata={"description": "until it begins anew; null where it never does"}
    )


class LeftOfLimits(_Answer):
    """What the limits leave now; one that the product does not have is absent."""

    rate = fields.Nested(Left)
    callQuota = fields.Nested(Left)  # noqa: N815
    tokensPerMinute = fields.Nested(Left)  # noqa: N815
    tokenQuota = fields.Nested(Left)  # noqa: N815
    maxConcurrency = fields.Nested(Left)  # noqa: N815


class MySubscription(_Answer):
    """The caller's own subscription."""

    id = Text(required=True)
    displayName = Text(required=True)  # noqa: N815
    product = Text(required=True, allow_none=True, metadata={"description": "null for all products, without limits"})
    state = Text(required=True, validate=_STATES)
    startDate = Moment(required=True, allow_none=True)  # noqa: N815
    expirationDate = Moment(required=True, allow_none=True)  # noqa: N815
    keyUsed = Text(required=True, validate=OneOf(["primary", "secondary"]))  # noqa: N815
    limits = fields.Nested(LimitsShown, required=True)
    left = fields.Nested(LeftOfLimits, required=True)


class UsageSum(_Answer):
    """The usage of some calls that have ended."""

    calls = _count("those that failed among them")
    failedCalls = _count("told a status of 400 or more, or hung up")  # noqa: N815
    promptTokens = _count()  # noqa: N815
    cachedTokens = _count()  # noqa: N815
    completionTokens = _count()  # noqa: N815
    deliveredTokens = _count()  # noqa: N815
    totalTokens = _count()  # noqa: N815


class UsageRow(UsageSum):
    """The usage of calls that have in common what `by` asked for."""

    day = Text()
    subscription = Text()
    product = Text(allow_none=True)
    model = Text(allow_none=True)
    operation = Text()


class UsageReport(_Answer):
    """Usage, summed."""

    value = fields.List(fields.Nested(UsageRow), required=True)
    count = _count()
    total = fields.Nested(UsageSum, required=True)


class EngineActivity(_Answer):
    """The engine, as all workers use it. What only the engine knows is null while it is away."""

    ready = Boolean(required=True, metadata={"description": "whether a prompt would be answered"})
    state = Text(required=True, validate=OneOf(get_args(Phase)))
    step = _count("how far it is with loading, of `steps`")
    steps = _count()
    models = fields.List(
        Text(), required=True, metadata={"description": "what requests may name; the first is the default"}
    )
    requestsInProgress = _count("that the gateway is answering, probes apart")  # noqa: N815
    requestsRunning = Integer(  # noqa: N815
        required=True, allow_none=True, validate=_COUNT, metadata={"description": "that the engine works on"}
    )
    requestsWaiting = Integer(  # noqa: N815
        required=True, allow_none=True, validate=_COUNT, metadata={"description": "that stand in the engine's queue"}
    )
    kvCacheUsage = Number(  # noqa: N815
        required=True,
        allow_none=True,
        validate=Range(0, 1),
        metadata={"description": "the share of the KV cache that requests hold"},
    )
    tokensPerSecond = Number(  # noqa: N815
        required=True,
        allow_none=True,
        validate=_COUNT,
        metadata={"description": "that the engine wrote in the last `windowSeconds`"},
    )
    windowSeconds = Number(required=True, validate=_COUNT)  # noqa: N815


class PrimaryKey(_Answer):
    """A new primary key, shown this once."""

    primaryKey = Text(required=True, validate=_KEY)  # noqa: N815


class SecondaryKey(_Answer):
    """A new secondary key, shown this once."""

    secondaryKey = Text(required=True, validate=_KEY)  # noqa: N815


class NewKey(_Answer):
    """The new key, shown this once: the one of the two that was asked for."""

    JSON_SCHEMA = {"oneOf": [{"required": ["primaryKey"]}, {"required": ["secondaryKey"]}]}  # noqa: RUF012

    primaryKey = Text(validate=_KEY)  # noqa: N815
    secondaryKey = Text(validate=_KEY)  # noqa: N815


class DebugCredentials(_Answer):
    """A debug token, for the caller to send in the header `Apim-Debug-Authorization`."""

    token = Text(required=True)
    expirationDate = Moment(required=True)  # noqa: N815


class TraceEntry(_Answer):
    """A step of a request."""

    source = Text(required=True, metadata={"description": "what it was"})
    inside = Text(metadata={"description": "the step that it was a part of, where it was of one"})
    timestamp = Moment(required=True, metadata={"description": "when it began"})
    elapsed = Text(required=True, metadata={"description": "since the request began, as `hh:mm:ss.fffffff`"})
    duration = Text(metadata={"description": "how long it took"})
    data = fields.Dict(required=True, metadata={"description": "what was found and decided: numbers and fixed words"})


class TraceEntries(_Answer):
    """The steps of a request, in the order in which they began."""

    inbound = fields.List(fields.Nested(TraceEntry), required=True)
    backend = fields.List(fields.Nested(TraceEntry), required=True)
    outbound = fields.List(fields.Nested(TraceEntry), required=True)


class Trace(_Answer):
    """What happened to a request."""

    traceId = Text(  # noqa: N815
        required=True, validate=Regexp(f"^{TRACE_ID_PATTERN}$"), metadata={"description": "as in Apim-Trace-Id"}
    )
    requestTraceId = _trace_id()  # noqa: N815
    subscription = Text(required=True)
    product = Text(required=True)
    operation = Text(required=True)
    status = Integer(required=True, metadata={"description": "of the answer; 499 for a caller that hung up"})
    duration = Text(required=True)
    stepsLeftOut = Integer(metadata={"description": "how many steps were too many to be kept"})  # noqa: N815
    traceEntries = fields.Nested(TraceEntries, required=True)  # noqa: N815


class _Resource(EnvelopeSchema):
    class Meta:
        unknown = EXCLUDE

    id = Text(required=True)
    type = Text(required=True)
    name = Text(required=True)


class SubscriptionShown(_Answer):
    """`properties` of a subscription."""

    displayName = Text(required=True)  # noqa: N815
    scope = Scope(required=True)
    state = Text(required=True, validate=_STATES)
    createdDate = Moment(required=True)  # noqa: N815
    startDate = Moment(required=True, allow_none=True)  # noqa: N815
    expirationDate = Moment(required=True, allow_none=True)  # noqa: N815
    endDate = Moment(required=True, allow_none=True)  # noqa: N815


class SubscriptionMade(SubscriptionShown):
    """`properties` of a new subscription: both keys, shown this once."""

    primaryKey = Text(required=True, validate=_KEY)  # noqa: N815
    secondaryKey = Text(required=True, validate=_KEY)  # noqa: N815


class Subscription(_Resource):
    """A subscription, without its keys."""

    properties = fields.Nested(SubscriptionShown, required=True)


class NewSubscription(_Resource):
    """A subscription that was just made, with its keys."""

    properties = fields.Nested(SubscriptionMade, required=True)


class ProductShown(LimitsShown):
    """`properties` of a product."""

    displayName = Text(required=True)  # noqa: N815


class Product(_Resource):
    """A named set of limits."""

    properties = fields.Nested(ProductShown, required=True)


class _Page(_Answer):
    count = _count("in all, not on this page")
    nextLink = fields.Url(metadata={"description": "the next page; absent on the last one"})  # noqa: N815


class SubscriptionPage(_Page):
    """A page of subscriptions."""

    value = fields.List(fields.Nested(Subscription), required=True)


class ProductPage(_Page):
    """A page of products."""

    value = fields.List(fields.Nested(Product), required=True)


class Description(_Answer):
    """An OpenAPI document."""

    openapi = Text(required=True)
    info = fields.Dict(required=True)
    paths = fields.Dict(required=True)
    components = fields.Dict(required=True)
