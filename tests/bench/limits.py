"""What limits, the ledger and keys cost, without an engine: `python -m tests.bench.limits`.

Everything that is compared is measured in turn, in rounds; a figure is the median of the rounds' with the least and the
largest behind it.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from app.auth import KEY_HEADER
from app.factory import create_app
from gateway.admissions import Admissions
from gateway.engine import Model, Standing
from gateway.engines.scripted import ScriptedEngine
from gateway.errors import InvalidKeyError
from gateway.keys import KeyHasher, new_key
from gateway.ledger import Ledger
from gateway.periods import Period
from gateway.products import Limits, Product, Products, Quota, Rate
from gateway.rates import CallRates, MemoryWindows
from gateway.rates.shared import RedisWindows, SharedWindows
from gateway.store import Store, open_store
from gateway.subscription import Caller, State
from gateway.subscriptions import Subscriptions
from gateway.telemetry import configure_logging
from tests.bench.figures import Figure, percentile
from tests.gateways import PEPPER, make_gateway, make_services
from tests.services import running_postgresql, running_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUNDS, TIMES = 15, 150
MOST_MILLISECONDS = 1.0
"""CPU that all limits may cost for a request."""

MOST_APART = 0.05
"""How far the median times of two kinds of keys may lie apart, as a share."""

_PLENTY = 10**9
ALL = Limits(
    rate=Rate(_PLENTY, 60),
    call_quota=Quota(_PLENTY, Period.MONTH),
    tokens_per_minute=_PLENTY,
    token_quota=Quota(_PLENTY, Period.MONTH),
    max_concurrency=1000,
    max_tokens=1000,
)
_MODEL = Model("m", "m", 4096, 0)


def main() -> None:
    """Measure and report."""
    configure_logging()
    logging.disable(logging.INFO)  # a line for each request would be the same on all sides
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sqlite = _opened(stack, f"sqlite:///{folder / 'g.sqlite3'}")
        postgresql = _opened(stack, stack.enter_context(running_postgresql()))
        redis = stack.enter_context(running_redis())
        _say("CPU of a request, in ms", requests(sqlite))
        _say("an admission's steps, in ms", admissions({"SQLite": sqlite, "PostgreSQL": postgresql}))
        _say("a call out of a rate, in ms", takes(redis.url))
        _say("a key looked up, in ms", keys({"SQLite": sqlite, "PostgreSQL": postgresql}))


@dataclass
class Rounds:
    """Figures by name, one for each round."""

    found: dict[str, list[float]]

    def add(self, name: str, value: float) -> None:
        """Take one down."""
        self.found.setdefault(name, []).append(value)


def requests(store: Store) -> Rounds:
    """CPU of whole requests through the app, engine thread included, with all limits and with none."""
    subscriptions, products = Subscriptions(store, KeyHasher(PEPPER)), Products(store)
    products.set("all", lambda _old: ALL)
    keys = {name: subscriptions.create(name, name).primary_key for name in ("unlimited", "all")}
    gateway = make_gateway(ScriptedEngine(), store)
    app: Any = create_app(make_services(gateway, subscriptions, store), max_body_bytes=10_000)
    rounds = Rounds({})
    for number in range(ROUNDS + 1):
        costs = {}
        for name in _either_first(keys, number):
            started = time.process_time()
            for _ in range(TIMES):
                _request(app, keys[name])
            costs[name] = (time.process_time() - started) / TIMES * 1000
        if number:  # the first one warms up
            rounds.add("no limits", costs["unlimited"])
            rounds.add("all limits", costs["all"])
            rounds.add(f"all over none (at most {MOST_MILLISECONDS:g})", costs["all"] - costs["unlimited"])
    return rounds


def admissions(stores: Mapping[str, Store]) -> Rounds:
    """The time of `open` and `admit` together, of `extend`, and of `settle`, with all limits."""
    rounds = Rounds({})
    makers: dict[str, Callable[[], Any]] = {}
    for name, store in stores.items():
        sid = Subscriptions(store, KeyHasher(PEPPER)).create("admissions", "unlimited").subscription.id
        every = Admissions(Ledger(store), CallRates(MemoryWindows()))
        makers[name] = partial(every.of, Caller(sid, sid, Product("p", "p", ALL), "primary"), "Get Data", "0" * 32)
    for number in range(ROUNDS + 1):
        for name in _either_first(makers, number):
            admit, extend, settle = [], [], []
            for _ in range(TIMES):
                call = makers[name]()
                began = time.perf_counter()
                call.open()
                call.admit(_MODEL, 20, [100])
                admitted = time.perf_counter()
                before = time.perf_counter()
                call.extend([Standing(40, ended=False)])
                extend.append((time.perf_counter() - before) * 1000)
                call.usage.completion_tokens = 50
                before = time.perf_counter()
                call.settle(200)
                settle.append((time.perf_counter() - before) * 1000)
                admit.append((admitted - began) * 1000)
            if number:
                for step, times in (("admit", admit), ("extend", extend), ("settle", settle)):
                    rounds.add(f"{step}, {name}, p50", percentile(times, 0.5))
                    rounds.add(f"{step}, {name}, p99", percentile(times, 0.99))
    return rounds


def takes(redis_url: str) -> Rounds:
    """The time of a call's count, in Redis and in the process."""
    places = {
        "Redis": CallRates(SharedWindows(RedisWindows(redis_url))),
        "in the process": CallRates(MemoryWindows()),
    }
    rounds = Rounds({})
    for number in range(ROUNDS + 1):
        for name in _either_first(places, number):
            times = []
            for _ in range(TIMES):
                began = time.perf_counter()
                places[name].take("somebody", Rate(_PLENTY, 60))
                times.append((time.perf_counter() - began) * 1000)
            if number:
                rounds.add(f"{name}, p50", percentile(times, 0.5))
                rounds.add(f"{name}, p99", percentile(times, 0.99))
    return rounds


def keys(stores: Mapping[str, Store]) -> Rounds:
    """The time of `verify` for keys that are unknown, suspended and valid, each once in every turn."""
    rounds = Rounds({})
    for database, store in stores.items():
        subscriptions = Subscriptions(store, KeyHasher(PEPPER))
        # As many of them as a small operator has, all on one product: an unknown key meets any of them.
        issued = [subscriptions.create(f"some {number}", "starter") for number in range(50)]
        for one in issued[25:]:
            subscriptions.set_state(one.subscription.id, State.SUSPENDED)
        pools = {
            "valid": [one.primary_key for one in issued[:25]],
            "suspended": [one.primary_key for one in issued[25:]],
            "unknown": [new_key() for _ in range(25)],
        }
        for number in range(ROUNDS + 1):
            medians = _verified(subscriptions, pools)
            if number:
                for name, value in medians.items():
                    rounds.add(f"{name}, {database}", value)
                apart = max(medians.values()) / min(medians.values()) - 1
                rounds.add(f"largest over least - 1, {database} (at most {MOST_APART:g})", apart)
    return rounds


def _verified(subscriptions: Subscriptions, pools: Mapping[str, list[str]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in pools}
    order = list(pools)
    for turn in range(TIMES * 4):
        random.shuffle(order)
        for name in order:
            key = pools[name][turn % len(pools[name])]
            began = time.perf_counter()
            with suppress(InvalidKeyError):
                subscriptions.verify(key)
            times[name].append((time.perf_counter() - began) * 1000)
    return {name: percentile(found, 0.5) for name, found in times.items()}


def _opened(stack: ExitStack, url: str) -> Store:
    store = open_store(url)
    stack.callback(store.close)
    return store


def _either_first(names: Mapping[str, object], number: int) -> list[str]:
    return list(names) if number % 2 else list(names)[::-1]


def _request(app: Any, key: str) -> None:
    environ = EnvironBuilder(
        "/get-data",
        method="POST",
        data=json.dumps({"prompt": "Tell me about llama2"}),
        content_type="application/json",
        headers=Headers({KEY_HEADER: key}),
    ).get_environ()
    status: list[str] = []
    answer = app(environ, lambda line, _headers: status.append(line))
    try:
        b"".join(answer)
    finally:
        answer.close()
    if status != ["200 OK"]:
        raise RuntimeError(status)


def _say(title: str, rounds: Rounds) -> None:
    sys.stdout.write(f"\n{title} (median of {ROUNDS} rounds, least to largest)\n\n")
    for name, values in rounds.found.items():
        found = Figure.of(values)
        sys.stdout.write(f"  {name:<52} {found.median:8.4f}   {found.low:.4f} to {found.high:.4f}\n")


if __name__ == "__main__":
    main()
