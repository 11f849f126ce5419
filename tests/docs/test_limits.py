"""docs/limits.md says what the code does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app.cli.usage import usage
from app.limits import LIMIT_HEADERS
from gateway.settings import ROOT
from gateway.usage import DIMENSIONS
from tests.management.conftest import TOKEN, Admin, admin, clock, store

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["TOKEN", "admin", "clock", "store"]

PAGE = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")


def missing(names: Collection[str]) -> list[str]:
    return [name for name in names if f"`{name}`" not in PAGE]


def test_the_table_of_headers_is_the_code_s() -> None:
    assert re.findall(r"^\| `(x-ratelimit-[a-z-]+)` \|", PAGE, re.MULTILINE) == LIMIT_HEADERS


def test_every_option_of_the_command_is_on_the_page() -> None:
    options = {name for option in usage.params for name in option.opts}
    assert options - set(re.findall(r"--[a-z-]+", PAGE)) == set()


def test_everything_that_usage_can_be_summed_by_is_named() -> None:
    assert missing(DIMENSIONS) == []


def test_every_route_of_a_caller_s_own_view_is_in_the_table_and_no_other(admin: Admin) -> None:
    documented = set(re.findall(r"^\| `([A-Z]+ /me/\w+)` \|", PAGE, re.MULTILINE))
    routes = {
        f"{method} {rule.rule}"
        for rule in admin.api.app.url_map.iter_rules()
        if rule.rule.startswith("/me/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert documented == routes
