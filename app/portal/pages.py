"""The pages, rendered once in a process: nothing in them is of one caller, so that any cache may keep them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.portal import markdown
from app.portal.assets import HERE, read_bundle
from app.portal.operations import groups

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.portal.assets import Bundle
    from app.portal.operations import Group, Operation
    from app.portal.texts import Texts

PREFIX = "/portal"
"""Below it are all pages but the first, and the assets."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it is sent.

    Attributes:
        content: HTML in UTF-8.
        digest: of it, for an ETag.
    """

    content: bytes
    digest: str


class Site:
    """All pages and assets.

    Args:
        description: the OpenAPI document as JSON.
        texts: what is this gateway's own.
        admin: whether there is a page for the operator.
    """

    def __init__(self, description: bytes, texts: Texts, *, admin: bool) -> None:
        self.bundles: dict[str, Bundle] = {
            "static": read_bundle(HERE / "static"),
            "swagger-ui": read_bundle(HERE / "vendor" / "swagger-ui"),
        }
        document = json.loads(description)
        self._groups = groups(document)
        self._templates = _templates(self.asset_url, self._groups, document["info"], admin=admin)
        self._texts = texts
        self.pages: dict[str, Page] = dict(self._render(admin=admin))

    def asset_url(self, name: str, bundle: str = "static") -> str:
        """Where an asset is, in the version that there is. Raises KeyError for one that is not there."""
        found = self.bundles[bundle]
        if name not in found.assets:
            raise KeyError(name)
        return f"{PREFIX}/{bundle}/{found.digest}/{name}"

    def _render(self, *, admin: bool) -> Sequence[tuple[str, Page]]:
        names = ["overview", "subscription", "reference"]
        if admin:
            names.append("admin")
        found = [(name, self._page(f"{name}.html", here=name)) for name in names]
        cards = {name: markdown.page(text, level=2) for name, text in self._texts.cards.items()}
        found.append(("models", self._page("models.html", here="models", cards=cards)))
        changelog = markdown.page(self._texts.changelog)
        found.append(("changelog", self._page("changelog.html", here="changelog", text=changelog)))
        operations: list[Operation] = [one for group in self._groups for one in group.operations]
        found += [
            (f"operations/{one.slug}", self._page("operation.html", here="operations", operation=one))
            for one in operations
        ]
        return found

    def _page(self, template: str, **values: object) -> Page:
        content = self._templates.get_template(template).render(values).encode()
        return Page(content, sha256(content).hexdigest()[:20])


def _templates(
    asset_url: Callable[..., str], operations: Sequence[Group], info: Mapping[str, Any], *, admin: bool
) -> Environment:
    # An environment of its own, not Flask's: a page must not depend on a request.
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"line": markdown.line, "text": markdown.page}
    found.globals |= {
        "asset": asset_url,
        "groups": operations,
        "info": info,
        "prefix": PREFIX,
        "has_admin": admin,
    }
    return found
