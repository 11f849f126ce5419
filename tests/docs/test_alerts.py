"""The alert rules are what Prometheus takes, fire when they should and not otherwise, and name metrics that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from gateway.settings import ROOT

RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"


def promtool(*arguments: str | Path) -> str:
    """What Prometheus' own tool says; fails where it does. It comes with Debian's `prometheus`."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules() -> None:
    assert "5 rules found" in promtool("check", "rules", RULES)


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    cases = tmp_path / "cases.yml"
    cases.write_text(Path(__file__).with_name("alerts_test.yml").read_text().replace("__RULES__", str(RULES)))
    assert "SUCCESS" in promtool("test", "rules", cases)


def test_each_metric_in_a_rule_is_a_documented_one() -> None:
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs" / "observability.md").read_text(), re.MULTILINE))
    rules = "\n".join(line for line in RULES.read_text().splitlines() if not line.lstrip().startswith(("action", "#")))
    named = {name.removesuffix("_bucket") for name in re.findall(r"\b(?:gateway|gen_ai)_[a-z_]+\b", rules)}
    assert named
    assert named <= documented
