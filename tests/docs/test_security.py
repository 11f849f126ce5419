"""SECURITY.md names every item of the two lists, and tests that are there."""

from __future__ import annotations

import ast
import re

import pytest

from gateway.settings import ROOT

TEXT = (ROOT / "SECURITY.md").read_text()
SECTIONS = dict(re.findall(r"^### ((?:API|LLM)\d+:\d+) (?:.*)\n((?:(?!^#).*\n)*)", TEXT, re.MULTILINE))
NAMED = re.compile(r"^- `(tests/[\w/]+\.py)::(\w+)`$", re.MULTILINE)


def test_every_item_of_both_lists_is_there() -> None:
    assert list(SECTIONS) == [*(f"API{n}:2023" for n in range(1, 11)), *(f"LLM{n:02}:2026" for n in range(1, 11))]


@pytest.mark.parametrize("item", SECTIONS)
def test_every_test_that_is_named_is_there(item: str) -> None:
    named = NAMED.findall(SECTIONS[item])
    assert named
    assert SECTIONS[item].count("- `") == len(named)
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"


def test_every_package_is_locked_by_version_and_hash() -> None:
    for lock in [
        ROOT / "requirements.txt",
        *(ROOT / f"deploy/requirements/{name}.txt" for name in ("cpu", "cuda", "dev")),
    ]:
        packages = [part for part in re.split(r"\n(?=\S)", lock.read_text()) if not part.startswith("#")]
        assert len(packages) > 10
        for package in packages:
            assert re.match(r"[\w.\[\],-]+==\S+", package), package.splitlines()[0]
            assert "--hash=sha256:" in package, package.splitlines()[0]
