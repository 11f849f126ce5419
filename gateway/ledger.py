"""The usage ledger: a row for each call, what it reserves while it runs, what it cost. One transaction for each step.

Decides nothing: `gateway.admission` says what may be reserved. Knows nothing of HTTP; a status is a number to it.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import structlog

from gateway import claims
from gateway.errors import GatewayError, UnavailableError
from gateway.identifiers import new_identifier
from gateway.periods import Period, Window, window
from gateway.rates.windows import SKEW
from gateway.store import ConstraintError, call_rows, kept_rows, quota_rows, trace_rows
from gateway.subscription import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Row

    from gateway.claims import Claim, Holder
    from gateway.products import Quota
    from gateway.store import Store
    from gateway.store.call_rows import Owner
    from gateway.store.direct import Direct

MINUTE = timedelta(seconds=60)
LOST = "lost"
"""The finish reason of a call whose process died."""

REPLACED = "replaced"
"""The finish reason of a call that the gateway failed, and that was sent again with its key: it costs nothing."""

TRACES_KEPT_FOR = timedelta(hours=24)
"""How long a debug trace is kept."""

_MOST_UNWRITTEN = 10_000

log = structlog.get_logger("gateway.ledger")


@dataclass(slots=True)
class Usage:
    """What a call cost, in real token ids: those given to the engine and those it produced.

    Attributes:
        cached_tokens: ids of the prompt that came from the prefix cache.
        delivered_tokens: ids whose text the caller was given.
        finish_reason: `stop` or `length`; None while it runs, and where it was broken off.
        first_token_seconds: from admission to the first token.
        finish_seconds: from admission to the answer's end as its reader took it; None where it was broken off.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    delivered_tokens: int = 0
    finish_reason: str | None = None
    first_token_seconds: float | None = None
    finish_seconds: float | None = None

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the ledger names it.

    Attributes:
        id: 32 hex digits; the engine's request has it in its name.
        trace_id: of the HTTP request; callers may use one for several calls.
        key: which of the subscription's keys was used.
        account: the subscription's, which tells it from those that had its id before.
    """

    trace_id: str
    subscription_id: str
    key: str
    product_id: str
    operation: str
    started_at: datetime
    account: int = 0
    id: str = field(default_factory=new_identifier)

    @property
    def owner(self) -> Owner:
        """Who it is charged to."""
        return call_rows.Owner(self.subscription_id, self.account)

    @property
    def account_key(self) -> str:
        """A text that all calls of its subscription have, and no others, for what is kept outside the ledger."""
        return f"{self.account}" if self.account else self.subscription_id


@dataclass(frozen=True, slots=True)
class End:
    """How a call ended.

    Attributes:
        status: the HTTP status that the caller was told; 499 for one that hung up (nginx's number).
        claim: the key that it was made for.
        answer: to keep for that key, sealed.
    """

    status: int
    usage: Usage
    model: str | None
    duration_seconds: float | None
    claim: Claim | None = None
    answer: bytes | None = None


class Account:
    """One subscription's ledger inside a transaction that nobody else changes it in."""

    def __init__(self, connection: Direct, call: Call, now: datetime) -> None:
        self.now = now
        self._connection = connection
        self._call = call
        self._owner = call.owner
        call_rows.lock(connection, call.subscription_id)

    def used(self, kind: Literal["calls", "tokens"], quota: Quota) -> tuple[int, Window]:
        """What the quota's window at the call's beginning has used, without what is reserved."""
        found = window(quota.period, self._call.started_at)
        return quota_rows.used(self._connection, self._owner, kind, quota.period.value, found), found

    def running(self, within: Window | None = None) -> call_rows.Running:
        """What other calls hold; `reserved_in_window` is of those that began within a window."""
        within = within or window(Period.LIFETIME, self.now)
        return call_rows.running(self._connection, self._owner, within, but=self._call.id)

    def spent(self, within: Window | None = None) -> call_rows.Spent:
        """Of what other calls hold, what they have spent for certain, and will not give back."""
        within = within or window(Period.LIFETIME, self.now)
        return call_rows.spent(self._connection, self._owner, within, but=self._call.id)

    def tokens_in_last_minute(self) -> int:
        """Of the calls that ended in it."""
        return quota_rows.tokens_ended(self._connection, self._owner, *self._last_minute())

    def seconds_until_free(self, tokens: int) -> float:
        """Until so many of those have left the last minute."""
        for ended_at, amount in call_rows.ended(self._connection, self._owner, *self._last_minute()):
            tokens -= amount
            if tokens <= 0:
                return max(0.0, (ended_at + MINUTE - self.now).total_seconds())
        return MINUTE.total_seconds()

    def _last_minute(self) -> tuple[datetime, datetime]:
        """From when to when. A call that ended later than now was noted before this clock was set back."""
        return self.now - MINUTE, self.now + timedelta(seconds=SKEW)

    def begin(self, *, model: str | None = None, prompt_tokens: int = 0, reserved: int = 0) -> None:
        """Write the call's row, as one that runs."""
        row = {**_row(self._call), "model": model, "prompt_tokens": prompt_tokens, "reserved": reserved}
        call_rows.add(self._connection, row)
        quota_rows.use_calls(self._connection, self._owner, self._call.started_at, 1)

    def reserve(self, *, model: str, prompt_tokens: int, reserved: int) -> None:
        """The same for a row that is there already."""
        call_rows.reserve(self._connection, self._call.id, model=model, prompt_tokens=prompt_tokens, reserved=reserved)

    def extend(self, *, reserved: int, produced: int) -> bool:
        """Write what it may cost now and has produced so far; False where others took it for dead and have ended it."""
        return call_rows.extend(self._connection, self._call.id, reserved=reserved, produced=produced)

    def standing(self, claim: Claim) -> Holder:
        """Who has a key now. Raises InvalidRequestError where it came with another request."""
        return claims.standing(self._connection, claim, self.now)

    def take(self, claim: Claim, free: claims.Free) -> None:
        """Give a free key to the call, which has begun. A call that the gateway failed for it costs nothing any more.

        Raises ConstraintError (from the transaction) where the subscription is gone.
        """
        if free.failed is not None:
            _waive(self._connection, free.failed)
        claims.take(self._connection, claim, self._call.id, self.now, known=free.known)


class Ledger:
    """The ledger in a store, as one process writes it.

    Args:
        store: where it is.
        clock: the moment, aware, in UTC.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime] = utc_now) -> None:
        self.clock = clock
        self._store = store
        self._unwritten: dict[str, tuple[Call, End, bool]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def account(self, call: Call) -> Iterator[Account]:
        """A transaction on the call's subscription. Raises UnavailableError."""
        with self._store.writing_directly() as connection:
            yield Account(connection, call, self.clock())

    def end(self, call: Call, end: End, *, begun: bool, later: bool = False) -> None:
        """Write how a call ended. Where the store is away, `write_late` does it.

        Args:
            call: which.
            end: how.
            begun: whether it has a row.
            later: the store is known to be away: nobody should wait for it again.
        """
        if not later:
            try:
                self._write(call, end, begun=begun)
            except UnavailableError as error:
                log.warning("the end of a call is written later", trace_id=call.trace_id, detail=error.detail)
                later = True
        if later:
            with self._lock:
                # What was refused while the ledger is away cost nothing; of that there may be any number.
                if begun or len(self._unwritten) < _MOST_UNWRITTEN:
                    self._unwritten[call.id] = (call, end, begun)

    def write_late(self) -> int:
        """Write what could not be written; how much is left. Raises UnavailableError."""
        for call, end, begun in list(self._unwritten.values()):
            try:
                self._write(call, end, begun=begun)
            except UnavailableError:
                raise
            except GatewayError as error:  # never to be written: it must not keep the others from it
                log.error("the end of a call is lost", trace_id=call.trace_id, detail=error.detail)  # noqa: TRY400
            with self._lock:
                del self._unwritten[call.id]
        return len(self._unwritten)

    def note(self, produced: Mapping[str, int]) -> None:
        """Show that this process's calls live, and what they have produced so far. Raises UnavailableError."""
        with self._store.writing() as connection:
            call_rows.note(connection, produced)

    def running_for(self, claim: Claim) -> str | None:
        """The id of the call that runs for a key. Raises UnavailableError."""
        with self._store.looking() as connection:
            return kept_rows.running(connection, claim.key)

    def forget_answers(self) -> bool:
        """Throw away some of the kept answers that are too old; whether there may be more. Raises UnavailableError."""
        with self._store.writing() as connection:
            return claims.sweep(connection, self.clock())

    def forget_traces(self) -> None:
        """Throw away the debug traces that are too old. Raises UnavailableError."""
        with self._store.writing() as connection:
            trace_rows.sweep(connection, until=self.clock() - TRACES_KEPT_FOR)

    def beats(self) -> dict[str, int]:
        """The beat of every call that runs, in whatever process. Raises UnavailableError."""
        with self._store.reading() as connection:
            return call_rows.beats(connection)

    def lose(self, produced: Mapping[str, int | None]) -> int:
        """End calls whose process died; how many. Raises UnavailableError.

        Args:
            produced: how many tokens the engine had made of each; None for what was noted last.
        """
        # A transaction for each: several subscriptions' locks in one could meet another's in the other order.
        return sum(self._lose(call, tokens) for call, tokens in produced.items())

    def _write(self, call: Call, end: End, *, begun: bool) -> None:
        if not begun:
            try:
                self._write_whole(call, end)
            except ConstraintError:  # it has a row: one that was written, although the answer to that got lost
                pass
            else:
                return
        now = self.clock()
        with self._store.writing_directly() as connection:
            # Whoever decides under this lock sees the call as running or as ended, never as neither.
            call_rows.lock(connection, call.subscription_id)
            if call_rows.end(connection, call.id, _end_values(end, now)):
                _use(connection, call, end, now, already=1)
            else:
                _correct(connection, call, end, now)
            if end.claim is not None:
                _close(connection, call, end.claim, end, now)

    def _write_whole(self, call: Call, end: End) -> None:
        now = self.clock()
        with self._store.writing_directly() as connection:
            call_rows.lock(connection, call.subscription_id)
            call_rows.add(connection, {**_row(call), **_end_values(end, now)})
            _use(connection, call, end, now, already=0)

    def _lose(self, call: str, produced: int | None) -> bool:
        with self._store.writing() as connection:
            row = call_rows.find(connection, call)
            if row is None:
                return False
            call_rows.lock(connection, row.subscription_id)
            row = call_rows.find(connection, call)  # as it is under the lock
            if row is None or row.ended_at is not None:
                return False
            completion = row.completion_tokens if produced is None else produced
            now = self.clock()
            values = {
                **{name: getattr(row, name) for name in call_rows.END},
                "ended_at": now,
                "reserved": 0,
                "completion_tokens": completion,
                "status": call_rows.FAILED,
                "finish_reason": LOST,
            }
            call_rows.end(connection, call, values)
            counted = _counts(call_rows.FAILED, completion) - 1
            quota_rows.use_calls(connection, _owner(row), row.started_at, counted)
            tokens = row.prompt_tokens + completion
            quota_rows.use_tokens(connection, _owner(row), row.started_at, now, tokens)
            return True


def _correct(connection: Direct, call: Call, end: End, now: datetime) -> None:
    """The process was taken for dead, and the call ended with what was known of it: put that right."""
    row = call_rows.find(connection, call.id)
    if row is None or row.finish_reason != LOST:
        return
    call_rows.correct(connection, call.id, _end_values(end, now))
    _use(connection, call, end, now, already=_counts(row.status, row.completion_tokens))
    quota_rows.use_tokens(connection, call.owner, row.started_at, row.ended_at, -_tokens(row))


def _waive(connection: Direct, row: Row[Any]) -> None:
    """Take back what a call that has ended is charged for."""
    free = {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0, "delivered_tokens": 0}
    kept = {name: getattr(row, name) for name in call_rows.END}
    call_rows.correct(connection, row.id, {**kept, **free, "finish_reason": REPLACED})
    counted = _counts(row.status, 0) - _counts(row.status, row.completion_tokens)
    quota_rows.use_calls(connection, _owner(row), row.started_at, counted)
    quota_rows.use_tokens(connection, _owner(row), row.started_at, row.ended_at, -_tokens(row))


def _close(connection: Direct, call: Call, claim: Claim, end: End, now: datetime) -> None:
    if end.answer is None:
        claims.release(connection, claim, call.id, status=end.status, tokens=end.usage.total_tokens)
    else:
        claims.keep(connection, claim, call.id, end.answer, now)


def _use(connection: Direct, call: Call, end: End, now: datetime, *, already: int) -> None:
    """Count a call that ended now; `already` is what it has counted as in quotas of calls until then."""
    counted = _counts(end.status, end.usage.completion_tokens) - already
    quota_rows.use_calls(connection, call.owner, call.started_at, counted)
    quota_rows.use_tokens(connection, call.owner, call.started_at, now, end.usage.total_tokens)


def _row(call: Call) -> dict[str, object]:
    return {
        "id": call.id,
        "trace_id": call.trace_id,
        "subscription_id": call.subscription_id,
        "account": call.account,
        "key_slot": call.key,
        "product_id": call.product_id,
        "operation": call.operation,
        "beat": 0,
        "started_at": call.started_at,
        "day": f"{call.started_at:%Y-%m-%d}",
        "reserved": 0,
        "prompt_tokens": 0,
        "cached_tokens": 0,
        "completion_tokens": 0,
        "delivered_tokens": 0,
    }


def _end_values(end: End, now: datetime) -> dict[str, object]:
    usage = end.usage
    return {
        "model": end.model,
        "ended_at": now,
        "reserved": 0,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "delivered_tokens": usage.delivered_tokens,
        "status": end.status,
        "finish_reason": usage.finish_reason,
        "first_token_seconds": usage.first_token_seconds,
        "duration_seconds": end.duration_seconds,
    }


def _counts(status: int, completion_tokens: int) -> int:
    """1 for what quotas of calls count; 0 for what a limit refused, or the gateway failed before a token."""
    failed = status >= call_rows.FAILED and completion_tokens == 0
    return 0 if failed or status in call_rows.REFUSED else 1


def _owner(row: Row[Any]) -> Owner:
    return call_rows.Owner(row.subscription_id, row.account)


def _tokens(row: Row[Any]) -> int:
    return int(row.prompt_tokens + row.completion_tokens)
