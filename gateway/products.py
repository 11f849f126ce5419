"""Products: named sets of limits that subscriptions are made for. Keeps them; does not enforce them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.errors import ConflictError, InvalidRequestError, NotFoundError
from gateway.periods import Period
from gateway.revisions import require, unconditionally
from gateway.store import ConstraintError, product_rows
from gateway.store.tables import ID_LENGTH, NAME_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Row

    from gateway.revisions import Condition
    from gateway.store import Store

LARGEST = 2**53 - 1
"""The largest limit: beyond it, a JSON number is no longer exact in every client."""

LONGEST_RENEWAL = 86_400
"""The longest window of a call rate, in seconds; what is longer is a quota."""

_LARGEST_PRIORITY = 2**31 - 1
_LONGEST_MODEL_NAME = 200

LONGEST_NAME = NAME_LENGTH
"""The most characters of a display name."""

ID_PATTERN = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{ID_LENGTH - 1}}}"
"""What the id of a product or a subscription is, as a regular expression."""

_ID = re.compile(ID_PATTERN)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `calls` calls in any `seconds` seconds. Raises InvalidRequestError."""

    calls: int
    seconds: int = 60

    def __post_init__(self) -> None:
        _check_count("rate", self.calls)
        _check_count("rate period in seconds", self.seconds, LONGEST_RENEWAL)


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `amount` calls or tokens in each `period`. Raises InvalidRequestError."""

    amount: int
    period: Period

    def __post_init__(self) -> None:
        _check_count("quota", self.amount)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a product grants; None is "no such limit". Raises InvalidRequestError.

    Attributes:
        rate: calls per minute, or per another short time.
        call_quota: calls per period.
        tokens_per_minute: tokens of prompts and answers together.
        token_quota: the same per period.
        max_concurrency: calls at a time.
        max_tokens: the most that one request may have generated, in tokens.
        models: the names that requests may use; at least one.
        priority: the engine's: a smaller number goes first.
        shared_cache: whether subscriptions to it share one prefix cache; otherwise each has its own.
    """

    rate: Rate | None = None
    call_quota: Quota | None = None
    tokens_per_minute: int | None = None
    token_quota: Quota | None = None
    max_concurrency: int | None = None
    max_tokens: int | None = None
    models: tuple[str, ...] | None = None
    priority: int | None = None
    shared_cache: bool = False

    def __post_init__(self) -> None:
        for name in ("tokens_per_minute", "max_concurrency", "max_tokens"):
            value: int | None = getattr(self, name)
            if value is not None:
                _check_count(name.replace("_", " "), value)
        if self.priority is not None and abs(self.priority) > _LARGEST_PRIORITY:
            raise InvalidRequestError(
                f"The priority should be from {-_LARGEST_PRIORITY} to {_LARGEST_PRIORITY}.", param="priority"
            )
        if self.models is not None and not (self.models and all(map(_is_model_name, self.models))):
            raise InvalidRequestError("The models should be one or more names of models.", param="models")


@dataclass(frozen=True, slots=True)
class Product:
    """A named set of limits. Two are equal whatever their revisions, which count changes."""

    id: str
    name: str
    limits: Limits
    revision: int = field(default=0, compare=False)


class Saved(NamedTuple):
    """What `Products.set` left in the store, and whether the product is new."""

    product: Product
    created: bool


class ProductPage(NamedTuple):
    """A part of the list of products, and how many there are in all."""

    items: Sequence[Product]
    total: int


ALL_PRODUCTS = Product("*", "All products", Limits())
"""The product of a caller whose subscription has the scope of all products: no limits. It is not stored."""


class Products:
    """The products in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self) -> Sequence[Product]:
        """Every product, by id. Raises UnavailableError."""
        with self._store.reading() as connection:
            return [product_from(row) for row in product_rows.find_all(connection)]

    def page(self, top: int, skip: int) -> ProductPage:
        """At most `top` products, by id, after the first `skip` of them. Raises UnavailableError."""
        with self._store.reading() as connection:
            items = [product_from(row) for row in product_rows.find_page(connection, top, skip)]
            return ProductPage(items, product_rows.count(connection))

    def get(self, pid: str) -> Product:
        """One product. Raises NotFoundError, which names those that there are, and UnavailableError."""
        with self._store.reading() as connection:
            return product_from(_existing(connection, pid))

    def set(
        self,
        pid: str,
        change: Callable[[Limits], Limits],
        *,
        name: str | None = None,
        condition: Condition = unconditionally,
    ) -> Saved:
        """Creates a product or changes the one that is there.

        Args:
            pid: 1 to 80 letters, digits, `.`, `_`, `-`, of which the first is a letter or digit.
            change: from the limits that the product has (none, where it is new) to those that it shall have.
                Runs inside the transaction, perhaps twice, so that two changes at once are both kept.
            name: for display; without it the name stays, and a new product is called by its id.
            condition: what must hold for the product as it is now.

        Raises:
            InvalidRequestError: the id, the name or a limit is at fault.
            PreconditionFailedError: the condition does not hold.
            UnavailableError: the store cannot be reached.
        """
        check_id(pid, "product")
        name = None if name is None else checked_name(name)
        for _ in range(2):
            try:
                with self._store.writing() as connection:
                    row = product_rows.find(connection, pid, lock=True)
                    return _save(connection, pid, row, name, change, condition)
            except ConstraintError:
                continue  # made by somebody else between our look and our write: now it is a change
        raise ConflictError(f"Product '{pid}' is being changed by somebody else. Try again.")

    def change(
        self,
        pid: str,
        change: Callable[[Limits], Limits],
        *,
        name: str | None = None,
        condition: Condition = unconditionally,
    ) -> Product:
        """As `set`, but of a product that is there; raises NotFoundError where it is not."""
        name = None if name is None else checked_name(name)
        with self._store.writing() as connection:
            row = _existing(connection, pid, lock=True)
            return _save(connection, pid, row, name, change, condition).product

    def delete(self, pid: str, *, with_subscriptions: bool, condition: Condition = unconditionally) -> None:
        """Takes a product away.

        Args:
            pid: its id.
            with_subscriptions: take the subscriptions for it away too, whose keys are then void at once.
            condition: what must hold for the product as it is now.

        Raises:
            NotFoundError: there is no such product.
            PreconditionFailedError: the condition does not hold.
            InvalidRequestError: there are subscriptions for it, which were to stay.
            UnavailableError: the store cannot be reached.
        """
        try:
            with self._store.writing() as connection:
                require(condition, product_from(_existing(connection, pid, lock=True)).revision, f"product '{pid}'")
                if with_subscriptions:
                    product_rows.remove_subscriptions(connection, pid)
                elif product_rows.is_subscribed(connection, pid):
                    raise _subscribed(pid)
                product_rows.remove(connection, pid)
        except ConstraintError:  # somebody has subscribed between our look and our write
            raise _subscribed(pid) from None


def _save(  # noqa: PLR0913, PLR0917 - what is saved, where and when
    connection: Connection,
    pid: str,
    row: Row[Any] | None,
    name: str | None,
    change: Callable[[Limits], Limits],
    condition: Condition,
) -> Saved:
    before = product_from(row) if row is not None else None
    require(condition, before.revision if before else None, f"product '{pid}'")
    limits = change(before.limits if before else Limits())
    name = name or (before.name if before else pid)
    values = {"name": name, **_limit_columns(limits)}
    if row is None:
        revision = product_rows.add(connection, {"id": pid, **values})
    else:
        revision = product_rows.change(connection, pid, values)
    return Saved(Product(pid, name, limits, revision), created=row is None)


def _existing(connection: Connection, pid: str, *, lock: bool = False) -> Row[Any]:
    # What cannot be an id is not looked for: PostgreSQL does not take every character.
    row = product_rows.find(connection, pid, lock=lock) if is_id(pid) else None
    if row is None:
        raise NotFoundError(unknown_product(connection, pid))
    return row


def _subscribed(pid: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"Product '{pid}' has subscriptions. Delete them or move them to another product first, "
        "or send deleteSubscriptions=true to have them deleted with it.",
        param="deleteSubscriptions",
    )


def product_from(row: Row[Any]) -> Product:
    """The product in a row that has `product_rows.PRODUCT_COLUMNS`."""
    calls = row.products_rate_calls
    limits = Limits(
        rate=None if calls is None else Rate(calls, row.products_rate_seconds),
        call_quota=_quota(row.products_call_quota, row.products_call_quota_period),
        tokens_per_minute=row.products_tokens_per_minute,
        token_quota=_quota(row.products_token_quota, row.products_token_quota_period),
        max_concurrency=row.products_max_concurrency,
        max_tokens=row.products_max_tokens,
        models=None if row.products_models is None else tuple(row.products_models),
        priority=row.products_priority,
        shared_cache=row.products_shared_cache,
    )
    return Product(row.products_id, row.products_name, limits, row.products_revision)


def unknown_product(connection: Connection, pid: str) -> str:
    """The message for a product that does not exist: it lists those that do."""
    return f"There is no product {pid[:ID_LENGTH]!r}. The products are: {', '.join(product_rows.ids(connection))}."


def is_id(value: str) -> bool:
    """Whether `value` can be the id of a product or a subscription, and so a path segment."""
    return _ID.fullmatch(value) is not None


def check_id(value: str, what: str) -> None:
    """Raises InvalidRequestError unless `value` can be the id of a `what`."""
    if not is_id(value):
        raise InvalidRequestError(
            f"The id of a {what} should be 1 to {ID_LENGTH} letters, digits, '.', '_' or '-', "
            "and begin with a letter or digit.",
            param="id",
        )


def checked_name(name: str) -> str:
    """A display name without the white space around it. Raises InvalidRequestError."""
    stripped = name.strip()
    if not 0 < len(stripped) <= NAME_LENGTH or not stripped.isprintable():
        raise InvalidRequestError(f"The name should have 1 to {NAME_LENGTH} printable characters.", param="displayName")
    return stripped


def _limit_columns(limits: Limits) -> dict[str, object]:
    rate, calls, tokens = limits.rate, limits.call_quota, limits.token_quota
    return {
        "rate_calls": rate.calls if rate else None,
        "rate_seconds": rate.seconds if rate else None,
        "call_quota": calls.amount if calls else None,
        "call_quota_period": calls.period.value if calls else None,
        "tokens_per_minute": limits.tokens_per_minute,
        "token_quota": tokens.amount if tokens else None,
        "token_quota_period": tokens.period.value if tokens else None,
        "max_concurrency": limits.max_concurrency,
        "max_tokens": limits.max_tokens,
        "models": None if limits.models is None else [*limits.models],
        "priority": limits.priority,
        "shared_cache": limits.shared_cache,
    }


def _quota(amount: int | None, period: str | None) -> Quota | None:
    return None if amount is None or period is None else Quota(amount, Period(period))


def _check_count(what: str, value: int, largest: int = LARGEST) -> None:
    if not 1 <= value <= largest:
        raise InvalidRequestError(f"The {what} should be a whole number from 1 to {largest}.", param=what)


def _is_model_name(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_MODEL_NAME and name.isprintable() and name == name.strip()
