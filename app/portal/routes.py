"""`GET /` and the pages behind it. Paths that are no page stay the API's: their 404 is JSON."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from app.openapi.operation import describe, page
from app.openapi.operations import own
from app.portal.headers import CONTENT_SECURITY_POLICY, HEADERS
from app.portal.pages import PREFIX, Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.portal.texts import Texts

_FOR_EVER = 365 * 86_400


def make_blueprint(description: Callable[[], bytes], texts: Callable[[], Texts], *, admin: bool) -> Blueprint:
    """The routes of the portal.

    Args:
        description: the OpenAPI document, which the pages are made from when the first of them is asked for.
        texts: what is this gateway's own.
        admin: whether there is a page for the operator.
    """
    blueprint = Blueprint("portal", __name__)

    @functools.cache
    def site() -> Site:
        return Site(description(), texts(), admin=admin)

    def shown(name: str) -> Response:
        found = site().pages.get(name)
        if found is None:
            raise NotFound
        response = Response(found.content, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers.update(HEADERS)
        # Asked for anew each time, so that it never names assets that are gone; told 304 as long as it is the same.
        response.headers["Cache-Control"] = "public, no-cache"
        response.set_etag(found.digest)
        response.make_conditional(request)
        return response

    @blueprint.get("/", endpoint="developer portal")
    @describe(own.PORTAL)
    def overview() -> Response:
        """The developer portal, for people."""
        return shown("overview")

    @blueprint.get(f"{PREFIX}/<name>", endpoint="portal page")
    @page
    def one(name: str) -> Response:
        """A page of the portal."""
        return shown(name if name not in {"overview", "admin"} else "")

    @blueprint.get(f"{PREFIX}/operations/<slug>", endpoint="portal operation")
    @page
    def operation(slug: str) -> Response:
        """The page of an operation."""
        return shown(f"operations/{slug}")

    @blueprint.get(f"{PREFIX}/<any('static', 'swagger-ui'):bundle>/<digest>/<name>", endpoint="portal asset")
    @page
    def asset(bundle: str, digest: str, name: str) -> Response:
        """A script, a style or an image."""
        return _asset(site(), bundle, digest, name)

    if admin:

        @blueprint.get("/admin", endpoint="operators page")
        @page
        def operators_page() -> Response:
            """The operator's page. What it shows, it asks management for."""
            return shown("admin")

    return blueprint


def _asset(site: Site, bundle: str, digest: str, name: str) -> Response:
    found = site.bundles[bundle].assets.get(name)
    if found is None:
        raise NotFound
    packed = request.accept_encodings["gzip"] > 0
    response = Response(found.packed if packed else found.plain, content_type=found.content_type)
    response.headers.update(HEADERS)
    response.vary.add("Accept-Encoding")
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    # A page of another version may ask while workers are replaced: it gets what there is, but not for long.
    current = digest == site.bundles[bundle].digest
    response.headers["Cache-Control"] = f"public, max-age={_FOR_EVER}, immutable" if current else "no-cache"
    response.set_etag(found.digest + ("-gzip" if packed else ""))
    response.make_conditional(request)
    return response
