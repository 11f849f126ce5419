"""What a killed process left is settled: with what the engine says, or with what was noted last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.errors import UnavailableError
from gateway.keeper import DEAD_AFTER_SECONDS, LOOK_EVERY, Keeper, Watch
from gateway.ledger import LOST
from gateway.periods import Period
from gateway.products import Quota
from gateway.store import call_rows
from tests.limits.conftest import MODEL, Book, Monotonic, make_book, tokens

if TYPE_CHECKING:
    from gateway.store import Store

DAILY = Quota(100, Period.DAY)


@pytest.fixture
def time() -> Monotonic:
    return Monotonic()


@pytest.fixture
def keeper(book: Book, time: Monotonic) -> Keeper:
    """Of a process that lives."""
    return Keeper(book.admissions, Watch(time))


def look_until_dead(keeper: Keeper, time: Monotonic) -> None:
    keeper.look()
    time.now += DEAD_AFTER_SECONDS
    keeper.look()


def test_a_dead_process_is_found_within_the_minute() -> None:
    assert DEAD_AFTER_SECONDS + 2 * LOOK_EVERY < 60


def test_the_calls_of_the_dead_cost_what_was_noted_of_them(
    store: Store, book: Book, keeper: Keeper, time: Monotonic
) -> None:
    dead = make_book(store, book.clock)
    call = dead.admitted(tokens(100), 10, 90)
    call.usage.completion_tokens = 25
    Keeper(dead.admissions).beat()
    call.usage.completion_tokens = 30  # and then it is killed
    look_until_dead(keeper, time)
    assert book.held() == (0, 0)
    assert book.used(DAILY) == 35
    with store.reading() as connection:
        row = call_rows.find(connection, call.call.id)
    assert row is not None
    assert (row.finish_reason, row.status) == (LOST, 500)


def test_the_calls_of_the_dead_cost_what_the_engine_says(store: Store, book: Book, keeper: Keeper) -> None:
    dead = make_book(store, book.clock)
    calls = [dead.admitted(tokens(100), 10, 30) for _ in range(2)]
    keeper.lost({calls[0].call.id: 12, calls[1].call.id: 0, "f" * 32: 99})
    assert book.held() == (0, 0)
    assert book.used(DAILY) == 32


def test_a_call_that_has_ended_is_not_ended_again(book: Book, keeper: Keeper) -> None:
    call = book.admitted(tokens(100))
    book.finish(call, 7)
    keeper.lost({call.call.id: 50})
    assert book.used(DAILY) == 17


def test_a_process_that_beats_is_left_alone(store: Store, book: Book, keeper: Keeper, time: Monotonic) -> None:
    alive = make_book(store, book.clock)
    alive.admitted(tokens(100), 10, 30)
    keeper.look()
    time.now += DEAD_AFTER_SECONDS
    Keeper(alive.admissions).beat()
    keeper.look()
    assert book.held() == (1, 40)


def test_a_clock_that_jumps_buries_nobody(store: Store, book: Book, keeper: Keeper, time: Monotonic) -> None:
    make_book(store, book.clock).admitted(tokens(100), 10, 30)
    keeper.look()
    book.clock.advance(hours=1)
    time.now += DEAD_AFTER_SECONDS - 1
    keeper.look()
    assert book.held() == (1, 40)


def test_a_process_that_was_taken_for_dead_puts_its_calls_right(
    store: Store, book: Book, keeper: Keeper, time: Monotonic
) -> None:
    slow = make_book(store, book.clock)
    call = slow.admitted(tokens(100), 10, 90)
    look_until_dead(keeper, time)
    assert book.used(DAILY) == 10
    slow.finish(call, 60)
    assert book.used(DAILY) == 70
    assert book.held() == (0, 0)


def test_a_store_that_was_away_does_not_make_the_living_look_dead(time: Monotonic) -> None:
    watch = Watch(time)
    assert watch.dead({"a": 1}) == []
    time.now += DEAD_AFTER_SECONDS
    watch.forget()
    assert watch.dead({"a": 1}) == []
    time.now += DEAD_AFTER_SECONDS
    assert watch.dead({"a": 1}) == ["a"]


def test_a_process_that_ends_in_order_leaves_nothing_open(book: Book, keeper: Keeper) -> None:
    call = book.admitted(tokens(100), 10, 30)
    call.usage.completion_tokens = 4
    keeper.start()
    keeper.stop()
    assert book.held() == (0, 0)
    assert book.used(DAILY) == 14


def test_a_ledger_that_is_away_is_no_end_of_the_process(
    book: Book, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = book.admitted(tokens(100), 10, 30)
    with monkeypatch.context() as patch:
        patch.setattr(type(book.store), "writing", lambda _self: (_ for _ in ()).throw(UnavailableError("away")))
        keeper.lost({call.call.id: 3})
        with pytest.raises(UnavailableError):
            keeper.beat()
    keeper.lost({call.call.id: 3})
    assert book.used(DAILY) == 13


def test_a_call_that_is_new_has_time_to_show_that_it_lives(book: Book, keeper: Keeper, time: Monotonic) -> None:
    keeper.look()
    time.now += DEAD_AFTER_SECONDS
    book.call(tokens(100)).admit(MODEL, 10, [5])
    keeper.look()
    assert book.held() == (1, 15)
