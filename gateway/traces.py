"""Debug traces for support cases, in the spirit of Azure API Management's: who may have one, and what is kept of it.

A token is made by the operator for one subscription and for an hour at most. It is signed and not stored: whoever has
the pepper can check it. A request with it leaves its steps in the store, where the operator reads them.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from gateway.errors import GatewayError, InvalidRequestError, NotFoundError
from gateway.ledger import TRACES_KEPT_FOR
from gateway.products import ID_PATTERN
from gateway.store import ConstraintError, trace_rows
from gateway.subscription import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.keys import KeyHasher
    from gateway.store import Store
    from gateway.trail import Step, Trail

LONGEST = timedelta(hours=1)
"""How long a token is valid at most; as in Azure API Management."""

MOST_KEPT = 100
"""Traces of a subscription that are kept, the newest."""

TRACE_ID_PATTERN = r"[0-9a-f]{32}"

_TOKEN = re.compile(
    rf"(?P<said>sid=(?P<sid>{ID_PATTERN})&p=tracing&ex=(?P<expires>\d{{1,12}}))&sn=(?P<sign>[0-9a-f]{{64}})"
)

log = structlog.get_logger("gateway.traces")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows.

    Attributes:
        subscription: the id of the one whose requests it has traced.
        expires_at: from when on it is void; aware, in UTC.
    """

    subscription: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token, and from when on it is void."""

    token: str = field(repr=False)
    expires_at: datetime


class Traces:
    """Tokens, and the traces in a store.

    Args:
        store: where they are kept.
        hasher: has the secret that tokens are signed with.
        clock: the moment, aware, in UTC.
    """

    def __init__(self, store: Store, hasher: KeyHasher, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._secret = hasher.derived("debug tokens")
        self.clock = clock

    def issue(self, sid: str, lifetime: timedelta = LONGEST) -> Issued:
        """A token for a subscription, which exists.

        Raises:
            InvalidRequestError: it would be valid for longer than an hour, or for less than a second.
        """
        if not timedelta(seconds=1) <= lifetime <= LONGEST:
            raise InvalidRequestError("A debug token is valid for 1 second at least and 1 hour at most.")
        expires = int((self.clock() + lifetime).timestamp())
        said = f"sid={sid}&p=tracing&ex={expires}"
        return Issued(f"{said}&sn={self._sign(said)}", datetime.fromtimestamp(expires, UTC))

    def grant(self, token: str) -> Grant | None:
        """What a token allows, or has allowed; None for what is no token of this gateway's."""
        found = _TOKEN.fullmatch(token)
        if found is None or not hmac.compare_digest(self._sign(found["said"]), found["sign"]):
            return None
        return Grant(found["sid"], datetime.fromtimestamp(int(found["expires"]), UTC))

    def keep(self, trace_id: str, sid: str, document: Mapping[str, object]) -> None:
        """Write a trace down. One that cannot be is lost, and fails nothing.

        Args:
            trace_id: from `new_trace_id`.
            sid: its subscription's.
            document: from `document`.
        """
        text = json.dumps(document, separators=(",", ":"))
        row = {"id": trace_id, "subscription_id": sid, "made_at": self.clock(), "document": text}
        try:
            with self._store.writing() as connection:
                trace_rows.add(connection, row, most=MOST_KEPT)
        except ConstraintError:
            log.warning("a debug trace is lost", debug_trace_id=trace_id, detail="the subscription is gone")
        except GatewayError as error:
            detail = error.detail
            log.warning("a debug trace is lost", debug_trace_id=trace_id, detail=detail)

    def get(self, trace_id: str) -> dict[str, Any]:
        """A trace, as it was written.

        Raises:
            NotFoundError: there is none with this id, or there is none any more.
            UnavailableError: the store cannot be reached.
        """
        with self._store.reading() as connection:
            text = trace_rows.find(connection, trace_id, since=self.clock() - TRACES_KEPT_FOR)
        if text is None:
            raise NotFoundError(
                "There is no trace with this `traceId`. It is the value of an answer's header Apim-Trace-Id, and is "
                f"kept for {TRACES_KEPT_FOR.days * 24} hours, and as one of the last {MOST_KEPT} of its subscription."
            )
        found: dict[str, Any] = json.loads(text)
        return found

    def _sign(self, said: str) -> str:
        return hmac.digest(self._secret, said.encode(), "sha256").hex()


def new_trace_id() -> str:
    """The id of a debug trace: 32 hex digits that nobody can guess."""
    return secrets.token_hex(16)


def document(trail: Trail, about: Mapping[str, object]) -> dict[str, object]:
    """A trail as the operator reads it, in the form of Azure API Management's traces.

    Args:
        trail: its steps.
        about: what stands before the entries.
    """
    now, engine = trail.now(), next((step for _, step in trail.steps() if step.name == "engine"), None)
    entries: dict[str, list[dict[str, object]]] = {"inbound": [], "backend": [], "outbound": []}
    entries["inbound"].append(_entry(trail, trail.root, now, None))
    for outer, step in trail.steps():
        if engine is not None and engine in (outer, step):
            section = "backend"
        else:
            section = "inbound" if engine is None or step.began < engine.began else "outbound"
        if step.name == "settlement":
            section = "outbound"
        entries[section].append(_entry(trail, step, now, None if outer is trail.root else outer))
    return {
        **about,
        "duration": _duration(now - trail.root.began),
        **({"stepsLeftOut": trail.left_out} if trail.left_out else {}),
        "traceEntries": entries,
    }


def _entry(trail: Trail, step: Step, now: float, outer: Step | None) -> dict[str, object]:
    at = datetime.fromtimestamp(trail.unix(step.began) / 1e9, UTC)
    data: dict[str, object] = dict(step.facts)
    if step.error is not None:
        data["error"] = step.error
    return {
        "source": step.name,
        **({"inside": outer.name} if outer is not None else {}),
        "timestamp": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "elapsed": _duration(step.began - trail.root.began),
        **({"duration": _duration((step.ended or now) - step.began)} if step is not trail.root else {}),
        "data": data,
    }


def _duration(seconds: float) -> str:
    """As .NET writes a TimeSpan, and so Azure API Management: `00:00:00.0123456`."""
    ticks = max(0, round(seconds * 10_000_000))
    whole, rest = divmod(ticks, 10_000_000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{rest:07}"
