"""The pages as they are sent: whole, made from the description, safe to show, and kept by caches."""

from __future__ import annotations

import gzip
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urldefrag

import pytest

from app.factory import create_app
from app.portal import markdown
from app.portal.assets import HERE
from app.portal.texts import read_texts
from app.routes import description
from tests.clients.npm import install
from tests.management.conftest import TOKEN, admin, clock, make_api, store
from tests.portal.conftest import PACKAGES

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.store import Store
    from tests.http.conftest import Api
    from tests.management.conftest import Admin
    from tests.store.conftest import Clock

__all__ = ["admin", "clock", "store"]

_ON = re.compile(r"on[a-z]+")


class Parsed(HTMLParser):
    """What a page refers to, and what it must not have."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.assets: set[str] = set()
        self.ids: list[str] = []
        self.inline: list[str] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag and its attributes."""
        given = dict(attrs)
        self._open = tag
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.inline += [f"<{tag} {name}>" for name in given if name == "style" or _ON.fullmatch(name)]
        if tag == "a" and (target := given.get("href")):
            self.links.add(target)
        self.assets |= {value for name in ("src", "href") if tag != "a" and (value := given.get(name))}

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        if self._open in {"script", "style"} and data.strip():
            self.inline.append(f"<{self._open}>")


def crawl(api: Api) -> dict[str, Parsed]:
    """Every page that is reached from the first one."""
    found: dict[str, Parsed] = {}
    waiting = {"/"}
    while waiting:
        path = waiting.pop()
        reply = api.get(path)
        assert reply.status == 200, path
        if not reply.headers["Content-Type"].startswith("text/html"):
            continue
        found[path] = Parsed(reply.body.decode())
        inside = {urldefrag(link)[0] for link in found[path].links if link.startswith("/")}
        waiting |= {link for link in inside if link and link not in found}
    return found


def test_every_operation_has_a_page_with_its_fields_and_errors(admin: Admin) -> None:
    document = json.loads(description())
    pages = crawl(admin.api)
    shown = {path: admin.api.get(path).body.decode() for path in pages if path.startswith("/portal/operations/")}
    operations = [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation["tags"] != ["Portal"]
    ]
    assert len(shown) == len(operations) > 25
    for path, method, operation in operations:
        (text,) = [
            text
            for text in shown.values()
            if f"<code>{path}</code>" in text and f'class="method {method}"' in text.partition("</h1>")[2][:200]
        ]
        for status in operation["responses"]:
            assert re.search(rf'class="status (good|bad)">{status}<', text), (path, status)
    fields = document["components"]["schemas"]["GetData"]["properties"]
    for name in fields:
        assert f"<code>{name}</code>" in shown["/portal/operations/get-data"]


def test_no_page_has_a_script_or_a_style_in_it_or_refers_to_another_host(admin: Admin) -> None:
    for path, page in crawl(admin.api).items():
        assert page.inline == [], path
        assert len(set(page.ids)) == len(page.ids), path
        for asset in page.assets:
            assert asset.startswith("/portal/"), asset
            assert admin.api.get(asset).status == 200, asset
        policy = admin.api.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "connect-src 'self'" in policy
        assert "unsafe" not in policy


def test_pages_and_assets_are_kept_by_caches(admin: Admin) -> None:
    first = admin.api.get("/")
    assert first.headers["Cache-Control"] == "public, no-cache"
    assert admin.api.get("/", **{"If-None-Match": first.headers["ETag"]}).status == 304
    (style,) = [asset for asset in Parsed(first.body.decode()).assets if asset.endswith(".css")]
    plain = admin.api.get(style)
    assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    packed = admin.api.get(style, **{"Accept-Encoding": "gzip, br"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert gzip.decompress(packed.body) == plain.body


def test_an_asset_of_another_version_is_there_and_not_kept(admin: Admin) -> None:
    reply = admin.api.get("/portal/static/an-older-one/portal.css")
    assert reply.status == 200
    assert reply.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/portal/nothing",
        "/portal/overview",
        "/portal/admin",
        "/portal/operations/nothing",
        "/portal/static/a/none.js",
        "/portal/static/a/..%2Fassets.py",
        "/portal/swagger-ui/a/LICENSE",
        "/portal/templates/a/base.html",
    ],
)
def test_what_is_no_page_stays_an_error_of_the_api(admin: Admin, path: str) -> None:
    admin.api.get(path).assert_error(404, "There is no such operation.")


def test_the_operators_page_is_there_only_with_management(admin: Admin, store: Store, clock: Clock) -> None:
    assert admin.api.get("/admin").status == 200
    assert TOKEN.encode() not in admin.api.get("/admin").body
    without = make_api(store, clock, None)
    without.get("/admin").assert_error(404)
    assert b'href="/admin"' not in without.get("/").body


def test_the_models_own_card_is_shown(admin: Admin, tmp_path: Path) -> None:
    def shown(model: str) -> str:
        app = create_app(admin.api.app.extensions["gateway"], max_body_bytes=1000, model=model)
        return str(app.test_client().get("/portal/models").get_data(as_text=True))

    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n\n<script>alert(1)</script>\n")
    card = shown(str(tmp_path))
    assert "<h2>Mine</h2>" in card
    assert "<script>alert" not in card
    assert "license: mit" not in card
    (tmp_path / "README.md").unlink()
    assert "came without a card" in shown(str(tmp_path))
    assert str(tmp_path.parent) not in shown(str(tmp_path))
    assert 'href="https://huggingface.co/meta-llama/Llama-2-7b-chat-hf"' in shown("meta-llama/Llama-2-7b-chat-hf")


def test_the_changelog_is_shown(admin: Admin) -> None:
    page = admin.api.get("/portal/changelog").body.decode()
    assert "<h1>Changelog</h1>" in page
    assert "Unreleased" in page
    assert read_texts(None).changelog.startswith("# Changelog")


def test_markdown_has_no_html_no_pictures_and_no_links_that_lead_nowhere() -> None:
    text = "<b>x</b> ![a](https://a.example/a.png) [file](docs/a.md) [out](https://b.example) [j](javascript:x)"
    shown = str(markdown.page(text))
    assert "<b>" not in shown
    assert "<img" not in shown
    # What would have been a picture is a link, which asks for nothing until somebody follows it.
    assert re.findall(r'href="([^"]*)"', shown) == ["https://a.example/a.png", "https://b.example"]


def test_swagger_ui_is_the_one_that_npm_has() -> None:
    packages = install(PACKAGES) / "node_modules" / "swagger-ui-dist"
    copies = [path for path in (HERE / "vendor" / "swagger-ui").iterdir() if path.name != "README.md"]
    assert {"swagger-ui-bundle.js", "swagger-ui.css", "LICENSE", "NOTICE"} <= {path.name for path in copies}
    for copy in copies:
        assert copy.read_bytes() == (packages / copy.name).read_bytes(), copy.name
