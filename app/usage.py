"""Usage in JSON, and how it is asked for: the same for operators, callers and the shell."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from gateway.errors import InvalidRequestError
from gateway.usage import Selection, Sum, total

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def moment(text: str, name: str) -> datetime:
    """A moment from a date (its first instant in UTC) or from a date and time, as RFC 3339 has them.

    Raises:
        InvalidRequestError: it is neither; `name` is the parameter's.
    """
    try:
        if len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text), time(tzinfo=UTC))
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidRequestError(
            f"Parameter `{name}` should be a date such as 2026-01-31, or a moment such as 2026-01-31T12:00:00Z.",
            param=name,
        )
    return found


def selection(arguments: Mapping[str, str], filters: Collection[str]) -> Selection:
    """The calls that `since`, `until` and some filters choose; a date as `until` is the last day of them.

    Raises:
        InvalidRequestError: a moment cannot be read.
    """
    since = moment(arguments["since"], "since") if "since" in arguments else None
    until = moment(arguments["until"], "until") if "until" in arguments else None
    if until is not None and "T" not in arguments["until"]:
        until += timedelta(days=1)
    return Selection({name: arguments[name] for name in filters if name in arguments}, since, until)


def dimensions(text: str | None, default: Sequence[str]) -> Sequence[str]:
    """What a comma-separated `by` names."""
    return default if text is None else tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def document(sums: Sequence[Sum]) -> dict[str, object]:
    """The sums in APIM's form of a list, and all of them together."""
    return {"value": [_sum(one) for one in sums], "count": len(sums), "total": _sum(total(sums))}


def _sum(one: Sum) -> dict[str, object]:
    return {
        **one.of,
        "calls": one.calls,
        "failedCalls": one.failed_calls,
        "promptTokens": one.prompt_tokens,
        "cachedTokens": one.cached_tokens,
        "completionTokens": one.completion_tokens,
        "deliveredTokens": one.delivered_tokens,
        "totalTokens": one.total_tokens,
    }
