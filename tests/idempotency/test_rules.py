"""One key, one call, one charge: what is made, what is kept, for how long, and who gets it."""

from __future__ import annotations

import secrets
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from gateway import sealing
from gateway.engine import Cancelled
from gateway.errors import (
    ConflictError,
    DeadlineExceededError,
    InternalError,
    InvalidKeyError,
    InvalidRequestError,
    PermissionDeniedError,
    RateLimitedError,
    UnavailableError,
)
from gateway.keeper import SWEEP_EVERY, Keeper, Watch
from gateway.ledger import REPLACED
from gateway.periods import Period, window
from gateway.products import Limits, Quota, Rate
from gateway.store import call_rows, kept_rows, quota_rows
from gateway.store.call_rows import Owner
from gateway.store.tables import calls, kept_answers
from tests.idempotency.conftest import ANSWER, REQUEST, Side, kept_rows_of
from tests.limits.conftest import MODEL, Monotonic, make_book
from tests.limits.test_dead_processes import look_until_dead
from tests.server import wait_for

if TYPE_CHECKING:
    from sqlalchemy import Row

    from gateway.store import Store
    from gateway.subscriptions import Subscriptions
    from tests.store.conftest import Clock

NONE = Limits()
DAILY = Quota(1000, Period.DAY)
EVER = Quota(1000, Period.LIFETIME)
OTHER_REQUEST = (*REQUEST[:2], b'{"prompt": "Good bye"}')


def row_of(store: Store, call: str) -> Row[tuple[object, ...]]:
    with store.reading() as connection:
        found = call_rows.find(connection, call)
    assert found is not None
    return found


def call_count(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(calls)).scalar_one())


def charged(side: Side) -> int:
    return side.book.used(EVER)


def test_the_same_key_gets_the_same_answer_and_costs_nothing(side: Side, store: Store) -> None:
    first = side.begun(NONE)
    side.finish(first, 7)
    again = side.replayed(NONE)
    assert again is not None
    assert (again.media_type, again.body, again.trace_id) == ("application/json", ANSWER, first.call.trace_id)
    assert charged(side) == 17
    assert call_count(store) == 1


def test_another_process_gives_the_same_answer(side: Side, other: Side) -> None:
    side.finish(side.begun(NONE), 7)
    again = other.replayed(NONE)
    assert again is not None
    assert again.body == ANSWER


@pytest.mark.parametrize("request_", [OTHER_REQUEST, (b"completions", *REQUEST[1:]), (REQUEST[0], b"m", REQUEST[2])])
def test_the_same_key_with_another_request_is_refused(side: Side, request_: tuple[bytes, ...]) -> None:
    call = side.begun(NONE)
    with pytest.raises(InvalidRequestError, match="another request") as refusal:
        side.replayed(NONE, request=request_)
    assert refusal.value.param == "Idempotency-Key"
    side.finish(call, 7)
    with pytest.raises(InvalidRequestError, match="another request"):
        side.replayed(NONE, request=request_)
    assert side.replayed(NONE) is not None


def test_where_one_part_of_a_request_ends_makes_a_difference(side: Side) -> None:
    side.finish(side.begun(NONE), 7)
    with pytest.raises(InvalidRequestError):
        side.replayed(NONE, request=(REQUEST[0] + b"{", b"", REQUEST[2][1:]))


@pytest.mark.parametrize("key", ["", "a b", "a\tb", "schlüssel", "a" * 256, "a\n"])
def test_what_is_no_key_is_refused(side: Side, key: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"Idempotency-Key should be 1 to 255 visible ASCII characters"):
        side.open(side.book.call(NONE), key)


@pytest.mark.parametrize("key", ["a", "a" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "~!"])
def test_what_is_a_key_is_taken(side: Side, key: str) -> None:
    side.finish(side.begun(NONE, key), 7)
    assert side.replayed(NONE, key) is not None


def test_two_subscriptions_with_the_same_key_are_apart(
    side: Side, store: Store, subscriptions: Subscriptions, clock: Clock
) -> None:
    subscriptions.create("other", "unlimited", sid="other")
    theirs = Side(make_book(store, clock, "other"))
    side.finish(side.begun(NONE), 7)
    assert theirs.open(theirs.book.call(NONE)) is None
    assert {row.subscription_id for row in kept_rows_of(store)} == {"acme", "other"}


def test_an_answer_that_was_put_into_another_row_does_not_open(side: Side, store: Store) -> None:
    for key in ("one", "two"):
        side.finish(side.begun(NONE, key), 7)
    one, two = kept_rows_of(store)
    with store.writing() as connection:
        connection.execute(
            kept_answers.update().where(kept_answers.c.key_digest == one.key_digest).values(answer=two.answer)
        )
    # Which of the two rows came first is the database's affair: one key opens, the other does not.
    with pytest.raises(InternalError) as fault:
        _ = [side.replayed(NONE, key) for key in ("one", "two")]
    assert "damaged or exchanged" in str(fault.value.detail)


def test_who_comes_while_the_first_runs_waits_for_its_answer(side: Side) -> None:
    first = side.begun(NONE)
    with ThreadPoolExecutor(5) as pool:
        others = [pool.submit(side.replayed, NONE) for _ in range(5)]
        wait_for(lambda: side.waiting() == 5, "five that wait")
        assert not any(other.done() for other in others)
        side.finish(first, 7)
        answers = [other.result(10) for other in others]
    assert [answer and answer.body for answer in answers] == [ANSWER] * 5
    assert charged(side) == 17
    assert side.waiting() == 0


def test_who_comes_to_another_process_waits_as_well(side: Side, other: Side, store: Store) -> None:
    first = side.begun(NONE)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.replayed, NONE)
        wait_for(lambda: other.waiting() == 1, "one that waits")
        side.finish(first, 7)
        answer = waiting.result(10)
    assert answer is not None
    assert answer.body == ANSWER
    assert call_count(store) == 1


def test_where_the_first_comes_to_no_answer_the_next_is_made(side: Side) -> None:
    first = side.begun(NONE)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(side.open, side.book.call(NONE))
        wait_for(lambda: side.waiting() == 1, "one that waits")
        side.book.finish(first, 0, status=504)
        assert waiting.result(10) is None


def test_one_waits_no_longer_than_its_own_time(side: Side) -> None:
    side.begun(NONE)
    side.book.monotonic.step = 1
    call = side.book.call(NONE)
    with pytest.raises(DeadlineExceededError, match="same Idempotency-Key"):
        side.open(call, patience=2)
    assert call.held >= 2
    assert side.waiting() == 0


def test_one_that_hangs_up_waits_no_longer_and_is_no_call(side: Side, store: Store) -> None:
    side.begun(NONE)
    gone = threading.Event()
    gone.set()
    call = side.book.call(NONE)
    with pytest.raises(Cancelled):
        side.open(call, gone=gone)
    call.settle(499)
    assert call_count(store) == 1


def test_where_too_many_wait_one_is_told_to_come_again(side: Side, store: Store) -> None:
    side.begun(NONE)
    for _ in range(64):
        side.book.admissions.repeats.acquire()
    call = side.book.call(NONE)
    with pytest.raises(ConflictError, match="Idempotency-Key") as refusal:
        side.open(call)
    call.settle(409)
    assert refusal.value.retry_after == 1
    assert call_count(store) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 415, 429, 499, 503, 504])
def test_what_cost_nothing_is_not_kept(side: Side, store: Store, status: int) -> None:
    first = side.book.call(NONE)
    assert side.open(first) is None
    first.settle(status)
    assert kept_rows_of(store) == []
    assert side.open(side.book.call(NONE), request=OTHER_REQUEST) is None


def test_a_call_that_a_limit_refuses_takes_no_key(side: Side, store: Store) -> None:
    spent = Limits(call_quota=Quota(1, Period.DAY))
    side.finish(side.begun(spent, "first"), 7)
    refused = side.book.call(spent)
    with pytest.raises(PermissionDeniedError):
        side.open(refused, "second")
    refused.settle(403)
    assert len(kept_rows_of(store)) == 1


def test_an_answer_is_given_though_the_quotas_are_used_up(side: Side) -> None:
    spent = Limits(call_quota=Quota(1, Period.DAY), token_quota=Quota(17, Period.DAY), max_concurrency=1)
    side.finish(side.begun(spent), 7)
    running = side.begun(Limits(max_concurrency=1), "another")
    for _ in range(2):
        assert side.replayed(spent) is not None
    side.book.finish(running, 0)


def test_what_comes_again_counts_against_the_call_rate(side: Side) -> None:
    twice = Limits(rate=Rate(2, 60))
    side.finish(side.begun(twice), 7)
    assert side.replayed(twice) is not None
    with pytest.raises(RateLimitedError):
        side.replayed(twice)


def test_what_is_no_key_is_told_after_the_limits(side: Side) -> None:
    spent = Limits(call_quota=Quota(1, Period.DAY))
    side.finish(side.begun(spent), 7)
    with pytest.raises(PermissionDeniedError):
        side.open(side.book.call(spent), "no key")


def test_an_answer_is_kept_for_24_hours(side: Side, clock: Clock) -> None:
    side.finish(side.begun(NONE), 7)
    clock.advance(hours=24, seconds=-1)
    assert side.replayed(NONE) is not None
    clock.advance(seconds=1)
    fresh = side.begun(NONE)  # made anew
    side.finish(fresh, 9, b"another")
    again = side.replayed(NONE)
    assert again is not None
    assert again.body == b"another"


def test_a_key_may_come_with_another_request_after_24_hours(side: Side, clock: Clock) -> None:
    side.finish(side.begun(NONE), 7)
    clock.advance(hours=24)
    assert side.open(side.book.call(NONE), request=OTHER_REQUEST) is None


def test_old_answers_are_thrown_away_an_hour_later(side: Side, store: Store, clock: Clock) -> None:
    keeper = Keeper(side.book.admissions)
    side.finish(side.begun(NONE), 7)
    clock.advance(hours=25, seconds=-1)
    keeper.sweep(SWEEP_EVERY)
    assert len(kept_rows_of(store)) == 1
    clock.advance(seconds=1)
    keeper.sweep(SWEEP_EVERY + 1)
    assert len(kept_rows_of(store)) == 1
    keeper.sweep(2 * SWEEP_EVERY)
    assert kept_rows_of(store) == []


def test_more_old_answers_than_one_beat_may_remove_go_beat_by_beat(side: Side, store: Store, clock: Clock) -> None:
    keeper = Keeper(side.book.admissions)
    side.finish(side.begun(NONE), 7)
    (row,) = kept_rows_of(store)
    copies = [{**row._asdict(), "key_digest": secrets.token_bytes(32)} for _ in range(2 * kept_rows.SWEPT_AT_ONCE)]
    with store.writing() as connection:
        connection.execute(kept_answers.insert(), copies)
    clock.advance(hours=25)
    left = []
    for beat in range(SWEEP_EVERY, SWEEP_EVERY + 4):
        keeper.sweep(beat)
        left.append(len(kept_rows_of(store)))
    assert left == [201, 1, 0, 0]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_moved_by_an_hour_for_a_while_loses_no_answer(side: Side, clock: Clock, hours: int) -> None:
    keeper = Keeper(side.book.admissions)
    side.finish(side.begun(NONE), 7)
    clock.advance(hours=23, minutes=30)
    clock.advance(hours=hours)
    keeper.sweep(SWEEP_EVERY)
    clock.advance(hours=-hours)
    assert side.replayed(NONE) is not None
    assert charged(side) == 17


def test_a_clock_that_jumps_does_not_let_a_call_be_made_twice(side: Side, clock: Clock) -> None:
    first = side.begun(NONE)
    clock.advance(hours=48)
    with pytest.raises(DeadlineExceededError):
        side.open(side.book.call(NONE), patience=0)
    side.finish(first, 7)
    assert side.replayed(NONE) is not None


def test_what_a_killed_process_left_is_made_anew_for_one_charge(side: Side, other: Side, store: Store) -> None:
    time = Monotonic()
    keeper = Keeper(other.book.admissions, Watch(time))
    limits = Limits(token_quota=DAILY, call_quota=Quota(10, Period.DAY))
    dead = side.begun(limits)
    dead.usage.completion_tokens = 25
    Keeper(side.book.admissions).beat()  # and then it is killed
    with ThreadPoolExecutor(1) as pool:
        again = other.book.call(limits)
        waiting = pool.submit(other.open, again)
        wait_for(lambda: other.waiting() == 1, "one that waits")
        look_until_dead(keeper, time)
        assert waiting.result(10) is None
    lost = row_of(store, dead.call.id)
    assert (lost.prompt_tokens, lost.completion_tokens, lost.reserved, lost.status) == (0, 0, 0, 500)
    assert lost.finish_reason == REPLACED
    again.admit(MODEL, 10, [50])
    other.finish(again, 40)
    assert charged(other) == 50
    with store.writing() as connection:
        assert (
            quota_rows.used(connection, Owner("acme", 0), "calls", "day", window(Period.DAY, other.book.clock())) == 1
        )


def test_what_a_killed_process_left_is_charged_until_it_is_sent_again(side: Side, other: Side) -> None:
    dead = side.begun(NONE)
    Keeper(other.book.admissions).lost({dead.call.id: 12})
    assert charged(other) == 22
    with pytest.raises(InvalidRequestError):
        other.replayed(NONE, request=OTHER_REQUEST)
    other.finish(other.begun(NONE), 30)
    assert charged(other) == 40


def test_a_process_that_was_taken_for_dead_does_not_charge_what_was_made_anew(side: Side, other: Side) -> None:
    slow = side.begun(NONE)
    Keeper(other.book.admissions).lost({slow.call.id: 5})
    other.finish(other.begun(NONE), 30, b"the second")
    side.finish(slow, 33, b"the first")
    assert charged(other) == 40
    again = side.replayed(NONE)
    assert again is not None
    assert again.body == b"the second"


def test_a_process_that_was_taken_for_dead_still_keeps_its_answer(side: Side, other: Side) -> None:
    slow = side.begun(NONE)
    Keeper(other.book.admissions).lost({slow.call.id: 5})
    side.finish(slow, 33)
    assert other.replayed(NONE) is not None
    assert charged(other) == 43


@pytest.mark.parametrize(("status", "charge"), [(503, 40), (500, 40), (504, 57)])
def test_what_the_gateway_failed_is_charged_once_and_what_took_too_long_twice(
    side: Side, status: int, charge: int
) -> None:
    side.book.finish(side.begun(NONE), 7, status)
    assert charged(side) == 17
    side.finish(side.begun(NONE), 30)
    assert charged(side) == charge


def test_what_failed_again_and_again_is_charged_once(side: Side) -> None:
    for produced in (3, 4, 5):
        side.book.finish(side.begun(NONE), produced, 503)
    assert charged(side) == 15


def test_the_answer_and_the_charge_are_written_late_where_the_store_is_away(
    side: Side, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = side.begun(NONE)
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "writing_directly", lambda _self: (_ for _ in ()).throw(UnavailableError("away")))
        side.finish(call, 7)
    with pytest.raises(DeadlineExceededError):  # it counts as running as long as its end is not written
        side.open(side.book.call(NONE), patience=0)
    Keeper(side.book.admissions).beat()
    assert side.replayed(NONE) is not None
    assert charged(side) == 17


def test_an_answer_that_is_too_large_is_not_kept(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "LARGEST_ANSWER", 1000)
    call = side.begun(NONE)
    assert call.recording is not None
    call.recording.add(secrets.token_bytes(4000))
    side.finish(call, 7)
    assert side.open(side.book.call(NONE)) is None


def test_answers_go_with_their_subscription(side: Side, store: Store, subscriptions: Subscriptions) -> None:
    side.finish(side.begun(NONE), 7)
    subscriptions.delete("acme")
    assert kept_rows_of(store) == []
    with pytest.raises(InvalidKeyError):
        side.open(side.book.call(NONE))
    subscriptions.create("acme", "unlimited", sid="acme")
    assert side.open(side.book.call(NONE)) is None


def test_nothing_of_a_key_or_an_answer_is_in_the_store(side: Side, store: Store) -> None:
    side.finish(side.begun(NONE, "a-key-of-the-callers"), 7)
    (row,) = kept_rows_of(store)
    stored = b"".join(bytes(value) if isinstance(value, bytes) else str(value).encode() for value in row)
    for text in (b"a-key-of-the-callers", ANSWER, b"Good day", b"Hello", b"generated_text"):
        assert text not in stored
        assert zlib.compress(text)[2:-4] not in stored


def test_equal_calls_leave_nothing_equal_in_the_store(side: Side, store: Store) -> None:
    for key in ("one", "two"):
        side.finish(side.begun(NONE, key), 7)
    one, two = kept_rows_of(store)
    assert one.key_digest != two.key_digest
    assert one.fingerprint != two.fingerprint
    assert one.answer != two.answer
