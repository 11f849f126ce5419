"""Every limit of a product, on a real ledger."""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from gateway.engine import Cancelled
from gateway.errors import InvalidRequestError, PermissionDeniedError, RateLimitedError, UnavailableError
from gateway.periods import Period
from gateway.products import Limits, Quota, Rate
from gateway.store import call_rows, connect_store
from gateway.waiting import WaitingRoom
from tests.limits.conftest import MODEL, Book, make_book, tokens
from tests.server import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.store import Store
    from tests.store.conftest import Clock

DAILY = Quota(100, Period.DAY)
ALL = Limits(
    call_quota=Quota(100, Period.DAY), tokens_per_minute=1000, token_quota=Quota(1000, Period.MONTH), max_concurrency=5
)


@pytest.mark.parametrize("limits", [Limits(), ALL])
def test_a_call_reserves_while_it_runs_and_costs_what_it_used(book: Book, limits: Limits) -> None:
    admission = book.admitted(limits, prompt=10, most=50)
    assert book.held() == (1, 60)
    book.finish(admission, 7)
    assert book.held() == (0, 0)
    assert book.used(Quota(1000, Period.MONTH)) == 17


def test_a_call_is_settled_once(book: Book) -> None:
    admission = book.admitted(tokens(100))
    book.finish(admission, 7)
    book.finish(admission, 9, status=500)
    assert book.used(DAILY) == 17


def test_a_token_quota_is_spent_to_its_last_token(book: Book) -> None:
    first = book.call(tokens(100))
    first.open()
    assert first.admit(MODEL, 10, [500]) == 90
    book.finish(first, 80)
    second = book.call(tokens(100))
    assert second.admit(MODEL, 9, [500]) == 1
    book.finish(second, 1)
    with pytest.raises(
        PermissionDeniedError, match=r"^Token quota is exceeded\. .* 0 are left\. Quota will be"
    ) as error:
        book.call(tokens(100)).admit(MODEL, 1, [1])
    assert error.value.retry_after == 12 * 3600
    book.clock.advance(hours=12)
    assert book.call(tokens(100)).admit(MODEL, 1, [500]) == 99


def test_a_lifetime_is_never_replenished(book: Book) -> None:
    book.finish(book.admitted(tokens(20, Period.LIFETIME)), 10)
    book.clock.advance(days=4000)
    with pytest.raises(PermissionDeniedError, match="lifetime") as error:
        book.call(tokens(20, Period.LIFETIME)).admit(MODEL, 1, [1])
    assert error.value.retry_after is None


def test_several_sequences_share_what_is_left(book: Book) -> None:
    assert book.call(tokens(100)).admit(MODEL, 10, [50, 50, 50]) == 30
    assert book.held() == (1, 100)


def test_the_products_largest_answer_cuts(book: Book) -> None:
    assert book.call(Limits(max_tokens=5)).admit(MODEL, 10, [50]) == 5


def test_tokens_of_the_last_minute_are_counted_wherever_a_minute_begins(book: Book) -> None:
    limits = Limits(tokens_per_minute=100)
    book.finish(book.admitted(limits, 10, 90), 90)
    book.clock.advance(seconds=59)
    with pytest.raises(RateLimitedError, match=r"^Token limit is exceeded\. Try again in 1 seconds\.$") as error:
        book.call(limits).admit(MODEL, 10, [5])
    assert error.value.retry_after == 1
    book.clock.advance(seconds=1)
    assert book.call(limits).admit(MODEL, 10, [500]) == 90


def test_a_prompt_that_no_minute_can_take_is_the_requests_fault(book: Book) -> None:
    with pytest.raises(InvalidRequestError, match="101 tokens"):
        book.call(Limits(tokens_per_minute=100)).admit(MODEL, 100, [5])


def test_calls_at_a_time_are_those_that_run(book: Book) -> None:
    limits = Limits(max_concurrency=2)
    first, _ = book.admitted(limits), book.admitted(limits)
    with pytest.raises(RateLimitedError, match="Concurrency limit is exceeded") as error:
        book.call(limits).open()
    assert error.value.retry_after == 1
    book.finish(first, 1)
    book.call(limits).open()


def test_a_call_quota_counts_calls_whatever_came_of_them(book: Book) -> None:
    limits = Limits(call_quota=Quota(2, Period.HOUR))
    book.finish(book.admitted(limits), 1)
    refused = book.call(limits)
    refused.open()
    refused.settle(400)
    with pytest.raises(
        PermissionDeniedError, match=r"^Out of call volume quota\. Quota will be replenished in 01:00:00\.$"
    ) as error:
        book.call(limits).open()
    assert error.value.retry_after == 3600


def test_what_needs_no_body_is_looked_at_with_what_needs_one_in_one_transaction(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, whole = itertools.count(), book.store.writing_directly
    monkeypatch.setattr(book.store, "writing_directly", lambda: (next(count), whole())[1])
    call = book.call(ALL)
    call.open_soon()
    assert book.held() == (0, 0)
    call.admit(MODEL, 10, [50])
    call.open_due()  # there is nothing left
    assert book.held() == (1, 60)
    assert next(count) == 1
    assert call.requests is not None
    assert call.tokens is not None
    book.finish(call, 50)
    assert book.held() == (0, 0)


@pytest.mark.parametrize("faulty", [False, True], ids=["with the prompt", "before the prompt"])
@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        (Limits(max_concurrency=1, token_quota=Quota(1, Period.DAY)), "Concurrency limit is exceeded"),
        (Limits(call_quota=Quota(1, Period.DAY), tokens_per_minute=1), "Out of call volume quota"),
    ],
    ids=["calls at a time", "call quota"],
)
def test_limits_on_calls_come_before_those_on_tokens_and_before_a_fault(
    book: Book, limits: Limits, refusal: str, *, faulty: bool
) -> None:
    book.call(limits).open()
    second = book.call(limits)
    second.open_soon()
    with pytest.raises((RateLimitedError, PermissionDeniedError), match=refusal):
        second.open_due() if faulty else second.admit(MODEL, 10, [50])
    second.open_due()  # it has been refused, once
    second.settle(429)
    assert book.held() == (1, 0)


def test_who_was_over_a_limit_on_calls_is_asked_first_the_next_time(book: Book) -> None:
    limits = Limits(max_concurrency=1)
    first = book.admitted(limits)
    over = book.call(limits)
    over.open_soon()
    with pytest.raises(RateLimitedError):
        over.admit(MODEL, 10, [50])
    with pytest.raises(RateLimitedError):
        book.call(limits).open_soon()  # before anything of the request is read
    book.finish(first, 1)
    let_in = book.call(limits)
    let_in.open_soon()
    assert book.held()[0] == 1
    book.finish(let_in, 0)
    book.call(limits).open_soon()
    assert book.held()[0] == 0


def test_a_call_that_the_gateway_failed_is_not_counted(book: Book) -> None:
    limits = Limits(call_quota=Quota(1, Period.HOUR))
    for _ in range(3):
        failed = book.call(limits)
        failed.open()
        failed.settle(503)
    book.call(limits).open()


def test_a_call_rate_is_taken_before_anything_else(book: Book) -> None:
    limits = Limits(rate=Rate(1, 60), call_quota=Quota(5, Period.DAY))
    first = book.call(limits)
    first.open()
    assert first.requests is not None
    assert first.requests[:2] == (1, 0)
    second = book.call(limits)
    with pytest.raises(RateLimitedError, match=r"^Rate limit is exceeded"):
        second.open()
    assert second.requests is not None
    assert second.requests[:2] == (1, 0)
    second.settle(429)
    assert book.held()[0] == 1


def test_headers_show_the_first_limit_of_each_kind(book: Book) -> None:
    admission = book.admitted(ALL, 10, 50)
    assert admission.requests == (100, 99, 12 * 3600)
    assert admission.tokens == (1000, 940, 60.0)


def test_a_new_quota_knows_what_was_used_before_it(book: Book) -> None:
    book.finish(book.admitted(Limits()), 7)
    assert book.call(tokens(100)).admit(MODEL, 10, [500]) == 73


def test_a_clock_that_is_set_back_locks_nobody_out_of_tokens_a_minute(book: Book) -> None:
    limits = Limits(tokens_per_minute=100)
    book.finish(book.admitted(limits), 90)
    book.clock.advance(seconds=-1)  # as far as the clocks of two hosts may differ
    with pytest.raises(RateLimitedError):
        book.admitted(limits)
    book.clock.advance(hours=-1)
    assert book.admitted(limits).tokens == (100, 40, 60.0)


def test_a_clock_that_is_set_back_and_forth_leaves_each_window_as_it_was(book: Book) -> None:
    limits = tokens(100, Period.HOUR)
    book.finish(book.admitted(limits), 40)
    book.clock.advance(hours=1)
    assert book.call(limits).admit(MODEL, 10, [500]) == 90
    book.clock.advance(hours=-1)
    assert book.call(limits).admit(MODEL, 10, [500]) == 40


def test_a_call_belongs_to_the_window_that_it_began_in(book: Book) -> None:
    limits = tokens(100, Period.HOUR)
    running = book.admitted(limits, 10, 90)
    book.clock.advance(hours=1)
    assert book.call(limits).admit(MODEL, 10, [500]) == 90
    book.finish(running, 90)
    assert book.used(Quota(100, Period.HOUR)) == 0


def later(book: Book, prompt: int, most: int) -> tuple[threading.Thread, list[int]]:
    """A call that waits in a thread, and what it is granted."""
    granted: list[int] = []
    call = book.call(tokens(100))
    thread = threading.Thread(daemon=True, target=lambda: granted.append(call.admit(MODEL, prompt, [most])))
    thread.start()
    return thread, granted


def test_what_others_hold_is_waited_for_and_then_used(store: Store, book: Book) -> None:
    patient = make_book(store, book.clock, patience=1000)
    holder = patient.admitted(tokens(100), 10, 90)
    thread, granted = later(patient, 10, 60)
    wait_for(lambda: patient.admissions.waiting_room.waits("acme"), "the waiter")
    patient.finish(holder, 20)
    thread.join(10)
    assert granted == [60]


def test_a_call_that_waits_for_tokens_is_one_of_those_at_a_time(store: Store, book: Book) -> None:
    limits = replace(tokens(100), max_concurrency=2)
    patient = make_book(store, book.clock, patience=1000)
    holder = patient.admitted(limits, 10, 90)
    waiting = patient.call(limits)
    waiting.open_soon()
    granted: list[int] = []
    thread = threading.Thread(daemon=True, target=lambda: granted.append(waiting.admit(MODEL, 10, [60])))
    thread.start()
    wait_for(lambda: patient.admissions.waiting_room.waits("acme"), "the waiter")
    assert book.held() == (2, 100)
    with pytest.raises(RateLimitedError, match="Concurrency limit is exceeded"):
        book.call(limits).open()
    patient.finish(holder, 20)
    thread.join(10)
    assert granted == [60]


def test_a_call_begins_with_what_is_free(book: Book) -> None:
    book.admitted(tokens(100), 10, 60)
    second = book.call(tokens(100))
    assert second.admit(MODEL, 10, [60]) == second.leased == 20
    assert second.most == 60


def test_who_cannot_wait_comes_back(book: Book) -> None:
    book.admitted(tokens(100), 10, 90)
    with pytest.raises(RateLimitedError, match="reserved by calls that run") as error:
        book.call(tokens(100)).admit(MODEL, 10, [60])
    assert error.value.retry_after == 1


def test_patience_ends(store: Store, book: Book) -> None:
    patient = make_book(store, book.clock, patience=3)
    patient.admitted(tokens(100), 10, 85)
    patient.monotonic.step = 1.0
    with pytest.raises(RateLimitedError, match="reserved by calls that run"):
        patient.call(tokens(100)).admit(MODEL, 10, [60])


def test_who_would_wait_in_vain_is_told_at_once(store: Store, book: Book) -> None:
    patient = make_book(store, book.clock, patience=1000)
    runs = patient.admitted(tokens(100), 10, 85)
    runs.noted = 79
    patient.admissions.note()
    thread, granted = later(patient, 10, 1)  # 11 would be there if it ended now
    wait_for(lambda: patient.admissions.waiting_room.waits("acme"), "the waiter")
    with pytest.raises(PermissionDeniedError, match="needs 12 tokens at least, 11 are left"):
        patient.call(tokens(100)).admit(MODEL, 11, [60])
    patient.finish(runs, 79)
    thread.join(10)
    assert granted == [1]


def test_before_its_first_token_a_call_may_still_give_back_its_prompt(store: Store, book: Book) -> None:
    patient = make_book(store, book.clock, patience=1000)
    runs = patient.admitted(tokens(100), 90, 1)
    thread, granted = later(patient, 10, 60)
    wait_for(lambda: patient.admissions.waiting_room.waits("acme"), "the waiter")
    runs.usage.prompt_tokens = 0  # the engine does not take it
    patient.finish(runs, 0, status=503)
    thread.join(10)
    assert granted == [60]


def test_who_waits_longest_goes_first(store: Store, book: Book) -> None:
    patient = make_book(store, book.clock, patience=1000)
    holder = patient.admitted(tokens(100), 10, 85)
    first, large = later(patient, 50, 45)
    wait_for(lambda: patient.admissions.waiting_room.waits("acme"), "the first")
    second = patient.call(tokens(100))  # it would fit at once, and leave too little for the first
    thread = threading.Thread(daemon=True, target=lambda: second.admit(MODEL, 1, [4]))
    thread.start()
    patient.finish(holder, 0)
    first.join(10)
    assert large == [40]
    assert second.leased == 0
    (running,) = patient.admissions.running.all()
    patient.finish(running, 0)
    thread.join(10)
    assert second.leased == 4


def test_who_hangs_up_while_it_waits_leaves(store: Store, book: Book) -> None:
    patient = make_book(store, book.clock, patience=1000)
    patient.admitted(tokens(100), 10, 85)
    call = patient.call(tokens(100))
    call.watch = _hung_up
    with pytest.raises(Cancelled):
        call.admit(MODEL, 10, [60])
    assert not patient.admissions.waiting_room.waits("acme")


@contextmanager
def _hung_up(gone: Callable[[], None]) -> Iterator[None]:
    gone()
    yield


def test_who_waits_when_the_process_ends_is_sent_away(store: Store, book: Book) -> None:
    patient = make_book(store, book.clock, patience=1000)
    patient.admitted(tokens(100), 10, 85)
    found: list[BaseException] = []

    def wait() -> None:
        try:
            patient.call(tokens(100)).admit(MODEL, 60, [60])
        except UnavailableError as error:
            found.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    wait_for(lambda: patient.admissions.waiting_room.waits("acme"), "the waiter")
    patient.admissions.stopping = True
    patient.admissions.waiting_room.tell()
    thread.join(10)
    assert len(found) == 1


def test_without_a_ledger_nobody_is_let_in(tmp_path: Path, clock: Clock) -> None:
    away = make_book(connect_store(f"sqlite:///{tmp_path / 'none' / 'g.sqlite3'}", patience=0.01), clock)
    with pytest.raises(UnavailableError):
        away.call(ALL).open()
    with pytest.raises(UnavailableError):
        away.call(Limits()).admit(MODEL, 1, [1])


def test_an_end_that_cannot_be_written_is_written_later(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    admission = book.admitted(tokens(100))
    with monkeypatch.context() as patch:
        patch.setattr(
            type(book.store), "writing_directly", lambda _self: (_ for _ in ()).throw(UnavailableError("away"))
        )
        book.finish(admission, 7)
    assert book.held() == (1, 60)
    assert book.admissions.ledger.write_late() == 0
    assert book.held() == (0, 0)
    assert book.used(DAILY) == 17


def test_a_row_says_all_of_a_call(book: Book) -> None:
    admission = book.admitted(tokens(100))
    book.clock.advance(seconds=2)
    book.monotonic.now += 1.5
    admission.usage.cached_tokens, admission.usage.delivered_tokens = 8, 6
    admission.usage.finish_reason, admission.usage.first_token_seconds = "stop", 0.25
    book.finish(admission, 7)
    with book.store.reading() as connection:
        row = call_rows.find(connection, admission.call.id)
    assert row is not None
    found = row._asdict()
    assert found.pop("id") == admission.call.id
    assert found == {
        "trace_id": "0" * 32,
        "subscription_id": "acme",
        "key_slot": "primary",
        "product_id": "p",
        "operation": "Get Data",
        "model": "m",
        "started_at": book.clock() - timedelta(seconds=2),
        "day": "2030-01-01",
        "ended_at": book.clock(),
        "beat": 0,
        "reserved": 0,
        "prompt_tokens": 10,
        "cached_tokens": 8,
        "completion_tokens": 7,
        "delivered_tokens": 6,
        "status": 200,
        "finish_reason": "stop",
        "first_token_seconds": 0.25,
        "duration_seconds": 1.5,
        "account": 0,
    }


def test_waiting_calls_do_not_take_all_the_room(store: Store, book: Book) -> None:
    patient = make_book(store, book.clock, patience=1000)
    patient.admissions.waiting_room = WaitingRoom(1)
    holder = patient.admitted(tokens(100), 10, 85)
    thread, granted = later(patient, 6, 60)
    wait_for(lambda: patient.admissions.waiting_room.waits("acme"), "the waiter")
    with pytest.raises(RateLimitedError, match="reserved by calls that run"):
        patient.call(tokens(100)).admit(MODEL, 5, [60])
    patient.finish(holder, 0)
    thread.join(10)
    assert granted == [60]
