"""Subscriptions: ids, states and dates, and what an operator does to them."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import ConflictError, InvalidRequestError, NotFoundError
from gateway.keys import KeyHasher
from gateway.store import open_store
from gateway.subscription import TRANSITIONS, State, Subscription
from gateway.subscriptions import Subscriptions
from tests.store.conftest import PEPPER, Clock
from tests.store.processes import at_once

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "0123456789abcdef0123456789abcdef"


def create_one(url: str) -> str:
    store = open_store(url, patience=30)
    issued = Subscriptions(store, KeyHasher(PEPPER)).create("Acme", "starter")
    store.close()
    return issued.subscription.id


def test_a_new_subscription_is_active_from_now_on(subscriptions: Subscriptions, clock: Clock) -> None:
    issued = subscriptions.create("  Acme Inc. ", "starter")
    expected = Subscription(
        id="acme-inc",
        name="Acme Inc.",
        product="starter",
        state=State.ACTIVE,
        created_at=clock.now,
        starts_at=clock.now,
        expires_at=None,
        ended_at=None,
    )
    assert issued.subscription == expected
    assert subscriptions.get("acme-inc") == expected
    assert subscriptions.list() == [expected]


@pytest.mark.parametrize(
    ("name", "sid"),
    [
        ("Ünïcode & Söhne", "unicode-sohne"),
        ("../../etc/passwd", "etc-passwd"),
        ("日本", "subscription"),
        ("a" * 100, "a" * 60),
        ("x" * 59 + "  yy", "x" * 59),
    ],
)
def test_the_id_is_made_from_the_name(subscriptions: Subscriptions, name: str, sid: str) -> None:
    assert subscriptions.create(name, "starter").subscription.id == sid


def test_a_second_subscription_of_a_name_gets_a_suffix(subscriptions: Subscriptions) -> None:
    ids = [subscriptions.create("Acme", "starter").subscription.id for _ in range(3)]
    assert ids[0] == "acme"
    assert all(re.fullmatch("acme-[0-9a-f]{6}", sid) for sid in ids[1:])
    assert len(set(ids)) == 3


def test_the_id_of_the_dev_subscription_is_kept_free(subscriptions: Subscriptions) -> None:
    assert re.fullmatch("dev-[0-9a-f]{6}", subscriptions.create("Dev", "starter").subscription.id)


def test_subscriptions_of_one_name_made_at_once_get_ids_of_their_own(url: str, subscriptions: Subscriptions) -> None:
    ids = at_once(3, create_one, url)
    assert len(set(ids)) == 3
    assert "acme" in ids
    assert {one.id for one in subscriptions.list()} == set(ids)


def test_a_given_id_is_used_and_refused_where_it_is_taken(subscriptions: Subscriptions) -> None:
    assert subscriptions.create("Acme", "starter", sid="A.b_c-1").subscription.id == "A.b_c-1"
    with pytest.raises(ConflictError, match=r"A\.b_c-1"):
        subscriptions.create("Other", "starter", sid="A.b_c-1")


@pytest.mark.parametrize("sid", ["", "a/b", "a b", "..", "-a", "é", "a" * 81, "a\n"])
def test_an_id_that_is_no_path_segment_is_refused(subscriptions: Subscriptions, sid: str) -> None:
    with pytest.raises(InvalidRequestError, match="id of a subscription"):
        subscriptions.create("Acme", "starter", sid=sid)


@pytest.mark.parametrize("name", ["", " \t", "x" * 101, "two\nlines", "bell\a", "\udce9"])
def test_a_name_that_cannot_be_shown_is_refused(subscriptions: Subscriptions, name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        subscriptions.create(name, "starter")
    assert caught.value.param == "displayName"


def test_an_unknown_product_is_refused_with_those_that_there_are(subscriptions: Subscriptions) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        subscriptions.create("Acme", "gold")
    assert caught.value.message == "There is no product 'gold'. The products are: starter, unlimited."
    assert subscriptions.list() == []


def test_the_list_has_the_oldest_first(subscriptions: Subscriptions, clock: Clock) -> None:
    for name in ("zebra", "apple"):
        subscriptions.create(name, "starter")
        clock.advance(seconds=1)
    assert [one.id for one in subscriptions.list()] == ["zebra", "apple"]


@pytest.mark.parametrize(("before", "after"), [*itertools.product(State, State)])
def test_a_state_follows_another_only_where_the_table_says_so(
    subscriptions: Subscriptions, before: State, after: State
) -> None:
    subscriptions.create("acme", "starter", state=before)
    if after is before or after in TRANSITIONS[before]:
        assert subscriptions.set_state("acme", after).state is after
    else:
        with pytest.raises(ConflictError, match=f"is {before} and cannot become {after}"):
            subscriptions.set_state("acme", after)
        assert subscriptions.get("acme").state is before


def test_cancelled_and_rejected_are_final() -> None:
    assert {state for state, following in TRANSITIONS.items() if not following} == {
        State.CANCELLED,
        State.REJECTED,
    }


def test_a_submitted_subscription_starts_when_it_is_activated(subscriptions: Subscriptions, clock: Clock) -> None:
    submitted = subscriptions.create("acme", "starter", state=State.SUBMITTED).subscription
    clock.advance(days=2)
    assert submitted.starts_at is None
    assert subscriptions.activate("acme").starts_at == clock.now


def test_a_suspension_keeps_the_start_date(subscriptions: Subscriptions, clock: Clock) -> None:
    started = subscriptions.create("acme", "starter").subscription.starts_at
    clock.advance(days=2)
    subscriptions.suspend("acme")
    assert subscriptions.activate("acme").starts_at == started


def test_cancelling_sets_the_end_once(subscriptions: Subscriptions, clock: Clock) -> None:
    subscriptions.create("acme", "starter")
    ended = subscriptions.cancel("acme").ended_at
    assert ended == clock.now
    clock.advance(days=2)
    assert subscriptions.cancel("acme").ended_at == ended


def test_an_active_subscription_expires_by_its_date(subscriptions: Subscriptions, clock: Clock) -> None:
    end = clock.now + timedelta(days=1)
    subscriptions.create("acme", "starter", expires_at=end)
    clock.advance(days=1)
    expired = subscriptions.get("acme")
    assert (expired.state, expired.ended_at) == (State.EXPIRED, end)
    assert subscriptions.list() == [expired]


def test_past_its_expiration_date_a_subscription_can_only_be_activated_with_a_later_one(
    subscriptions: Subscriptions, clock: Clock
) -> None:
    for sid, suspended in (("one", False), ("two", True)):
        subscriptions.create(sid, "starter", expires_at=clock.now + timedelta(days=1))
        if suspended:
            subscriptions.suspend(sid)
    clock.advance(days=1)
    for sid in ("one", "two"):
        with pytest.raises(ConflictError, match=r"expired on 2030-01-02\. Set a later date first"):
            subscriptions.activate(sid)
        subscriptions.set_dates(sid, starts_at=None, expires_at=clock.now + timedelta(days=1))
        assert subscriptions.activate(sid).state is State.ACTIVE
        assert subscriptions.get(sid).ended_at is None


def test_dates_in_another_zone_come_back_in_utc(subscriptions: Subscriptions) -> None:
    moment = datetime.fromisoformat("2031-06-01T02:00:00.123456+05:30")
    subscriptions.create("acme", "starter", expires_at=moment)
    expires_at = subscriptions.get("acme").expires_at
    assert expires_at == moment
    assert expires_at is not None
    assert expires_at.tzinfo is UTC


def test_a_date_without_a_zone_and_an_end_before_the_start_are_refused(
    subscriptions: Subscriptions, clock: Clock
) -> None:
    for starts_at, expires_at in ((None, clock.now.replace(tzinfo=None)), (clock.now, clock.now)):
        with pytest.raises(InvalidRequestError):
            subscriptions.create("acme", "starter", starts_at=starts_at, expires_at=expires_at)


@pytest.mark.parametrize(
    "act",
    [
        lambda service: service.get("nobody"),
        lambda service: service.cancel("nobody"),
        lambda service: service.regenerate("nobody", "primary"),
        lambda service: service.set_dates("nobody", starts_at=None, expires_at=None),
        lambda service: service.get("'; DROP TABLE subscriptions; --"),
    ],
)
def test_an_unknown_id_is_not_found(subscriptions: Subscriptions, act: Callable[[Subscriptions], Any]) -> None:
    with pytest.raises(NotFoundError, match="There is no subscription"):
        act(subscriptions)
