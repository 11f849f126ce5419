"""Usage in JSON, and how it is asked for: the same for operators, callers and the shell."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from flask import request

from app.auth import KEY_PARAMETER
from gateway.errors import InvalidRequestError
from gateway.names import quoted, shown
from gateway.usage import Selection, Sum, total

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def moment(text: str, name: str) -> datetime:
    """A moment from a date (its first instant in UTC) or from a date and time, as RFC 3339 has them.

    Raises:
        InvalidRequestError: it is neither; `name` is the parameter's.
    """
    try:
        if _is_date(text):
            return datetime.combine(date.fromisoformat(text), time(tzinfo=UTC))
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):  # the second for moments before year 1 or after 9999 in UTC
        pass
    raise InvalidRequestError(
        f"Parameter `{name}` should be a date such as 2026-01-31, or a moment such as 2026-01-31T12:00:00Z.",
        param=name,
    )


def _is_date(text: str) -> bool:
    return len(text) == len("2026-01-31")


def selection(arguments: Mapping[str, str], filters: Collection[str]) -> Selection:
    """The calls that `since`, `until` and some filters choose; a date as `until` is the last day of them.

    Raises:
        InvalidRequestError: a moment cannot be read, or nothing can have the name of a filter.
    """
    since = moment(arguments["since"], "since") if "since" in arguments else None
    until = moment(arguments["until"], "until") if "until" in arguments else None
    if until is not None and _is_date(arguments["until"]):
        # Nothing is after the last day there is.
        until = until + timedelta(days=1) if until.date() < date.max else None
    equal = {name: arguments[name] for name in filters if name in arguments}
    for name, value in equal.items():
        if not value.isprintable():  # PostgreSQL takes no NUL
            raise InvalidRequestError(f"Parameter `{name}` has a character that no name has.", param=name)
    return Selection(equal, since, until)


def wanted(filters: Collection[str], default_by: Sequence[str]) -> tuple[Selection, Sequence[str]]:
    """The calls, and what to sum them by, that the current request's query asks for.

    Raises:
        InvalidRequestError: a parameter is unknown, is there twice, or cannot be read.
    """
    known = ("since", "until", "by", *filters)
    for name in request.args:
        if name not in {*known, KEY_PARAMETER}:
            raise InvalidRequestError(
                f"Query parameter {quoted(name)} is not known. Known ones are: {', '.join(known)}.", param=shown(name)
            )
        if len(request.args.getlist(name)) > 1:
            raise InvalidRequestError(
                f"Query parameter {quoted(name)} is there twice. Send it once.", param=shown(name)
            )
    by = request.args.get("by")
    return selection(request.args, filters), default_by if by is None else names(by)


def names(text: str) -> Sequence[str]:
    """What a comma-separated text names, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


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
