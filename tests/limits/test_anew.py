"""Made anew under the id of one that was deleted, a subscription begins with nothing used, whatever still runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from alembic import command

from gateway.errors import GatewayError
from gateway.periods import Period
from gateway.products import Limits, Product, Quota, Rate
from gateway.store import open_store
from gateway.store.engines import for_writing, make_migration_engine, parse_url
from gateway.store.schema import alembic_config
from gateway.usage import Selection, Usage
from tests.limits.conftest import MODEL, Book, make_book

if TYPE_CHECKING:
    from gateway.admission import Admission
    from gateway.store import Store
    from gateway.subscription import Caller
    from gateway.subscriptions import Subscriptions
    from tests.store.conftest import Clock

LIVE = "live"
PROMPT, MOST = 10, 20
ONE_CALL = {
    "call quota": Limits(call_quota=Quota(1, Period.LIFETIME)),
    "token quota": Limits(token_quota=Quota(PROMPT + MOST, Period.DAY)),
    "tokens a minute": Limits(tokens_per_minute=PROMPT + MOST),
    "call rate": Limits(rate=Rate(1, 60)),
}
"""Limits that one call uses up."""


class Holders:
    """Whoever has the id `live`, one after the other."""

    def __init__(self, store: Store, subscriptions: Subscriptions, clock: Clock) -> None:
        self.book: Book = make_book(store, clock)
        self._subscriptions = subscriptions
        self._key = ""

    def next(self) -> None:
        """Somebody else has it from now on."""
        if self._key:
            self._subscriptions.delete(LIVE)
        self._key = self._subscriptions.create(LIVE, "unlimited", sid=LIVE).primary_key

    def caller(self, limits: Limits) -> Caller:
        """Who has it now."""
        return replace(self._subscriptions.verify(self._key), product=Product("p", "p", limits))

    def call(self, limits: Limits) -> Admission:
        """A call of who has it now."""
        admission = self.book.admissions.of(self.caller(limits), "Get Data", "0" * 32)
        admission.open()
        admission.admit(MODEL, PROMPT, [MOST])
        return admission

    def used(self) -> tuple[int, int, int]:
        """Calls and tokens of the day, and tokens of the minute, of who has it now."""
        call = self.book.admissions.of(self.caller(Limits()), "Get Data", "0" * 32).call
        with self.book.admissions.ledger.account(call) as account:
            calls, _ = account.used("calls", Quota(1, Period.DAY))
            tokens, _ = account.used("tokens", Quota(1, Period.DAY))
            return calls, tokens, account.tokens_in_last_minute()


@pytest.fixture
def holders(store: Store, subscriptions: Subscriptions, clock: Clock) -> Holders:
    holders = Holders(store, subscriptions, clock)
    holders.next()
    return holders


@pytest.mark.parametrize("limit", ONE_CALL)
def test_what_a_predecessor_has_used_up_is_there_again(holders: Holders, limit: str) -> None:
    limits = ONE_CALL[limit]
    for _ in range(2):
        holders.book.finish(holders.call(limits), MOST)
        with pytest.raises(GatewayError):
            holders.call(limits)
        holders.next()
    holders.call(limits)


@pytest.mark.parametrize("asked", [False, True])
def test_calls_that_outlive_their_subscription_are_charged_to_nobody_else(holders: Holders, *, asked: bool) -> None:
    ends, dies = holders.call(Limits()), holders.call(Limits())
    holders.next()
    if asked:
        assert holders.used() == (0, 0, 0)
    holders.book.finish(ends, 7)
    assert holders.book.admissions.ledger.lose({dies.call.id: 9}) == 1
    assert holders.used() == (0, 0, 0)
    holders.book.finish(dies, 12)  # it was not dead
    assert holders.used() == (0, 0, 0)
    holders.book.finish(holders.call(Limits()), 5)
    assert holders.used() == (1, PROMPT + 5, PROMPT + 5)


def test_a_predecessors_calls_neither_run_nor_hold_tokens_for_who_comes_next(holders: Holders) -> None:
    limits = Limits(max_concurrency=1, token_quota=Quota(PROMPT + MOST, Period.DAY))
    holders.call(limits)
    with pytest.raises(GatewayError):
        holders.call(limits)
    holders.next()
    holders.call(limits)


def test_nobody_stands_in_line_behind_a_predecessors_calls(holders: Holders) -> None:
    limits = Limits(token_quota=Quota(PROMPT + MOST, Period.DAY))
    admissions = holders.book.admissions
    before = admissions.of(holders.caller(limits), "Get Data", "0" * 32)
    with admissions.waiting_room.place(before.call.account_key):
        holders.next()
        holders.call(limits)


@pytest.mark.parametrize("hours", [-30, -2, 2, 30])
def test_clocks_that_were_set_change_nothing_of_it(holders: Holders, clock: Clock, hours: int) -> None:
    holders.book.finish(holders.call(Limits()), 7)
    clock.advance(hours=hours)
    holders.next()
    assert holders.used() == (0, 0, 0)
    clock.advance(hours=-1)
    holders.book.finish(holders.call(Limits()), 5)  # it began before its subscription was made
    assert holders.used() == (1, PROMPT + 5, PROMPT + 5)


def test_the_ledger_keeps_all_of_them(holders: Holders) -> None:
    for _ in range(3):
        holders.book.finish(holders.call(Limits()), 5)
        holders.next()
    sums = Usage(holders.book.store).sums(Selection({"subscription": LIVE}), ["subscription"])
    assert [(one.calls, one.total_tokens) for one in sums] == [(3, 3 * (PROMPT + 5))]


def test_what_was_there_before_there_were_accounts_keeps_its_calls(holders: Holders, url: str) -> None:
    holders.book.finish(holders.call(Limits()), 5)
    holders.book.store.close()
    engine = make_migration_engine(parse_url(url), patience=1)
    with for_writing(engine).begin() as connection:
        command.downgrade(alembic_config(connection), "0008")
    engine.dispose()
    open_store(url).close()
    assert holders.used() == (1, PROMPT + 5, PROMPT + 5)
    holders.next()
    assert holders.used() == (0, 0, 0)
