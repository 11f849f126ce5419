"""Row 6, the other half: schemathesis takes the description at its word, with all of its checks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.figures import Figure
    from tests.faults.scripted import Scripted

CONFIG = Path(__file__).with_name("schemathesis.toml")
SHORT, FULL = 10, 300  # examples for each operation, in each of four phases
CASES = re.compile(r"(\d+) generated, (?:(\d+) found )?(?:\d+ unique failures?)?")


def without_streams(document: dict[str, Any]) -> dict[str, Any]:
    """The description without the schemas of event streams: schemathesis takes them for those of a single event.

    Streams are held against the description in `tests/openapi`.
    """
    for item in document["paths"].values():
        for operation in item.values():
            for answer in operation["responses"].values():
                answer.get("content", {}).get("text/event-stream", {}).pop("schema", None)
    return document


def test_the_gateway_does_what_its_description_says(
    scripted_gateway: Scripted, tmp_path: Path, figure: Figure, *, full: bool
) -> None:
    url = f"http://127.0.0.1:{scripted_gateway.port}"
    with urllib.request.urlopen(f"{url}/openapi.json") as response:
        document = without_streams(json.load(response))
    description = tmp_path / "openapi.json"
    description.write_text(json.dumps(document))
    command = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(CONFIG), "run", str(description)]
    command += ["--url", url, "--checks", "all", "--max-examples", str(FULL if full else SHORT), "--no-color"]
    command += ["--header", f"Ocp-Apim-Subscription-Key: {scripted_gateway.key}"]
    command += ["--header", f"Authorization: Bearer {scripted_gateway.token}"]
    command += ["--continue-on-failure", "--suppress-health-check", "all", "--request-timeout", "60"]
    if not full:
        command.append("--generation-deterministic")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    counted = CASES.search(done.stdout)
    assert counted, done.stdout[-4000:] + done.stderr
    figure(6, f"schemathesis: {counted[1]} requests, {counted[2] or 0} against the description")
    assert done.returncode == 0, done.stdout[-8000:]
    assert int(counted[1]) > 1000
    assert "Traceback" not in scripted_gateway.log()
