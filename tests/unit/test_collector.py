"""What is imported is looked through by nobody, and the collector is on again whatever becomes of the import.

In processes of their own: a collector is its whole process's, and would find what other tests have left.
"""

from __future__ import annotations

import subprocess
import sys

from gateway.settings import ROOT


def run(code: str) -> None:
    """Run a program that asserts."""
    lines = f"import gc, weakref\nfrom gateway.engines.vllm import collector\n{code}"
    done = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_was_imported_is_left_alone_from_then_on() -> None:
    run(
        """
with collector.importing():
    assert not gc.isenabled()
    made = [[number] for number in range(1000)]
assert gc.isenabled()
assert gc.get_freeze_count() >= len(made)
assert not any(one is made[0] for one in gc.get_objects())  # those that it would look through
"""
    )


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    run(
        """
try:
    with collector.importing():
        raise ImportError
except ImportError:
    assert gc.isenabled()
else:
    raise AssertionError
"""
    )


def test_garbage_that_has_come_since_is_not_kept_for_ever() -> None:
    run(
        """
class Loop:
    def __init__(self):
        self.itself = self

found = weakref.ref(Loop())
collector.leave_to_the_end()
assert found() is None
assert gc.get_freeze_count() > 0
"""
    )
