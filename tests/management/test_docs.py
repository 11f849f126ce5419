"""docs/management.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from app.management.schemas import SubscriptionProperties

if TYPE_CHECKING:
    from tests.management.conftest import Admin

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "management.md").read_text(encoding="utf-8")


def test_every_route_is_in_the_table_and_no_other(admin: Admin) -> None:
    documented = {
        (method, path)
        for methods, path in re.findall(r"^\| `([A-Z`, ]+) (/management[^`]*)` \|", PAGE, re.MULTILINE)
        for method in re.findall("[A-Z]+", methods)
    }
    routes = {
        (method, re.sub("<(.*?)>", r"{\1}", rule.rule))
        for rule in admin.api.app.url_map.iter_rules()
        if rule.rule.startswith("/management")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert documented == routes


def test_every_property_of_a_subscription_is_in_the_table() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (?:required|optional|read-only)", PAGE, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    fields = SubscriptionProperties().fields
    assert documented == {field.data_key or name for name, field in fields.items()}
