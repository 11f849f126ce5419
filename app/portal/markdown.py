"""Markdown of this project's own (model cards, the changelog, the description's words) as HTML that is safe to show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
# HTML in it is shown as text: a card may come from anywhere. Images would be requests to other hosts.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def page(text: str, *, level: int = 1) -> Markup:
    """A whole text; its headings begin at `level`, and its front matter is left out."""
    tokens = _MARKDOWN.parse(_FRONT_MATTER.sub("", text, count=1))
    highest = min((int(token.tag[1]) for token in tokens if token.type == "heading_open"), default=1)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) - highest + level)}"
        if token.type in {"table_open", "fence", "code_block"}:  # may be scrolled, so it has to take the focus
            token.attrSet("tabindex", "0")
        _drop_local_links(token.children or [])
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))  # noqa: S704 - its own HTML only


def line(text: str) -> Markup:
    """Some words, without a paragraph around them."""
    tokens = _MARKDOWN.parseInline(text)
    _drop_local_links(tokens[0].children or [])
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))  # noqa: S704 - its own HTML only


def _drop_local_links(tokens: Sequence[Token]) -> None:
    """A link to a file of the checkout leads nowhere here: its words stay."""
    open_links: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            kept = str(token.attrGet("href")).startswith(("https://", "http://"))
            open_links.append(kept)
        elif token.type == "link_close":
            kept = open_links.pop()
        else:
            continue
        if kept and token.type == "link_open":
            token.attrSet("rel", "noreferrer")
        elif not kept:
            token.type, token.tag, token.nesting, token.content = "text", "", 0, ""
