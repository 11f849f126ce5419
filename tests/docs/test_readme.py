"""The README's tables and commands are true."""

from __future__ import annotations

import re

from gateway.settings import ROOT, Settings

README = (ROOT / "README.md").read_text()
# Set by the gateway's own master for its workers, and by nobody else.
INTERNAL = {"GATEWAY_RUNTIME_DIR"}


def test_every_setting_stands_in_the_table_with_its_meaning() -> None:
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| .* \| (.*) \|$", README, re.MULTILINE))
    settings = {str(field.validation_alias): field.description for field in Settings.model_fields.values()}
    assert documented == {name: text for name, text in settings.items() if name not in INTERNAL}


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets


def test_every_link_to_a_file_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_first_screen_has_what_a_newcomer_needs() -> None:
    first_screen = "\n".join(README.splitlines()[:30])
    for needed in ("make serve", "make test", "curl -X POST", "generated_text", "traceId"):
        assert needed in first_screen
