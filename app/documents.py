"""What management, over HTTP and from the shell, says of products and subscriptions alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.products import Limits, Quota


def limits_document(limits: Limits) -> dict[str, object]:
    """The limits for JSON: every field is there, null where there is no such limit."""
    return {
        "rate": limits.rate and {"calls": limits.rate.calls, "seconds": limits.rate.seconds},
        "callQuota": _quota(limits.call_quota),
        "tokensPerMinute": limits.tokens_per_minute,
        "tokenQuota": _quota(limits.token_quota),
        "maxConcurrency": limits.max_concurrency,
        "maxTokens": limits.max_tokens,
        "models": None if limits.models is None else list(limits.models),
        "priority": limits.priority,
        "sharedCache": limits.shared_cache,
    }


def moment(value: datetime | None) -> str | None:
    """A moment as RFC 3339 has it, in UTC."""
    return None if value is None else value.isoformat().replace("+00:00", "Z")


def _quota(quota: Quota | None) -> dict[str, object] | None:
    return None if quota is None else {"amount": quota.amount, "period": quota.period.value}
