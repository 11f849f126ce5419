"""Leases as a client of the engine sees them: who is running low, and how the engine is told of more.

Knows nothing of EngineCore; `hold.py` is its other end there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.engine import LEASE_LOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vllm.sampling_params import SamplingParams

    from gateway.engine import Lease, Standing

FIRST_LEASE = "gateway_lease"
"""In `SamplingParams.extra_args`: the ids that a request may produce until it is told of more."""


class Leased(Protocol):
    """A request that may have a lease."""

    def standings(self) -> Sequence[Standing]:
        """How far each of its choices is."""
        ...


class Watch:
    """The requests of one event loop that have a lease, looked at after each step of the engine."""

    def __init__(self) -> None:
        self._leases: dict[Leased, Lease] = {}

    def join(self, request: Leased, lease: Lease) -> None:
        """Look after it; again with another lease in place of the last."""
        self._leases[request] = lease

    def leave(self, request: Leased) -> None:
        """Not any more; also one that never joined."""
        self._leases.pop(request, None)

    def step(self) -> None:
        """The engine has made a step: tell those that run low, once for each lease."""
        for request, lease in list(self._leases.items()):
            if any(not one.ended and lease.ids - one.produced <= LEASE_LOW for one in request.standings()):
                del self._leases[request]
                lease.low()


def cap(params: SamplingParams, ids: int) -> None:
    """At most so many ids for each sequence, whatever the caller has asked for; also where it asked for more at least.

    The engine refuses a `min_tokens` above `max_tokens`.
    """
    params.max_tokens = min(params.max_tokens or ids, ids)
    params.min_tokens = min(params.min_tokens, params.max_tokens)


def put_first(params: SamplingParams, lease: Lease | None) -> None:
    """Have a request's parameters say its first lease; nobody else's words for it are left there."""
    if lease is None and not params.extra_args:
        return
    extra = dict(params.extra_args or {})
    extra.pop(FIRST_LEASE, None)  # a caller may write what it likes into `vllm_xargs`
    if lease is not None:
        extra[FIRST_LEASE] = lease.ids
    params.extra_args = extra or None
