"""What a page tells the browser to allow: this origin, and nothing written into the page itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",  # data: for the arrows that Swagger UI draws
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",  # every form is sent by a script: a key must not get into a URL
    "frame-ancestors": "'none'",
}

CONTENT_SECURITY_POLICY = "; ".join(f"{name} {sources}" for name, sources in _POLICY.items())
"""Of every page. https://www.w3.org/TR/CSP3/"""

HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of every page and asset, beside the policy."""
