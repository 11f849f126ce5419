"""Changes that say what they were made from: revisions, conditions, and what management adds to the two services."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from sqlalchemy import text

from gateway.errors import (
    ConflictError,
    InvalidKeyError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
)
from gateway.keys import KeyHasher
from gateway.products import Limits, Product, Products, Rate
from gateway.store import open_store
from gateway.store.engines import for_writing, make_migration_engine, parse_url
from gateway.store.schema import alembic_config
from gateway.subscription import Details, Issued, State, Subscription
from gateway.subscriptions import Subscriptions
from tests.store.conftest import PEPPER
from tests.store.processes import at_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.revisions import Condition
    from gateway.store import Store
    from tests.store.conftest import Clock

KEY = "0123456789abcdef0123456789abcdef"
WRITERS, CHANGES = 3, 8


def never(_: int | None) -> bool:
    return False


def still(revision: int) -> Condition:
    """The condition that a thing has this revision yet."""
    return lambda now: now == revision


def details(before: Subscription, **changes: Any) -> Details:
    same = Details(before.name, before.product, starts_at=before.starts_at, expires_at=before.expires_at)
    return replace(same, **changes)


def lengthen_name(url: str) -> int:
    """Adds letters to a name by read, change, write if unchanged; how often it had to begin again."""
    store = open_store(url, patience=30)
    subscriptions, refused, done = Subscriptions(store, KeyHasher(PEPPER)), 0, 0
    while done < CHANGES:
        read = subscriptions.get("acme")
        try:
            subscriptions.change("acme", partial(details, name=f"{read.name}x"), still(read.revision))
            done += 1
        except PreconditionFailedError:
            refused += 1
    store.close()
    return refused


def put_one(url: str, key: str | None) -> bool:
    """Whether the PUT, which others send at the same moment, has made the subscription."""
    store = open_store(url, patience=30)
    wanted = Details("Acme", "starter", State.ACTIVE, primary_key=key)
    found = Subscriptions(store, KeyHasher(PEPPER)).put("acme", lambda _: wanted)
    store.close()
    return isinstance(found, Issued)


def raise_limit(url: str) -> int:
    """The same with a product's limit."""
    store = open_store(url, patience=30)
    products, refused, done = Products(store), 0, 0
    while done < CHANGES:
        read = products.get("starter")
        one_more = partial(replace, max_tokens=(read.limits.max_tokens or 0) + 1)
        try:
            products.set("starter", one_more, condition=still(read.revision))
            done += 1
        except PreconditionFailedError:
            refused += 1
    store.close()
    return refused


def test_writers_at_once_lose_no_change_of_a_subscription(url: str, subscriptions: Subscriptions) -> None:
    subscriptions.create("acme", "starter")
    before = subscriptions.get("acme").revision
    at_once(WRITERS, lengthen_name, url)
    after = subscriptions.get("acme")
    assert after.name == "acme" + "x" * WRITERS * CHANGES
    assert after.revision == before + WRITERS * CHANGES


def test_writers_at_once_lose_no_change_of_a_product(url: str, products: Products) -> None:
    before = products.get("starter").revision
    at_once(WRITERS, raise_limit, url)
    after = products.get("starter")
    assert after.limits.max_tokens == WRITERS * CHANGES
    assert after.revision == before + WRITERS * CHANGES


@pytest.mark.parametrize(
    "act",
    [
        lambda service: service.suspend("acme"),
        lambda service: service.set_dates("acme", starts_at=None, expires_at=None),
        lambda service: service.regenerate("acme", "primary"),
        lambda service: service.change("acme", details),
        lambda service: service.put("acme", lambda before: details(before, secondary_key=KEY)),
    ],
)
def test_every_change_of_a_subscription_counts(
    subscriptions: Subscriptions, act: Callable[[Subscriptions], Any]
) -> None:
    made = subscriptions.create("acme", "starter").subscription
    act(subscriptions)
    assert subscriptions.get("acme").revision == made.revision + 1


def test_a_new_key_of_dev_counts(subscriptions: Subscriptions) -> None:
    subscriptions.ensure_dev(None)
    before = subscriptions.get("dev").revision
    subscriptions.ensure_dev(KEY)
    subscriptions.ensure_dev(KEY)
    assert subscriptions.get("dev").revision == before + 1


def test_what_changes_nothing_does_not_count(subscriptions: Subscriptions) -> None:
    made = subscriptions.create("acme", "starter").subscription
    subscriptions.activate("acme")
    with pytest.raises(ConflictError):
        subscriptions.change("acme", lambda before: details(before, state=State.REJECTED))
    assert subscriptions.get("acme").revision == made.revision


def test_what_is_made_anew_under_an_old_id_has_another_revision(
    subscriptions: Subscriptions, products: Products
) -> None:
    revisions = set()
    for _ in range(3):
        revisions.add(subscriptions.create("acme", "starter").subscription.revision)
        revisions.add(products.set("gold", lambda limits: limits).product.revision)
        subscriptions.delete("acme")
        products.delete("gold", with_subscriptions=False)
    assert len(revisions) == 6


@pytest.mark.parametrize(
    "act",
    [
        lambda subscriptions, _: subscriptions.change("acme", details, never),
        lambda subscriptions, _: subscriptions.put("acme", details, never),
        lambda subscriptions, _: subscriptions.put("new", lambda _: Details("New", None), never),
        lambda subscriptions, _: subscriptions.delete("acme", never),
        lambda _, products: products.set("starter", lambda limits: limits, condition=never),
        lambda _, products: products.set("new", lambda limits: limits, condition=never),
        lambda _, products: products.change("starter", lambda limits: limits, condition=never),
        lambda _, products: products.delete("starter", with_subscriptions=True, condition=never),
    ],
)
def test_where_the_condition_does_not_hold_nothing_changes(
    subscriptions: Subscriptions, products: Products, act: Callable[[Subscriptions, Products], Any]
) -> None:
    subscriptions.create("acme", "starter")

    def state() -> list[tuple[str, int]]:
        made = [(one.id, one.revision) for one in subscriptions.list()]
        return made + [(one.id, one.revision) for one in products.list()]

    before = state()
    with pytest.raises(PreconditionFailedError):
        act(subscriptions, products)
    assert state() == before


@pytest.mark.parametrize("sid", ["nobody", "", "a\0b", "\udce9", "x" * 500])
def test_what_is_not_there_is_not_found(subscriptions: Subscriptions, products: Products, sid: str) -> None:
    for act in (
        lambda: subscriptions.change(sid, details),
        lambda: subscriptions.delete(sid),
        lambda: subscriptions.regenerate(sid, "primary"),
        lambda: products.change(sid, lambda limits: limits),
        lambda: products.delete(sid, with_subscriptions=True),
    ):
        with pytest.raises(NotFoundError) as caught:
            act()
        assert len(caught.value.message) < 200


def test_a_put_makes_and_then_changes(subscriptions: Subscriptions) -> None:
    made = subscriptions.put("acme", lambda _: Details("Acme", "starter", State.ACTIVE, primary_key=KEY))
    assert isinstance(made, Issued)
    assert made.primary_key == KEY
    assert made.subscription == subscriptions.get("acme")
    changed = subscriptions.put("acme", lambda before: Details(f"{before.name}!" if before else "", None))
    assert changed == subscriptions.get("acme")
    assert isinstance(changed, Subscription)
    assert (changed.name, changed.product, changed.state, changed.starts_at) == ("Acme!", None, State.ACTIVE, None)
    assert subscriptions.verify(KEY).product.id == "*"


@pytest.mark.parametrize("key", [None, KEY])
def test_of_puts_at_once_one_makes_and_the_others_change(
    url: str, subscriptions: Subscriptions, key: str | None
) -> None:
    made = at_once(WRITERS, put_one, url, key)
    assert sorted(made) == [False] * (WRITERS - 1) + [True]
    assert subscriptions.get("acme").name == "Acme"


@pytest.mark.parametrize("key", [None, KEY])
def test_a_put_that_comes_too_late_to_make_one_changes_it(subscriptions: Subscriptions, key: str | None) -> None:
    def make(before: Subscription | None) -> Details:
        if before is None:
            subscriptions.create("Theirs", "starter", sid="acme", primary_key=key)
        return Details("Mine", "unlimited", primary_key=key)

    changed = subscriptions.put("acme", make)
    assert isinstance(changed, Subscription)
    assert (changed.name, changed.product, changed.state) == ("Mine", "unlimited", State.ACTIVE)


def test_a_put_that_comes_too_late_has_its_condition_looked_at_again(subscriptions: Subscriptions) -> None:
    def make(_: Subscription | None) -> Details:
        subscriptions.create("Theirs", "starter", sid="acme")
        return Details("Mine", "unlimited")

    with pytest.raises(PreconditionFailedError):
        subscriptions.put("acme", make, lambda revision: revision is None)
    assert subscriptions.get("acme").name == "Theirs"


@pytest.mark.parametrize("late", [False, True])
def test_a_put_with_a_key_of_another_is_a_conflict_also_where_it_comes_too_late(
    subscriptions: Subscriptions, *, late: bool
) -> None:
    subscriptions.create("Other", "starter", primary_key=KEY)

    def make(before: Subscription | None) -> Details:
        if late and before is None:
            subscriptions.create("Theirs", "starter", sid="acme")
        return Details("Mine", "unlimited", primary_key=KEY)

    with pytest.raises(ConflictError, match="This key is in use"):
        subscriptions.put("acme", make)


@pytest.mark.parametrize(
    ("changes", "error", "param"),
    [
        ({"name": ""}, InvalidRequestError, "displayName"),
        ({"product": "none"}, InvalidRequestError, "product"),
        ({"primary_key": "short"}, InvalidRequestError, "primaryKey"),
        ({"primary_key": KEY, "secondary_key": KEY}, InvalidRequestError, "secondaryKey"),
        ({"secondary_key": "f" * 32}, ConflictError, None),
        ({"expires_at": "past"}, InvalidRequestError, "expirationDate"),
        ({"state": State.REJECTED}, ConflictError, None),
    ],
)
def test_a_change_that_cannot_be_leaves_everything_as_it_was(
    subscriptions: Subscriptions,
    clock: Clock,
    changes: dict[str, Any],
    error: type[InvalidRequestError | ConflictError],
    param: str | None,
) -> None:
    subscriptions.create("other", "starter", primary_key="f" * 32)
    keys = subscriptions.create("acme", "starter")
    if changes.get("expires_at") == "past":
        changes = {"expires_at": clock.now - timedelta(seconds=1), "name": "New"}
    with pytest.raises(error) as caught:
        subscriptions.change("acme", lambda before: details(before, **changes))
    assert caught.value.param == param
    after = subscriptions.get("acme")
    assert (after, after.revision) == (keys.subscription, keys.subscription.revision)
    assert subscriptions.verify(keys.primary_key).subscription_id == "acme"


@pytest.mark.parametrize("before", [*State])
@pytest.mark.parametrize("after", [*State])
def test_a_change_moves_states_as_set_state_does(subscriptions: Subscriptions, before: State, after: State) -> None:
    def outcome(act: Callable[[], Subscription]) -> object:
        try:
            moved = act()
        except ConflictError as error:
            return error.message.replace("two", "one")
        return moved.state, moved.starts_at, moved.ended_at

    for sid in ("one", "two"):
        subscriptions.create(sid, "starter", sid=sid, state=before)
    assert outcome(lambda: subscriptions.set_state("one", after)) == outcome(
        lambda: subscriptions.change("two", lambda read: details(read, state=after))
    )


def test_a_deleted_subscription_leaves_no_key_behind(store: Store, subscriptions: Subscriptions) -> None:
    issued = subscriptions.create("acme", "starter")
    subscriptions.delete("acme")
    for key in (issued.primary_key, issued.secondary_key):
        with pytest.raises(InvalidKeyError):
            subscriptions.verify(key)
    with store.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM subscription_keys")).scalar_one() == 0


def test_a_product_is_deleted_with_its_subscriptions_only_where_that_is_asked_for(
    subscriptions: Subscriptions, products: Products
) -> None:
    issued = subscriptions.create("acme", "starter")
    other = subscriptions.create("other", "unlimited")
    with pytest.raises(InvalidRequestError) as caught:
        products.delete("starter", with_subscriptions=False)
    assert caught.value.param == "deleteSubscriptions"
    subscriptions.verify(issued.primary_key)
    products.delete("starter", with_subscriptions=True)
    assert [one.id for one in subscriptions.list()] == ["other"]
    assert [one.id for one in products.list()] == ["unlimited"]
    subscriptions.verify(other.primary_key)


def test_without_its_product_dev_is_made_for_all_products(subscriptions: Subscriptions, products: Products) -> None:
    products.delete("unlimited", with_subscriptions=False)
    key = subscriptions.ensure_dev(None)
    assert subscriptions.verify(key).product.id == "*"


def test_pages_cover_the_list_in_its_order(subscriptions: Subscriptions, products: Products, clock: Clock) -> None:
    for number in range(5):
        subscriptions.create(f"s{9 - number}", "starter")
        products.set(f"p{number}", lambda limits: limits)
        clock.advance(seconds=1)
    for service, total in ((subscriptions, 5), (products, 7)):
        pages = [service.page(2, skip) for skip in range(0, total, 2)]
        assert [one for page in pages for one in page.items] == service.list()
        assert {page.total for page in pages} == {total}
        assert service.page(2, total) == ([], total)


def test_a_change_of_a_product_that_is_there_keeps_the_rest(products: Products) -> None:
    changed = products.change("starter", lambda limits: replace(limits, call_quota=None), name="Less")
    assert changed == Product("starter", "Less", Limits(rate=Rate(5)))
    assert products.get("starter") == changed


def test_what_there_was_before_revisions_is_numbered_and_stays(
    store: Store, subscriptions: Subscriptions, products: Products, url: str
) -> None:
    issued = subscriptions.create("acme", "starter")
    store.close()
    engine = make_migration_engine(parse_url(url), patience=1)
    with for_writing(engine).begin() as connection:
        command.downgrade(alembic_config(connection), "0001")
    with for_writing(engine).begin() as connection:
        command.upgrade(alembic_config(connection), "head")
    engine.dispose()
    assert subscriptions.verify(issued.primary_key).subscription_id == "acme"
    assert subscriptions.get("acme") == issued.subscription
    assert [subscriptions.get("acme").revision, products.get("starter").revision] == [1, 1]
