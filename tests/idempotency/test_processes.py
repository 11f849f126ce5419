"""Real processes at once, on both databases: whoever is first makes the answer, all get it, one is charged."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gateway.periods import Period
from gateway.products import Limits, Quota
from gateway.store import connect_store
from gateway.subscription import utc_now
from tests.idempotency.conftest import REQUEST, Side
from tests.limits.conftest import MODEL, make_book
from tests.store.conftest import Clock
from tests.store.processes import at_once

if TYPE_CHECKING:
    from gateway.store import Store
    from gateway.subscriptions import Subscriptions

PROCESSES, THREADS, KEYS = 4, 4, 10
LIMITS = Limits(token_quota=Quota(100_000, Period.LIFETIME), call_quota=Quota(KEYS, Period.LIFETIME))


def ask_for_all_keys(url: str) -> list[tuple[bool, bytes]]:
    """Each key from several threads of this process: whether it made the answer, and the answer."""
    store = connect_store(url, patience=30)
    side = Side(make_book(store, Clock(utc_now())))
    process = str(threading.get_native_id()).encode()

    def ask(number: int) -> tuple[bool, bytes]:
        call = side.book.call(LIMITS)
        key = f"key-{number % KEYS}"
        try:
            kept = side.open(call, key, REQUEST)
            if kept is not None:
                return False, kept.body
            call.admit(MODEL, 10, [50])
            body = b"%b, by process %b" % (key.encode(), process)
            side.finish(call, 7, body)
            return True, body
        finally:
            call.settle(500)

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(ask, range(KEYS * THREADS)))
    store.close()
    return found


def test_every_key_is_made_once_and_all_get_its_answer(store: Store, url: str, subscriptions: Subscriptions) -> None:
    subscriptions.create("acme", "unlimited", sid="acme")
    found = [one for process in at_once(PROCESSES, ask_for_all_keys, url) for one in process]
    assert len(found) == PROCESSES * THREADS * KEYS
    assert sum(made for made, _ in found) == KEYS
    answers = {body for _, body in found}
    assert len(answers) == KEYS
    assert {body.split(b",")[0] for body in answers} == {b"key-%d" % number for number in range(KEYS)}
    book = make_book(store, Clock(utc_now()))
    assert book.used(Quota(1, Period.LIFETIME)) == KEYS * 17
    assert book.held() == (0, 0)
