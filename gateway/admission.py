"""What a call may use: its product's limits, from its accepted key until its use is settled.

`Admission.open` holds the limits that need no body, `admit` those that need the prompt's ids, `extend` reserves more
while it runs, `settle` writes what it came to. What is used and reserved is in the ledger; what may be reserved is
decided in `gateway.allowances` and `gateway.call_limits`. `gateway.admissions` makes them.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.allowances import Extension, Grant, decide, extend, token_allowances
from gateway.call_limits import CallsUsed, Window, all_left, check_concurrency, token_limits, tokens_left
from gateway.claims import Free, Kept
from gateway.engine import Cancelled
from gateway.errors import InvalidKeyError, PermissionDeniedError, RateLimitedError, UnavailableError
from gateway.ledger import End, Usage
from gateway.store import ConstraintError
from gateway.trail import NO_TRAIL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from gateway.admissions import Admissions
    from gateway.allowances import Allowance
    from gateway.claims import Claim, Holder
    from gateway.engine import Model, Standing
    from gateway.ledger import Account, Call
    from gateway.products import Limits, Rate
    from gateway.sealing import Recording
    from gateway.trail import Trail
    from gateway.waiting import Place

# Others settle in this process, which is told at once, or in another one.
_FIRST_PAUSES, _PAUSE = (0.02, 0.05, 0.1), 0.25


class Admission:
    """One call, from its accepted key until its use is settled.

    Attributes:
        usage: what it has cost so far; kept up by the answer.
        requests: what the limit on calls leaves, for the answer's headers; None without one.
        tokens: the same for tokens.
        waited: seconds that it waited for tokens that others had reserved, before the engine got it and while it ran.
        most: ids that each of its sequences may produce in the end, from `admit` on.
        leased: how many of them are reserved for now; `extend` makes them more.
        noted: ids that it is known to have produced, all sequences together: more than in `usage` if nobody reads.
        wake: called when another call of this process has been settled, as long as it is set.
        watch: from what to call when the caller hangs up to a context in which that is watched.
        held: seconds that it waited for another call with its Idempotency-Key.
        recording: of its answer, for those who send its Idempotency-Key again; None without one.
        trail: where its steps are noted.
    """

    def __init__(self, admissions: Admissions, call: Call, limits: Limits, trail: Trail = NO_TRAIL) -> None:
        self.call = call
        self.limits = limits
        self.trail = trail
        self.usage = Usage()
        self.model: str | None = None
        self.requests: Window | None = None
        self.tokens: Window | None = None
        self.waited = 0.0
        self.most = 0
        self.leased = 0
        self.noted = 0
        self.wake: Callable[[], None] | None = None
        self.watch: Callable[[Callable[[], None]], AbstractContextManager[None]] = _unwatched
        self._sequences: Sequence[int] = ()
        self.held = 0.0
        self.recording: Recording | None = None
        self._claim: Claim | None = None
        self._all = admissions
        self._started = admissions.monotonic()
        self._begun = False  # its row is there
        self._due = False  # limits on calls that are still to be looked at
        self._ledger_away = False
        self._settled = False

    def open(self) -> None:
        """The limits that need no body: call rate, calls at a time, call quota.

        Raises:
            RateLimitedError: too many calls in a short time, or at a time.
            PermissionDeniedError: the call quota of the period is used up.
            UnavailableError: the ledger cannot be reached.
        """
        self.open_soon()
        self.open_due()

    def open_soon(self) -> None:
        """The same, but what the ledger has to be asked for is left to `admit`, which asks it anyway, or to `open_due`.

        Raises:
            GatewayError: as `open`.
        """
        self.take_rate()
        self._due = self.limits.max_concurrency is not None or self.limits.call_quota is not None
        # Who was over its limits a moment ago is not to have its requests read for nothing, time and again. And of one
        # that is traced each step is to be seen by itself.
        if self.call.account_key in self._all.refused or self.trail.on:
            self.open_due()

    def open_due(self) -> None:
        """What `open_soon` has left, where `admit` has not done it: limits come before what is at fault in a request.

        Raises:
            GatewayError: as `open`.
        """
        if self._due:
            self._due = False
            with self.trail.step("calls"), self._account() as account:
                self._begin(account)
            self._note_begun()

    def take_rate(self) -> None:
        """Of `open`, the call rate."""
        limits = self.limits
        if limits.rate is not None:
            with self.trail.step("call rate"):
                self._take(limits.rate)

    def _take(self, rate: Rate) -> None:
        if self.trail.on:
            self.trail.note(calls=rate.calls, seconds=rate.seconds)
        try:
            self.requests = Window(*self._all.rates.take(self.call.account_key, rate))
        except RateLimitedError as error:
            self.requests = Window(rate.calls, 0, error.retry_after or 0.0)
            raise
        except UnavailableError:  # they are counted in the same store
            self._ledger_away = True
            raise
        if self.trail.on:
            self.trail.note(remaining=self.requests.remaining)

    def claim(self, claim: Claim) -> Holder:
        """Of `open`, the rest, for a call with an Idempotency-Key, which is the call's own then unless another has it.

        Raises:
            InvalidRequestError: the key came with another request before.
            InvalidKeyError: the subscription is gone.
            GatewayError: as `open`.
        """
        try:
            with self._account() as account:
                found = account.standing(claim)
                if isinstance(found, Free):
                    self._begin(account)
                    account.take(claim, found)
                elif isinstance(found, Kept):
                    self._show_left(account)
        except ConstraintError:
            raise InvalidKeyError("the subscription is gone") from None
        if isinstance(found, Free):
            self._claim = claim
            self._note_begun()
        return found

    def admit(self, model: Model, prompt_tokens: int, sequences: Sequence[int]) -> int:
        """The limits that need the prompt: largest answer, tokens a minute, token quota. Reserves what may be used.

        Args:
            model: what answers.
            prompt_tokens: ids given to the engine.
            sequences: for each text that is asked for, the most ids that it may produce.

        Returns:
            The most ids that each of them may produce for now: `leased`. `extend` is for the rest, up to `most`.

        Raises:
            RateLimitedError: the tokens of the last minute, or all that is left is reserved by calls that run.
            PermissionDeniedError: the token quota is used up, or does not pay for the prompt.
            InvalidRequestError: the prompt is longer than the product ever allows.
            UnavailableError: the ledger cannot be reached, or the process ends while it waits.
            Cancelled: the caller hung up while it waited.
        """
        if self.limits.max_tokens is not None:
            sequences = [min(one, self.limits.max_tokens) for one in sequences]
        with self.trail.step("token limits"):
            grant = self._granted(_Wanted(model.name, prompt_tokens, sequences))
        self.usage.prompt_tokens = prompt_tokens
        self._sequences = sequences
        self.most, self.leased = max(sequences), grant.ids
        return grant.ids

    def _granted(self, wanted: _Wanted) -> Grant:
        # Whoever waits has come before; but what is in vain should be told at once.
        grant = self._reserve(wanted, take=not self._all.waiting_room.waits(self.call.account_key))
        if not grant.ids:
            grant = self._wait(wanted)
        if self.trail.on:
            self._note_grant(wanted, grant)
        if not grant.ids:
            raise RateLimitedError(
                "Token limit is exceeded: what is left is reserved by calls that run. Try again in 1 seconds.",
                retry_after=1,
                limit="tokens_reserved",
            )
        return grant

    def _note_grant(self, wanted: _Wanted, grant: Grant) -> None:
        self.trail.note(
            prompt_tokens=wanted.prompt_tokens,
            wanted=max(wanted.sequences),
            sequences=len(wanted.sequences),
            largest_max_tokens=self.limits.max_tokens,
            granted=grant.ids,
            reserved=grant.reserved,
            waited_seconds=round(self.waited, 6) if self.waited else None,
        )

    def extend(self, standings: Sequence[Standing]) -> Extension:
        """Reserve another block for each sequence that has not ended, or what there is.

        Args:
            standings: how far each of the sequences is.

        Raises:
            UnavailableError: the ledger cannot be reached.
        """
        self.noted = sum(one.produced for one in standings)
        with self.trail.step("lease"), self._account() as account:
            allowances = token_allowances(account, self.limits)
            found = extend(self.usage.prompt_tokens, self._sequences, standings, self.leased, allowances)
            if self.trail.on:
                self._note_allowances(allowances)
                self.trail.note(produced=self.noted, before=self.leased, granted=found.ids, last=found.last)
            if not account.extend(reserved=found.reserved, produced=self.noted):
                # It was taken for dead, and others have been told that its tokens are free.
                return Extension(self.leased, found.reserved, last=True)
        self.leased = found.ids
        return found

    def _note_allowances(self, allowances: Sequence[Allowance]) -> None:
        """In the trail: what each limit on tokens leaves, before this call takes of it."""
        for name, one in zip(token_limits(self.limits), allowances, strict=True):
            numbers = {"limit": one.limit, "used": one.used, "reserved_by_others": one.reserved}
            self.trail.note(**{f"{name}_{what}": number for what, number in numbers.items()})

    @property
    def produced(self) -> int:
        """Ids that it is known to have produced."""
        return max(self.noted, self.usage.completion_tokens)

    def left(self) -> dict[str, Window]:
        """What each limit leaves now, by its name in `Limits`. Raises UnavailableError."""
        limits = self.limits
        found: dict[str, Window] = {}
        if limits.rate is not None:
            found["rate"] = Window(*self._all.rates.left(self.call.account_key, limits.rate))
        with self._all.ledger.account(self.call) as account:
            return found | all_left(account, limits)

    def settle(self, status: int) -> None:
        """Write what it came to, once; later calls change nothing. Does not fail where the ledger is away.

        Args:
            status: what the caller was told, as an HTTP status; 499 where it hung up.
        """
        if self._settled:
            return
        self._settled = True
        began = self.trail.now() if self.trail.on else 0.0
        duration = self._all.monotonic() - self._started
        answer = None if self.recording is None else self.recording.sealed
        end = End(status, self.usage, self.model, duration, self._claim, answer)
        try:
            self._all.ledger.end(self.call, end, begun=self._begun, later=self._ledger_away)
        finally:  # a row that is open for good must not be shown as alive
            self._all.remove(self)
            if self.trail.on:
                self._note_settled(status, began)

    def _note_settled(self, status: int, began: float) -> None:
        usage = self.usage
        self.trail.add(
            "settlement",
            began,
            self.trail.now(),
            status=status,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            delivered_tokens=usage.delivered_tokens,
            finish_reason=usage.finish_reason,
        )

    def drop(self) -> None:
        """It is no call of its own: nothing of it goes into the ledger. Only for one that has no row."""
        self._settled = True

    @contextmanager
    def _account(self) -> Iterator[Account]:
        try:
            with self._all.ledger.account(self.call) as account:
                yield account
        except UnavailableError:
            self._ledger_away = True  # the caller has waited for it once
            raise
        self._ledger_away = False

    def _begin(self, account: Account) -> None:
        self._check_calls(account)
        account.begin()

    def _check_calls(self, account: Account) -> None:
        try:
            self._check_limits_on_calls(account)
        except (RateLimitedError, PermissionDeniedError):
            self._all.refused.add(self.call.account_key)
            raise
        self._all.refused.discard(self.call.account_key)

    def _check_limits_on_calls(self, account: Account) -> None:
        if self.limits.max_concurrency is not None:
            check_concurrency(account, self.limits.max_concurrency, self.trail)
        if self.limits.call_quota is not None:
            self._count_call(CallsUsed.of(account, self.limits.call_quota))

    def _count_call(self, calls: CallsUsed) -> None:
        if self.trail.on:
            self.trail.note(call_quota_limit=calls.most, call_quota_used=calls.used)
            self.trail.note(call_quota_reset_seconds=calls.reset)
        if self.requests is None:
            self.requests = calls.left(taken=1)
        calls.check()

    def _show_left(self, account: Account) -> None:
        """For the headers of an answer that takes nothing of what the quotas leave."""
        quota = self.limits.call_quota
        if quota is not None and self.requests is None:
            self.requests = CallsUsed.of(account, quota).left()
        for first in token_allowances(account, self.limits)[:1]:
            self.tokens = tokens_left(first)

    def _reserve(self, wanted: _Wanted, *, take: bool = True) -> Grant:
        """One attempt; without `take` to find out whether it is in vain."""
        due, self._due = self._due, False
        with self._account() as account:
            if due:
                self._check_calls(account)
            grant = self._decide(wanted, token_allowances(account, self.limits))
            if not take:
                grant = Grant(0, 0)
            if grant.ids:
                write = account.reserve if self._begun else account.begin
                write(model=wanted.model, prompt_tokens=wanted.prompt_tokens, reserved=grant.reserved)
            elif due:  # it is a call while it waits, too
                account.begin()
        if grant.ids:
            self.model = wanted.model
        if grant.ids or due:
            self._note_begun()
        return grant

    def _wait(self, wanted: _Wanted) -> Grant:
        """Until others have given back what they did not use; a grant of nothing where that took too long."""
        began = self._all.monotonic()
        if self.trail.on:
            self.trail.note(decision="It waited: what was left was reserved by other calls.")
        with self._all.waiting_room.place(self.call.account_key) as place:
            if place is None:  # too many wait already
                return self._reserve(wanted)
            with self.watch(place.leave):
                try:
                    for pause in itertools.chain(_FIRST_PAUSES, itertools.repeat(_PAUSE)):
                        if place.first and (grant := self._reserve(wanted)).ids:
                            return grant
                        if self._all.monotonic() - began >= self._all.patience:
                            break
                        place.wait(pause)
                        self._check_waiting(place)
                finally:
                    self.waited = self._all.monotonic() - began
        return Grant(0, 0)

    def _check_waiting(self, place: Place) -> None:
        if self._all.stopping:
            raise UnavailableError("The gateway is being stopped. Try again.", retry_after=5)
        if place.leaving:
            raise Cancelled(0)

    def _decide(self, wanted: _Wanted, allowances: Sequence[Allowance]) -> Grant:
        reserved = 0
        if self.trail.on:
            self._note_allowances(allowances)
        try:
            grant = decide(wanted.prompt_tokens, wanted.sequences, allowances)
            reserved = grant.reserved
        finally:
            if allowances:
                self.tokens = tokens_left(allowances[0], taken=reserved)
        return grant

    def _note_begun(self) -> None:
        self._begun = True
        self._all.add(self)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a call asks for."""

    model: str
    prompt_tokens: int
    sequences: Sequence[int]


def _unwatched(_: Callable[[], None]) -> AbstractContextManager[None]:
    return nullcontext()
