"""Admissions over a real store, with a clock that a test sets; on both databases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from gateway.admissions import Admissions
from gateway.engine import Model
from gateway.ledger import Ledger
from gateway.periods import Period, window
from gateway.products import Limits, Product, Quota
from gateway.rates import CallRates, MemoryWindows
from gateway.store import call_rows
from gateway.subscription import Caller
from tests.store.conftest import Clock, clock, store, subscriptions, url

if TYPE_CHECKING:
    from gateway.admission import Admission
    from gateway.store import Store
    from gateway.subscriptions import Subscriptions

__all__ = ["clock", "store", "subscriptions", "url"]

MODEL = Model("m", "m", 2048, 0)


class Monotonic:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.step = 0.0  # passes with each look

    def __call__(self) -> float:
        """What it shows."""
        self.now += self.step
        return self.now


@dataclass
class Book:
    """One process's admissions for one subscription."""

    admissions: Admissions
    store: Store
    clock: Clock
    monotonic: Monotonic
    sid: str

    def call(self, limits: Limits) -> Admission:
        """A call that begins now."""
        caller = Caller(self.sid, self.sid, Product("p", "p", limits), "primary")
        return self.admissions.of(caller, "Get Data", "0" * 32)

    def admitted(self, limits: Limits, prompt: int = 10, most: int = 50) -> Admission:
        """A call that has been let in."""
        admission = self.call(limits)
        admission.open()
        admission.admit(MODEL, prompt, [most])
        return admission

    def finish(self, admission: Admission, completion: int, status: int = 200) -> None:
        """The answer has been made."""
        admission.usage.completion_tokens = completion
        admission.settle(status)

    def held(self) -> tuple[int, int]:
        """Calls that run, and what they reserve."""
        with self.store.reading() as connection:
            found = call_rows.running(
                connection, self.call(Limits()).call.owner, window(Period.LIFETIME, self.clock()), but=""
            )
        return found.calls, found.reserved

    def used(self, quota: Quota) -> int:
        """What the window of a quota has used."""
        with self.admissions.ledger.account(self.call(Limits()).call) as account:
            return account.used("tokens", quota)[0]


@pytest.fixture
def book(store: Store, subscriptions: Subscriptions, clock: Clock) -> Book:
    """Nobody waits in it: what others hold is not worth waiting for."""
    subscriptions.create("acme", "unlimited", sid="acme")
    return make_book(store, clock)


def make_book(store: Store, clock: Clock, sid: str = "acme", patience: float = 0.0) -> Book:
    """Another process's admissions."""
    monotonic = Monotonic()
    admissions = Admissions(Ledger(store, clock), CallRates(MemoryWindows()), patience=patience, monotonic=monotonic)
    return Book(admissions, store, clock, monotonic, sid)


def tokens(amount: int, period: Period = Period.DAY) -> Limits:
    """A token quota and nothing else."""
    return Limits(token_quota=Quota(amount, period))
