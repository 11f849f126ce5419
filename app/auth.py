"""Who calls: from the headers of a request to a `Caller`, the typed value that the rest demands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flask import request

from app.contract import is_openai
from app.documents import limits_document
from app.services import services
from app.telemetry import entry

if TYPE_CHECKING:
    from gateway.subscription import Caller

KEY_HEADER = "Ocp-Apim-Subscription-Key"
KEY_PARAMETER = "subscription-key"
# How APIM describes its scheme in a 401.
CHALLENGE = f'AzureApiManagementKey realm="get-data",name="{KEY_HEADER}",type="header"'
ADMIN_CHALLENGE = "Bearer"


def require_caller() -> Caller:
    """The caller of the current request.

    Raises:
        AuthenticationError: no key, an unknown one, or one whose subscription may not call.
        UnavailableError: the key store cannot be reached.
    """
    current = entry()
    with current.trail.step("key"):
        caller = services().subscriptions.verify(_key())
        if current.trail.on:
            current.trail.note(subscription=caller.subscription_id, product=caller.product.id, key=caller.key)
            for name, limit in limits_document(caller.product.limits).items():
                if limit is not None:  # one by one: a fact that is too long is cut
                    current.trail.note(**{f"limit_{name}": json.dumps(limit)})
    current.identify(caller)
    return caller


def _key() -> str | None:
    """APIM's header; else OpenAI's two on the paths of OpenAI's API; else APIM's query parameter."""
    key = request.headers.get(KEY_HEADER)
    if key is None and is_openai(request.path):
        key = bearer() or request.headers.get("api-key")
    return request.args.get(KEY_PARAMETER) if key is None else key


def bearer() -> str | None:
    """The token of `Authorization: Bearer`; None where there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
