"""Exact, whatever happens in whatever order, and with any number of processes."""

from __future__ import annotations

import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from gateway.engine import Message, Standing
from gateway.engines.scripted import Script, ScriptedEngine
from gateway.errors import PermissionDeniedError, RateLimitedError
from gateway.keeper import Keeper
from gateway.keys import KeyHasher
from gateway.periods import Period
from gateway.products import Product, Quota
from gateway.service import GenerateRequest
from gateway.store import connect_store, open_store
from gateway.subscription import Caller, utc_now
from gateway.subscriptions import Subscriptions
from tests.gateways import make_gateway
from tests.limits.conftest import MODEL, Book, make_book, tokens
from tests.store.conftest import PEPPER, Clock
from tests.store.processes import at_once

if TYPE_CHECKING:
    from gateway.admission import Admission
    from gateway.store import Store

QUOTA = 500
PROCESSES, ROUNDS, LEAST = 8, 30, 16


class Interleavings(RuleBasedStateMachine):
    """Two processes, one quota: calls are admitted, produce ids, get more, end, are broken off, or die with theirs."""

    admitted = Bundle("admitted")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(f"sqlite:///{Path(self.folder.name) / 'g.sqlite3'}")
        self.clock = Clock(datetime(2030, 1, 1, tzinfo=UTC))
        Subscriptions(self.store, KeyHasher(PEPPER), self.clock).create("acme", "unlimited", sid="acme")
        self.processes = [make_book(self.store, self.clock) for _ in range(2)]
        self.spent = 0  # real ids of calls that are over

    def running(self) -> list[Admission]:
        """All calls that run."""
        return [call for process in self.processes for call in process.admissions.running.all()]

    @rule(target=admitted, which=st.integers(0, 1), prompt=st.integers(1, 40), most=st.integers(1, 400))
    def admit(self, which: int, prompt: int, most: int) -> Admission | None:
        """A call comes."""
        call = self.processes[which].call(tokens(QUOTA))
        call.open()
        try:
            call.admit(MODEL, prompt, [most])
        except (PermissionDeniedError, RateLimitedError):
            call.settle(403)
            return None
        return call

    @rule(one=admitted, share=st.floats(0, 1))
    def produce(self, one: Admission | None, share: float) -> None:
        """The engine makes some more of it."""
        if one is not None and one in self.running():  # not one that is over
            one.usage.completion_tokens = max(one.usage.completion_tokens, int(one.leased * share))

    @rule(one=admitted)
    def extend(self, one: Admission | None) -> None:
        """It needs more than it has."""
        if one is not None and one in self.running() and one.leased < one.most:
            self.extended(one)

    def extended(self, call: Admission) -> bool:
        """Whether it may go on."""
        before = call.leased
        found = call.extend([Standing(call.usage.completion_tokens, ended=False)])
        assert before <= found.ids == call.leased <= call.most
        if found.last:  # only where all of the quota has really been spent
            assert self.spent + sum(one.usage.total_tokens for one in self.running()) == QUOTA
        return not found.last

    @rule(one=consumes(admitted), status=st.sampled_from([200, 499, 500, 504]))
    def end(self, one: Admission | None, status: int) -> None:
        """It ends: whole, hung up, failed, or too late."""
        if one is not None and one in self.running():
            self.spent += one.usage.total_tokens
            one.settle(status)

    @rule(which=st.integers(0, 1), engine_lives=st.booleans())
    def kill(self, which: int, engine_lives: bool) -> None:  # noqa: FBT001 - hypothesis names it
        """A process dies; the other one settles what it left."""
        dead, living = self.processes[which], self.processes[1 - which]
        calls = list(dead.admissions.running.all())
        if not engine_lives:
            Keeper(dead.admissions).beat()  # as it did within the last second
        produced = {call.call.id: call.usage.completion_tokens if engine_lives else None for call in calls}
        living.admissions.ledger.lose(produced)
        self.spent += sum(call.usage.total_tokens for call in calls)
        self.processes[which] = make_book(self.store, self.clock)

    @invariant()
    def within_the_quota(self) -> None:
        """`0 <= used + reserved <= quota`, and `used` is what was really spent."""
        used = self.processes[0].used(Quota(QUOTA, Period.DAY))
        running, reserved = self.processes[0].held()
        assert used == self.spent
        assert 0 <= used + reserved <= QUOTA
        assert (running == 0) == (reserved == 0)

    def teardown(self) -> None:
        """All that still runs goes on for as long as it may: nobody waits for ever."""
        for _ in range(QUOTA):
            for call in self.running():
                call.usage.completion_tokens = call.leased
                if call.leased == call.most or not self.extended(call):
                    self.spent += call.usage.total_tokens
                    call.settle(200)
            if not self.running():
                break
        assert self.processes[0].held() == (0, 0)
        assert self.processes[0].used(Quota(QUOTA, Period.DAY)) == self.spent
        self.store.close()
        self.folder.cleanup()


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def spend(url: str, quota: int, rounds: int) -> tuple[int, bool]:
    """In a process of its own: call after call, until the quota is used up. What was spent, and whether it was."""
    store = connect_store(url, patience=30)
    book = make_book(store, Clock(), patience=60)
    book.admissions.ledger.clock = utc_now
    book.monotonic.step = 0.01
    spent, refused = 0, False
    for _ in range(rounds):
        call = book.call(tokens(quota, Period.LIFETIME))
        call.open()
        try:
            most = call.admit(MODEL, LEAST - 1, [200])
        except PermissionDeniedError:
            call.settle(403)
            refused = True
            break
        # As the engine would: no id more than it has, until it has more.
        wanted = random.randint(1, 20)  # noqa: S311 - no secret
        while most < wanted and not (found := call.extend([Standing(most, ended=False)])).last:
            most = found.ids
        call.usage.completion_tokens = min(most, wanted)
        call.settle(200)
        spent += call.usage.total_tokens
    store.close()
    return spent, refused


@pytest.fixture
def book(store: Store, subscriptions: Subscriptions) -> Book:
    subscriptions.create("acme", "unlimited", sid="acme")
    return make_book(store, Clock())


def test_eight_processes_spend_one_quota_to_the_last_call_that_fits(url: str, book: Book) -> None:
    quota = 2000
    found = at_once(PROCESSES, spend, url, quota, 1000)
    total = sum(spent for spent, _ in found)
    assert book.used(Quota(quota, Period.LIFETIME)) == total
    assert quota - LEAST < total <= quota  # nobody was refused while a call would still have fitted
    assert all(refused for _, refused in found)
    assert book.held() == (0, 0)


def test_eight_processes_are_not_refused_what_the_quota_pays_for(url: str, book: Book) -> None:
    # Each call reserves 215 tokens and uses 35 at most: enough for all, and far too little for their reservations.
    quota = PROCESSES * ROUNDS * 35
    found = at_once(PROCESSES, spend, url, quota, ROUNDS)
    assert not any(refused for _, refused in found)
    assert book.used(Quota(quota, Period.LIFETIME)) == sum(spent for spent, _ in found)


PROMPT, LENGTH, THREADS, CALLS = 10, 300, 2, 3


def answer(url: str, quota: int) -> tuple[int, list[str]]:
    """In a process of its own: answers of several blocks from a scripted engine. What was spent, and how they ended."""
    store = connect_store(url, patience=30)
    engine = ScriptedEngine(lambda _prompt: Script("x" * LENGTH), context_length=2000)
    gateway = make_gateway(engine, store, patience=60)
    caller = Caller("acme", "acme", Product("p", "p", tokens(quota, Period.LIFETIME)), "primary")

    def calls(_: int) -> list[tuple[int, str]]:
        return [call() for _ in range(CALLS)]

    def call() -> tuple[int, str]:
        admission = gateway.call(caller, "Get Data", "0" * 32)
        try:
            admission.open()
            made = gateway.generate(admission, GenerateRequest((Message("user", "p" * PROMPT),)))
            list(made)
        except PermissionDeniedError:
            admission.settle(403)
            return 0, "refused"
        admission.settle(200)
        return admission.usage.total_tokens, str(admission.usage.finish_reason)

    with ThreadPoolExecutor(THREADS) as pool:
        found = [one for some in pool.map(calls, range(THREADS)) for one in some]
    store.close()
    return sum(spent for spent, _ in found), [how for _, how in found]


def test_eight_processes_get_long_answers_whole_where_the_quota_pays_for_their_real_use(url: str, book: Book) -> None:
    quota = PROCESSES * THREADS * CALLS * (PROMPT + LENGTH)
    found = at_once(PROCESSES, answer, url, quota)
    assert {how for _, ends in found for how in ends} == {"stop"}
    assert book.used(Quota(quota, Period.LIFETIME)) == sum(spent for spent, _ in found) == quota
    assert book.held() == (0, 0)


def test_eight_processes_cut_long_answers_where_the_quota_ends_and_spend_it_all(url: str, book: Book) -> None:
    quota = PROCESSES * THREADS * CALLS * (PROMPT + LENGTH) // 2
    found = at_once(PROCESSES, answer, url, quota)
    total = sum(spent for spent, _ in found)
    assert book.used(Quota(quota, Period.LIFETIME)) == total
    assert quota - (PROMPT + 1) < total <= quota
    assert {how for _, ends in found for how in ends} == {"stop", "length", "refused"}
    assert book.held() == (0, 0)
