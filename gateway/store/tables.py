"""The tables as the code sees them. The migrations make them; a test proves that both say the same."""

from __future__ import annotations

import secrets
from datetime import datetime  # noqa: TC003 - SQLAlchemy reads the annotations below

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Named,
    String,
    Table,
    Text,
    TypedColumns,
    UniqueConstraint,
    false,
)

from gateway.store.columns import UtcDateTime

ID_LENGTH = 80
NAME_LENGTH = 100
MODEL_LENGTH = 200


def first_revision() -> int:
    """The revision of a new row: random, so that what is made anew under an old id has none of the old revisions."""
    return 1 + secrets.randbits(40)


def new_account() -> int:
    """The account of a new subscription: random, so that none of those that had its id before it had the same."""
    return 1 + secrets.randbits(62)


metadata = MetaData(
    # Names that do not depend on the database, so that a later migration can speak of a constraint.
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    },
)


class ProductColumns(TypedColumns):
    """A named set of limits; NULL is "no such limit". A count and its period are there together or not."""

    id: Named[str] = Column(String(ID_LENGTH), primary_key=True)
    name: Named[str] = Column(String(NAME_LENGTH))
    rate_calls: Named[int | None] = Column(BigInteger)
    rate_seconds: Named[int | None] = Column(Integer)
    call_quota: Named[int | None] = Column(BigInteger)
    call_quota_period: Named[str | None] = Column(String(10))
    tokens_per_minute: Named[int | None] = Column(BigInteger)
    token_quota: Named[int | None] = Column(BigInteger)
    token_quota_period: Named[str | None] = Column(String(10))
    max_concurrency: Named[int | None] = Column(BigInteger)
    max_tokens: Named[int | None] = Column(BigInteger)
    models: Named[list[str] | None] = Column(JSON(none_as_null=True))
    priority: Named[int | None] = Column(Integer)
    shared_cache: Named[bool] = Column(Boolean, default=False, server_default=false())
    revision: Named[int] = Column(BigInteger, default=first_revision, server_default="1")


class SubscriptionColumns(TypedColumns):
    """Who may call; a subscription without a product has the scope of all products.

    `account` tells it from those that had its id before; those that were made before there were accounts have 0.
    """

    id: Named[str] = Column(String(ID_LENGTH), primary_key=True)
    name: Named[str] = Column(String(NAME_LENGTH))
    product_id: Named[str | None] = Column(String(ID_LENGTH), ForeignKey("products.id"), index=True)
    state: Named[str] = Column(String(10))
    created_at: Named[datetime] = Column(UtcDateTime)
    starts_at: Named[datetime | None] = Column(UtcDateTime)
    expires_at: Named[datetime | None] = Column(UtcDateTime)
    ended_at: Named[datetime | None] = Column(UtcDateTime)
    revision: Named[int] = Column(BigInteger, default=first_revision, server_default="1")
    account: Named[int] = Column(BigInteger, default=new_account, server_default="0")


class KeyColumns(TypedColumns):
    """The keys, one row each, so that one unique index keeps primary and secondary keys apart as well."""

    subscription_id: Named[str] = Column(
        String(ID_LENGTH), ForeignKey("subscriptions.id", ondelete="CASCADE"), primary_key=True
    )
    slot: Named[str] = Column(String(9), primary_key=True)
    digest: Named[bytes] = Column(LargeBinary(32))


class CallColumns(TypedColumns):
    """The usage ledger: a row for each call, also of subscriptions that are gone. `ended_at` is NULL while it runs.

    `account` is the subscription's, since several may have had its id. `reserved` is what its tokens may come to; 0
    once it has ended. `beat` goes on while its process lives. `day` is `started_at`'s, in UTC, for sums.
    """

    id: Named[str] = Column(String(32), primary_key=True)
    trace_id: Named[str] = Column(String(32))
    subscription_id: Named[str] = Column(String(ID_LENGTH))
    key_slot: Named[str] = Column(String(9))
    product_id: Named[str] = Column(String(ID_LENGTH))
    operation: Named[str] = Column(String(40))
    model: Named[str | None] = Column(String(MODEL_LENGTH))
    started_at: Named[datetime] = Column(UtcDateTime)
    day: Named[str] = Column(String(10))
    ended_at: Named[datetime | None] = Column(UtcDateTime)
    beat: Named[int] = Column(Integer)
    reserved: Named[int] = Column(BigInteger)
    prompt_tokens: Named[int] = Column(BigInteger)
    cached_tokens: Named[int] = Column(BigInteger)
    completion_tokens: Named[int] = Column(BigInteger)
    delivered_tokens: Named[int] = Column(BigInteger)
    status: Named[int | None] = Column(Integer)
    finish_reason: Named[str | None] = Column(String(20))
    first_token_seconds: Named[float | None] = Column(Float)
    duration_seconds: Named[float | None] = Column(Float)
    account: Named[int] = Column(BigInteger, server_default="0")


class QuotaUseColumns(TypedColumns):
    """What a window of a quota has used: a sum over the ledger, kept so that it is not made at each call.

    With the period `minute` it is of the calls that ended after `ends_at`, see `quota_rows.tokens_ended`.
    """

    subscription_id: Named[str] = Column(String(ID_LENGTH), primary_key=True)
    account: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False, server_default="0")
    kind: Named[str] = Column(String(6), primary_key=True)
    period: Named[str] = Column(String(10), primary_key=True)
    starts_at: Named[datetime] = Column(UtcDateTime, primary_key=True)
    ends_at: Named[datetime | None] = Column(UtcDateTime)
    used: Named[int] = Column(BigInteger)


class CallRateColumns(TypedColumns):
    """Calls in the windows of call rates, by subscription, numbered without a gap; `at` in microseconds since 1970."""

    key: Named[str] = Column(String(ID_LENGTH), primary_key=True)
    number: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    at: Named[int] = Column(BigInteger, index=True)


class KeptAnswerColumns(TypedColumns):
    """Calls with an Idempotency-Key: whose it is, and its answer once it has one. Nothing of it in the clear.

    `key_digest` and `fingerprint` stand for the key and for the request. `call_id` is the row of `calls` that runs or
    ran for it. `made_at` is when it was begun, and later when its answer was kept.
    """

    subscription_id: Named[str] = Column(
        String(ID_LENGTH), ForeignKey("subscriptions.id", ondelete="CASCADE"), primary_key=True
    )
    key_digest: Named[bytes] = Column(LargeBinary(32), primary_key=True)
    fingerprint: Named[bytes] = Column(LargeBinary(32))
    call_id: Named[str] = Column(String(32))
    made_at: Named[datetime] = Column(UtcDateTime, index=True)
    answer: Named[bytes | None] = Column(LargeBinary)


class TraceColumns(TypedColumns):
    """The debug traces of requests: `document` is JSON, without anything that a caller or the model wrote."""

    id: Named[str] = Column(String(32), primary_key=True)
    subscription_id: Named[str] = Column(String(ID_LENGTH), ForeignKey("subscriptions.id", ondelete="CASCADE"))
    made_at: Named[datetime] = Column(UtcDateTime, index=True)
    document: Named[str] = Column(Text)


products = Table(
    "products",
    metadata,
    ProductColumns,
    CheckConstraint("(rate_calls IS NULL) = (rate_seconds IS NULL)", name="rate"),
    CheckConstraint("(call_quota IS NULL) = (call_quota_period IS NULL)", name="call_quota"),
    CheckConstraint("(token_quota IS NULL) = (token_quota_period IS NULL)", name="token_quota"),
)
subscriptions = Table("subscriptions", metadata, SubscriptionColumns)
keys = Table(
    "subscription_keys",
    metadata,
    KeyColumns,
    UniqueConstraint("digest"),
    CheckConstraint("slot IN ('primary', 'secondary')", name="slot"),
)
calls = Table("calls", metadata, CallColumns)
Index("ix_calls_started", calls.c.subscription_id, calls.c.started_at)
# Serves both those that ended lately and those that run. What is summed of those that ended is in the index: to look
# at each row takes several times as long.
Index(
    "ix_calls_ended",
    calls.c.subscription_id,
    calls.c.account,
    calls.c.ended_at,
    calls.c.prompt_tokens,
    calls.c.completion_tokens,
)
_RUNS = calls.c.ended_at.is_(None)
Index("ix_calls_running", calls.c.id, sqlite_where=_RUNS, postgresql_where=_RUNS)
quota_use = Table(
    "quota_use",
    metadata,
    QuotaUseColumns,
    CheckConstraint("kind IN ('calls', 'tokens')", name="kind"),
    CheckConstraint("used >= 0", name="used"),
)
call_rates = Table("call_rates", metadata, CallRateColumns)
kept_answers = Table("kept_answers", metadata, KeptAnswerColumns)
traces = Table("traces", metadata, TraceColumns)
Index("ix_traces_newest", traces.c.subscription_id, traces.c.made_at)
