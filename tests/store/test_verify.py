"""Who may call: keys that are verified, replaced, shared out, and never shown."""

from __future__ import annotations

import logging
import traceback
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import text

from gateway.errors import ConflictError, InvalidKeyError, InvalidRequestError, MissingKeyError
from gateway.keys import KeyHasher
from gateway.products import ALL_PRODUCTS, Product, product_from
from gateway.store import Store, open_store
from gateway.subscription import Caller, State
from gateway.subscriptions import Subscriptions
from tests.store.conftest import PEPPER, Clock
from tests.store.processes import at_once

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.products import Products

KEY = "0123456789abcdef0123456789abcdef"
OTHER = KEY[::-1]


class NoStore:
    """Fails the test when anything asks it."""

    def reading(self) -> None:
        """What `verify` would call."""
        pytest.fail("the database was asked")


def ensure_dev(url: str, key: str | None) -> str | None:
    store = open_store(url, patience=30)
    made = Subscriptions(store, KeyHasher(PEPPER)).ensure_dev(key)
    store.close()
    return made


def verify(url: str, key: str) -> str:
    store = open_store(url)
    try:
        return Subscriptions(store, KeyHasher(PEPPER), Clock()).verify(key).key
    except InvalidKeyError:
        return "refused"
    finally:
        store.close()


def refused(subscriptions: Subscriptions, key: str) -> str:
    with pytest.raises(InvalidKeyError) as caught:
        subscriptions.verify(key)
    return caught.value.detail or ""


def test_both_keys_name_the_caller_and_its_product(subscriptions: Subscriptions, products: Products) -> None:
    issued = subscriptions.create("Acme", "starter")
    starter = products.get("starter")
    primary, secondary = subscriptions.verify(issued.primary_key), subscriptions.verify(issued.secondary_key)
    assert primary == Caller("acme", "Acme", starter, "primary", primary.account)
    assert secondary == Caller("acme", "Acme", starter, "secondary", primary.account)
    assert issued.primary_key != issued.secondary_key


def test_a_subscription_to_all_products_has_no_limits(subscriptions: Subscriptions) -> None:
    issued = subscriptions.create("Admin", None)
    assert issued.subscription.product is None
    assert subscriptions.verify(issued.primary_key).product == ALL_PRODUCTS


def test_a_limit_that_changes_counts_at_the_next_call(subscriptions: Subscriptions, products: Products) -> None:
    issued = subscriptions.create("Acme", "starter")
    before = subscriptions.verify(issued.primary_key).product
    changed = products.set("starter", lambda limits: type(limits)(max_tokens=7)).product
    assert subscriptions.verify(issued.primary_key).product == changed != before


@pytest.mark.parametrize("key", [None, ""])
def test_no_key_is_a_missing_key(subscriptions: Subscriptions, key: str | None) -> None:
    with pytest.raises(MissingKeyError):
        subscriptions.verify(key)


@pytest.mark.parametrize(
    "key",
    [
        "x",
        " ",
        KEY.upper(),
        KEY[1:],
        KEY + "0",
        KEY + "\n",
        "é" * 32,
        "\x00" * 32,
        "\udce9" * 32,
        "a" * 10_240,
    ],
)
def test_a_malformed_key_is_invalid_and_the_database_is_not_asked(key: str) -> None:
    service = Subscriptions(cast("Store", NoStore()), KeyHasher(PEPPER))
    assert refused(service, key) == "the key is not 32 lower-case hex digits"


def test_an_unknown_key_is_invalid(subscriptions: Subscriptions) -> None:
    subscriptions.create("Acme", "starter")
    assert refused(subscriptions, KEY) == "no subscription has this key"


def test_a_key_hashed_with_another_pepper_is_invalid(subscriptions: Subscriptions, store: Store) -> None:
    issued = subscriptions.create("Acme", "starter")
    refused(Subscriptions(store, KeyHasher(b"another pepper, which is as long as that")), issued.primary_key)


@pytest.mark.parametrize("state", [state for state in State if state is not State.ACTIVE])
def test_only_an_active_subscription_may_call(subscriptions: Subscriptions, state: State) -> None:
    issued = subscriptions.create("Acme", "starter", state=state)
    assert refused(subscriptions, issued.primary_key) == f"subscription acme is {state}"


def test_the_caller_of_a_refused_key_does_not_learn_why(subscriptions: Subscriptions) -> None:
    issued = subscriptions.create("Acme", "starter", state=State.SUSPENDED)
    messages = set()
    for key in (issued.primary_key, KEY, "x"):
        with pytest.raises(InvalidKeyError) as caught:
            subscriptions.verify(key)
        messages.add(caught.value.message)
    assert len(messages) == 1


def test_a_key_counts_from_its_start_date_until_its_expiration_date(subscriptions: Subscriptions, clock: Clock) -> None:
    start, end = clock.now + timedelta(hours=1), clock.now + timedelta(hours=2)
    key = subscriptions.create("Acme", "starter", starts_at=start, expires_at=end).primary_key
    assert "starts at 2030-01-01T13:00:00+00:00" in refused(subscriptions, key)
    clock.now = start
    subscriptions.verify(key)
    clock.now = end - timedelta(microseconds=1)
    subscriptions.verify(key)
    clock.now = end
    assert refused(subscriptions, key) == "subscription acme is expired"


def test_a_clock_that_is_set_back_locks_no_new_subscription_out(subscriptions: Subscriptions, clock: Clock) -> None:
    key = subscriptions.create("Acme", "starter").primary_key
    clock.now -= timedelta(hours=1)
    subscriptions.verify(key)


def test_suspending_and_activating_count_at_once(subscriptions: Subscriptions) -> None:
    key = subscriptions.create("Acme", "starter").primary_key
    subscriptions.suspend("acme")
    refused(subscriptions, key)
    subscriptions.activate("acme")
    subscriptions.verify(key)
    subscriptions.cancel("acme")
    refused(subscriptions, key)


def test_a_replaced_key_counts_at_once_in_every_process_and_the_other_stays(
    url: str, subscriptions: Subscriptions
) -> None:
    issued = subscriptions.create("Acme", "starter")
    new = subscriptions.regenerate("acme", "primary")
    assert at_once(2, verify, url, new) == ["primary"] * 2
    assert verify(url, issued.primary_key) == "refused"
    assert verify(url, issued.secondary_key) == "secondary"
    newer = subscriptions.regenerate("acme", "secondary")
    refused(subscriptions, issued.secondary_key)
    assert {subscriptions.verify(key).key for key in (new, newer)} == {"primary", "secondary"}


def test_a_process_that_was_open_before_sees_the_change(url: str, subscriptions: Subscriptions) -> None:
    issued = subscriptions.create("Acme", "starter")
    other = open_store(url)
    elsewhere = Subscriptions(other, KeyHasher(PEPPER), subscriptions._clock)  # noqa: SLF001 - the same fake clock
    elsewhere.verify(issued.primary_key)
    subscriptions.regenerate("acme", "primary")
    refused(elsewhere, issued.primary_key)
    other.close()


def test_there_is_no_third_key(subscriptions: Subscriptions) -> None:
    subscriptions.create("Acme", "starter")
    with pytest.raises(InvalidRequestError, match="'primary' or 'secondary'"):
        subscriptions.regenerate("acme", cast("Any", "tertiary"))


def test_given_keys_are_used(subscriptions: Subscriptions) -> None:
    subscriptions.create("Acme", "starter", primary_key=KEY, secondary_key=OTHER)
    assert (subscriptions.verify(KEY).key, subscriptions.verify(OTHER).key) == ("primary", "secondary")


@pytest.mark.parametrize("slots", [("primary_key", "primary_key"), ("primary_key", "secondary_key")])
def test_two_subscriptions_never_share_a_key(subscriptions: Subscriptions, slots: tuple[str, str]) -> None:
    subscriptions.create("one", "starter", **cast("Any", {slots[0]: KEY}))
    with pytest.raises(ConflictError) as caught:
        subscriptions.create("two", "starter", **cast("Any", {slots[1]: KEY}))
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert [one.id for one in subscriptions.list()] == ["one"]


@pytest.mark.parametrize("key", ["", "short", KEY.upper(), "é" * 32])
def test_a_given_key_has_the_form_of_one(subscriptions: Subscriptions, key: str) -> None:
    with pytest.raises(InvalidRequestError, match="32 lower-case hex digits") as caught:
        subscriptions.create("Acme", "starter", secondary_key=key)
    assert caught.value.param == "secondaryKey"


def test_the_two_keys_of_a_subscription_differ(subscriptions: Subscriptions) -> None:
    with pytest.raises(InvalidRequestError, match="differ"):
        subscriptions.create("Acme", "starter", primary_key=KEY, secondary_key=KEY)


def test_dev_is_made_once_and_its_key_returned_once(subscriptions: Subscriptions) -> None:
    key = subscriptions.ensure_dev(None)
    assert key is not None
    assert subscriptions.ensure_dev(None) is None
    caller = subscriptions.verify(key)
    assert (caller.subscription_id, caller.product.id, caller.key) == ("dev", "unlimited", "primary")


def test_dev_has_the_key_that_the_operator_gives_and_keeps_its_second_one(
    subscriptions: Subscriptions,
) -> None:
    first = subscriptions.ensure_dev(None)
    second = subscriptions.regenerate("dev", "secondary")
    assert subscriptions.ensure_dev(KEY) is None
    assert subscriptions.ensure_dev(KEY) is None
    assert subscriptions.verify(KEY).subscription_id == "dev"
    refused(subscriptions, str(first))
    assert subscriptions.verify(second).key == "secondary"
    assert subscriptions.ensure_dev(None) is None
    subscriptions.verify(KEY)


def test_dev_can_be_made_with_a_given_key(subscriptions: Subscriptions) -> None:
    assert subscriptions.ensure_dev(KEY) is None
    assert subscriptions.verify(KEY).key == "primary"


def test_a_suspended_dev_stays_suspended(subscriptions: Subscriptions) -> None:
    subscriptions.ensure_dev(KEY)
    subscriptions.suspend("dev")
    subscriptions.ensure_dev(OTHER)
    assert refused(subscriptions, OTHER) == "subscription dev is suspended"


@pytest.mark.parametrize("before", [True, False])
def test_dev_does_not_take_the_key_of_another(subscriptions: Subscriptions, *, before: bool) -> None:
    if before:
        subscriptions.ensure_dev(None)
    subscriptions.create("Acme", "starter", primary_key=KEY)
    with pytest.raises(ConflictError, match="in use already"):
        subscriptions.ensure_dev(KEY)
    with pytest.raises(InvalidRequestError):
        subscriptions.ensure_dev("short")
    assert subscriptions.verify(KEY).subscription_id == "acme"


def test_of_processes_that_start_at_once_one_makes_dev(url: str, subscriptions: Subscriptions) -> None:
    made = at_once(3, ensure_dev, url, None)
    keys = [key for key in made if key is not None]
    assert len(keys) == 1
    assert subscriptions.verify(keys[0]).subscription_id == "dev"


def test_processes_that_start_at_once_agree_on_a_given_key(url: str, subscriptions: Subscriptions) -> None:
    assert at_once(3, ensure_dev, url, KEY) == [None] * 3
    assert subscriptions.verify(KEY).subscription_id == "dev"


def test_no_key_is_in_a_repr_a_log_or_the_database(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store = open_store(f"sqlite:///{tmp_path / 'g.sqlite3'}")
    service = Subscriptions(store, KeyHasher(PEPPER))
    issued = service.create("Acme", "starter", primary_key=KEY, secondary_key=OTHER)
    caller = service.verify(KEY)
    service.suspend("acme")
    with pytest.raises(InvalidKeyError) as caught:
        service.verify(KEY)
    told = [repr(issued), str(issued), repr(caller), repr(service), caplog.text]
    told.append("".join(traceback.format_exception(caught.value)))
    with store.reading() as connection:
        told.append(repr(connection.execute(text("SELECT * FROM subscription_keys")).all()))
    store.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for key in (KEY, OTHER):
        assert all(key not in one for one in told)
        assert key.encode() not in stored
        assert bytes.fromhex(key) not in stored


def test_a_key_is_found_through_the_index(tmp_path: Path) -> None:
    from gateway.store.subscription_rows import _BY_DIGEST  # noqa: PLC0415 - its plan is what this test is about

    store = open_store(f"sqlite:///{tmp_path / 'g.sqlite3'}")
    with store.reading() as connection:
        statement = str(_BY_DIGEST.compile(connection))
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (b"", 1, 0, 1, 0)).all()
    store.close()
    steps = [step.detail for step in plan if not step.detail.startswith("SCALAR SUBQUERY")]
    # The first key of all, which stands in for one behind the last, is read off the index's beginning.
    scans = [step for step in steps if not step.startswith("SEARCH")]
    assert len(steps) == 5
    assert len(scans) == 1
    assert scans[0].startswith("SCAN any_key USING COVERING INDEX")


@pytest.mark.parametrize("digest", [b"\0" * 32, b"\xff" * 32], ids=["before all others", "behind all others"])
def test_a_key_that_nobody_has_is_unknown_wherever_its_digest_lies(
    subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch, digest: bytes
) -> None:
    subscriptions.create("Acme", "starter")
    monkeypatch.setattr(KeyHasher, "digest", lambda _self, _key: digest)
    assert refused(subscriptions, KEY) == "no subscription has this key"


def test_without_any_key_every_key_is_unknown(subscriptions: Subscriptions) -> None:
    assert refused(subscriptions, KEY) == "no subscription has this key"


@pytest.mark.parametrize("state", [State.ACTIVE, State.SUSPENDED])
def test_as_much_is_done_for_a_key_that_is_refused_as_for_one_that_is_valid(
    subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    subscriptions.create("Acme", "starter", state=state, primary_key=KEY)
    made: list[object] = []

    def noted(row: Any) -> Product:
        made.append(row)
        return product_from(row)

    monkeypatch.setattr("gateway.subscriptions.product_from", noted)
    with suppress(InvalidKeyError):
        subscriptions.verify(KEY)
    refused(subscriptions, OTHER)
    assert len(made) == 2
