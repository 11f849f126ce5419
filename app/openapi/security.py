"""Where keys and the admin token go, in OpenAPI's form."""

from __future__ import annotations

from typing import Any

from app.auth import KEY_HEADER, KEY_PARAMETER

SCHEMES: dict[str, dict[str, Any]] = {
    "subscriptionKeyHeader": {
        "type": "apiKey",
        "in": "header",
        "name": KEY_HEADER,
        "description": "A key of a subscription, primary or secondary, as behind Azure API Management.",
    },
    "subscriptionKeyQuery": {
        "type": "apiKey",
        "in": "query",
        "name": KEY_PARAMETER,
        "description": "The same key in the URL; read only where no header has one.",
    },
    "bearerKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "The same key as OpenAI's and NVIDIA's clients send it. Only below `/v1` and `/openai`.",
    },
    "apiKeyHeader": {
        "type": "apiKey",
        "in": "header",
        "name": "api-key",
        "description": "The same key as Azure OpenAI's clients send it. Only below `/v1` and `/openai`.",
    },
    "adminToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The operator's token, `GATEWAY_ADMIN_TOKEN`. Without one management is off: 404.",
    },
}

KEY = ("subscriptionKeyHeader", "subscriptionKeyQuery")
"""A subscription's key."""

OPENAI_KEY = (*KEY, "bearerKey", "apiKeyHeader")
"""A subscription's key, on the paths of OpenAI's API."""

ADMIN = ("adminToken",)
"""The operator's token."""
