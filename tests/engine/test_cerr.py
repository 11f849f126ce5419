"""What compiled code writes to C++'s standard error is dropped, and nothing else is."""

from __future__ import annotations

import subprocess
import sys

# A process of its own: what is closed stays closed.
PROGRAM = """
import ctypes, os, sys
import xgrammar
from gateway.engines.vllm import cerr
if sys.argv[1] == "closed":
    cerr.close()
    cerr.close()
xgrammar.Grammar.from_regex("(^first$)")
xgrammar.Grammar.from_json_schema('{"type": "string", "pattern": "(^canary$)"}')
os.write(2, b"the descriptor\\n")
print("Python's stream", file=sys.stderr)
ctypes.CDLL(None).perror(b"C's stream")
"""


def written(state: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM, state], capture_output=True, text=True, check=True)
    return done.stderr


def test_what_xgrammar_quotes_is_dropped_and_nothing_else() -> None:
    assert "canary" in written("open")  # else there would be nothing to close
    lines = written("closed").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["the descriptor", "Python's stream", "C's stream"]
