"""The bodies of management, from JSON to the gateway's types."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import RAISE, Schema, fields, post_load
from marshmallow.validate import Length, OneOf, Range, Regexp

from app.schemas import Boolean, Integer, Text
from gateway.keys import KEY_PATTERN
from gateway.periods import Period
from gateway.products import ID_PATTERN, LARGEST, LONGEST_NAME, LONGEST_RENEWAL, Quota, Rate, is_id
from gateway.subscription import State
from gateway.traces import TRACE_ID_PATTERN

_COUNT = Range(1, LARGEST)
_SOME = Length(min=1, error="should have at least one name, or be null for all models")
_LARGEST_PRIORITY = 2**31 - 1
_NAME = {
    "pattern": r"\S",
    "description": f"1 to {LONGEST_NAME} printable characters; white space around them is cut off",
}
_KEY = {"pattern": f"^{KEY_PATTERN}$", "description": "made where it is absent"}
_PRODUCT_SCOPE = "/products/"
_ALL_PRODUCTS_SCOPE = "/apis"


class Moment(fields.Field[datetime]):
    """A date and time of RFC 3339, with its time zone."""

    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "should be a date and time with a time zone, such as 2030-01-31T00:00:00Z",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        del attr, data, kwargs
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise self.make_error("invalid")
            return moment.astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            raise self.make_error("invalid") from None


class Scope(fields.Field["str | None"]):
    """`/products/{pid}`, or `/apis` for all products. Loads to the product's id, or None for all."""

    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "should be /products/ and the id of a product, or /apis for all products",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        del attr, data, kwargs
        if value == _ALL_PRODUCTS_SCOPE:
            return None
        product = value.removeprefix(_PRODUCT_SCOPE) if isinstance(value, str) else ""
        if product == value or not is_id(product):
            raise self.make_error("invalid")
        return product

    @property
    def pattern(self) -> str:
        """What it takes, as a regular expression."""
        return f"^({_ALL_PRODUCTS_SCOPE}|{_PRODUCT_SCOPE}{ID_PATTERN})$"


def scope(product: str | None) -> str:
    """What `Scope` loads, for answers."""
    return _ALL_PRODUCTS_SCOPE if product is None else _PRODUCT_SCOPE + product


_FOLLOWS = {"readOnly": True, "description": "follows from the path"}


class EnvelopeSchema(Schema):
    """What every resource has around its `properties`; in a request it may be left out."""

    class Meta:
        unknown = RAISE

    id = Text(metadata=_FOLLOWS)
    type = Text(metadata=_FOLLOWS)
    name = Text(metadata=_FOLLOWS)


class SubscriptionChanges(Schema):
    """`properties` of a PATCH. Loads to the fields of `Details` that are given, and the two that are read-only."""

    class Meta:
        unknown = RAISE

    name = Text(data_key="displayName", metadata=_NAME)
    product = Scope(data_key="scope")
    state = Text(validate=OneOf([state.value for state in State]))
    starts_at = Moment(data_key="startDate", allow_none=True)
    expires_at = Moment(data_key="expirationDate", allow_none=True)
    created_at = Moment(data_key="createdDate", allow_none=True)
    ended_at = Moment(data_key="endDate", allow_none=True)

    @post_load
    def _to_state(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**data, "state": State(data["state"])} if "state" in data else data


class SubscriptionProperties(SubscriptionChanges):
    """`properties` of a PUT."""

    name = Text(data_key="displayName", required=True, metadata=_NAME)
    product = Scope(data_key="scope", required=True)
    primary_key = Text(data_key="primaryKey", metadata=_KEY)
    secondary_key = Text(data_key="secondaryKey", metadata=_KEY)


class SubscriptionPut(EnvelopeSchema):
    """The body that makes or replaces a subscription."""

    properties = fields.Nested(SubscriptionProperties, required=True)


class SubscriptionPatch(EnvelopeSchema):
    """The body that changes a subscription."""

    properties = fields.Nested(SubscriptionChanges, required=True)


class RateSchema(Schema):
    """Calls in any so many seconds."""

    class Meta:
        unknown = RAISE

    calls = Integer(required=True, validate=_COUNT)
    seconds = Integer(load_default=60, validate=Range(1, LONGEST_RENEWAL))

    @post_load
    def _to_rate(self, data: dict[str, Any], **_: Any) -> Rate:
        return Rate(**data)


class QuotaSchema(Schema):
    """Calls or tokens in each period."""

    class Meta:
        unknown = RAISE

    amount = Integer(required=True, validate=_COUNT)
    period = Text(required=True, validate=OneOf([period.value for period in Period]))

    @post_load
    def _to_quota(self, data: dict[str, Any], **_: Any) -> Quota:
        return Quota(data["amount"], Period(data["period"]))


class ProductChanges(Schema):
    """`properties` of a PATCH: loads to the name and the fields of `Limits` that are given; null lifts a limit."""

    class Meta:
        unknown = RAISE

    name = Text(data_key="displayName", metadata=_NAME)
    rate = fields.Nested(RateSchema, allow_none=True)
    call_quota = fields.Nested(QuotaSchema, data_key="callQuota", allow_none=True)
    tokens_per_minute = Integer(data_key="tokensPerMinute", validate=_COUNT, allow_none=True)
    token_quota = fields.Nested(QuotaSchema, data_key="tokenQuota", allow_none=True)
    max_concurrency = Integer(data_key="maxConcurrency", validate=_COUNT, allow_none=True)
    max_tokens = Integer(data_key="maxTokens", validate=_COUNT, allow_none=True)
    models = fields.List(Text(), validate=_SOME, allow_none=True)
    priority = Integer(validate=Range(-_LARGEST_PRIORITY, _LARGEST_PRIORITY), allow_none=True)
    shared_cache = Boolean(data_key="sharedCache")

    @post_load
    def _to_tuple(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**data, "models": tuple(data["models"])} if data.get("models") is not None else data


class ProductProperties(ProductChanges):
    """`properties` of a PUT: a limit that is not given is no limit."""

    name = Text(data_key="displayName", required=True, metadata=_NAME)


class ProductPut(EnvelopeSchema):
    """The body that makes or replaces a product."""

    properties = fields.Nested(ProductProperties, required=True)


class ProductPatch(EnvelopeSchema):
    """The body that changes a product."""

    properties = fields.Nested(ProductChanges, required=True)


class Lifetime(fields.Field[timedelta]):
    """A duration of ISO 8601, from one second to one hour."""

    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": "should be an ISO 8601 duration such as PT30M, of 1 second at least and 1 hour (PT1H) at most",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> timedelta:
        del attr, data, kwargs
        found = re.fullmatch(self.pattern, value) if isinstance(value, str) else None
        if found is None:
            raise self.make_error("invalid")
        numbers = {unit: int(number) for number, unit in re.findall("([0-9]+)([HMS])", found[0])}
        return timedelta(hours=numbers.get("H", 0), minutes=numbers.get("M", 0), seconds=numbers.get("S", 0))

    @property
    def pattern(self) -> str:
        """What it takes, as a regular expression."""
        sixty, hour = "([1-9]|[1-5][0-9])", "([1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2}|3600)"
        return f"^PT(1H|({sixty}|60)M|{sixty}M{sixty}S|{hour}S)$"


class ListDebugCredentials(Schema):
    """For how long, and what for, a debug token shall be."""

    class Meta:
        unknown = RAISE

    lifetime = Lifetime(
        data_key="credentialsExpireAfter",
        metadata={"description": "ISO 8601; at most `PT1H`, which it is without it"},
    )
    purposes = fields.List(Text(validate=OneOf(["tracing"])), validate=Length(equal=1))


class ListTrace(Schema):
    """Which trace."""

    class Meta:
        unknown = RAISE

    traceId = Text(  # noqa: N815 - Azure API Management's name
        required=True,
        validate=Regexp(f"^{TRACE_ID_PATTERN}$", error="should be the value of an answer's header Apim-Trace-Id"),
        metadata={"description": "the value of an answer's header `Apim-Trace-Id`"},
    )
