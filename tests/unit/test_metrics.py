"""Workers count each for itself, and whichever is scraped shows the sum."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from gateway.settings import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# What gunicorn does: a master that has imported everything forks workers, and is told when one has died.
MASTER = """
import os
import sys
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from gateway.engines.scripted import ScriptedEngine
from gateway.exposition import Exposition
from gateway.metrics import Ended, Metrics, count_in

folder, = map(Path, sys.argv[1:])


def worker(requests, *, dies):
    count_in(folder)
    metrics = Metrics()
    for _ in range(requests):
        metrics.observe(Ended("Get Data", 200, 0.5, "unlimited", limit="model"))
    metrics.begin()  # of one that goes on
    if dies:
        os._exit(0)
    sys.stdout.buffer.write(Exposition(metrics, ScriptedEngine(), folder).text())
    sys.stdout.buffer.flush()
    os._exit(0)


def fork(requests, *, dies):
    pid = os.fork()
    if not pid:
        worker(requests, dies=dies)
    os.waitpid(pid, 0)
    return pid


first = fork(3, dies=True)
fork(4, dies=False)
print("# and once more, when gunicorn has told of the death", flush=True)
mark_process_dead(first, folder)
fork(0, dies=False)
"""


def test_a_scrape_shows_what_all_workers_counted_and_what_the_living_have_running(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MASTER, tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    before, after = done.stdout.split("# and once more, when gunicorn has told of the death\n")
    for text in (before, after):  # in each, two that run: the dead one is only taken out once that is told
        figures = {sample.name: sample.value for one in text_string_to_metric_families(text) for sample in one.samples}
        assert figures["gateway_requests_total"] == 7
        assert figures["gateway_limit_hits_total"] == 7
        assert figures["gateway_requests_running"] == 2
        assert figures["gateway_engine_ready"] == 1
