"""The tables as the code sees them. The migrations make them; a test proves that both say the same."""

from __future__ import annotations

import secrets
from datetime import datetime  # noqa: TC003 - SQLAlchemy reads the annotations below

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Named,
    String,
    Table,
    TypedColumns,
    UniqueConstraint,
)

from gateway.store.columns import UtcDateTime

ID_LENGTH = 80
NAME_LENGTH = 100


def first_revision() -> int:
    """The revision of a new row: random, so that what is made anew under an old id has none of the old revisions."""
    return 1 + secrets.randbits(40)


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
    revision: Named[int] = Column(BigInteger, default=first_revision, server_default="1")


class SubscriptionColumns(TypedColumns):
    """Who may call; a subscription without a product has the scope of all products."""

    id: Named[str] = Column(String(ID_LENGTH), primary_key=True)
    name: Named[str] = Column(String(NAME_LENGTH))
    product_id: Named[str | None] = Column(String(ID_LENGTH), ForeignKey("products.id"), index=True)
    state: Named[str] = Column(String(10))
    created_at: Named[datetime] = Column(UtcDateTime)
    starts_at: Named[datetime | None] = Column(UtcDateTime)
    expires_at: Named[datetime | None] = Column(UtcDateTime)
    ended_at: Named[datetime | None] = Column(UtcDateTime)
    revision: Named[int] = Column(BigInteger, default=first_revision, server_default="1")


class KeyColumns(TypedColumns):
    """The keys, one row each, so that one unique index keeps primary and secondary keys apart as well."""

    subscription_id: Named[str] = Column(
        String(ID_LENGTH), ForeignKey("subscriptions.id", ondelete="CASCADE"), primary_key=True
    )
    slot: Named[str] = Column(String(9), primary_key=True)
    digest: Named[bytes] = Column(LargeBinary(32))


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
