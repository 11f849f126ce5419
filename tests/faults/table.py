"""The table of docs/reliability.md: a row for each fault, and the figures that were measured last."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BEGIN, END = "<!-- figures: written by `make reliability` -->", "<!-- end of the figures -->"
_HEAD = "| # | done | must hold | measured | when, where |\n| --- | --- | --- | --- | --- |\n"
_LINE = re.compile(r"^\| (?P<row>\d+) \|.*\| (?P<measured>[^|]*) \| (?P<where>[^|]*) \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done, and what must hold all the same."""

    done: str
    must_hold: str


FAULTS: dict[int, Fault] = {
    1: Fault(
        "`kill -9` of the engine under 64 streams",
        "every caller gets the error event and an aborted body within 2 s; new calls 503 with `Retry-After`; "
        "a new engine serves within 30 s; usage rows complete and exact",
    ),
    2: Fault("`kill -9` of a gunicorn worker", "no process is orphaned; a new worker serves"),
    3: Fault(
        "SIGTERM, and Ctrl-C, under 64 streams and steady load",
        "every accepted request ends whole; new ones get 503, not a reset; exits within the drain time; "
        "nothing is left running",
    ),
    4: Fault(
        "200 sockets: slow head, slow body, idle, readers that never read",
        "a healthy caller's p99 is below 1 s; 408 at the deadline",
    ),
    5: Fault(
        "malformed HTTP: a corpus by RFC 9112",
        "the contract's body or a plain close; nothing of it echoed or logged; no connection desynchronised",
    ),
    6: Fault(
        "fuzzed bodies (hypothesis) and schemathesis over the description",
        "no 500, and no body outside the contract",
    ),
    7: Fault("truncated body, bad chunk, two key headers, key in header and query", "400, 400, 401, the header wins"),
    8: Fault(
        "four times the load that it can serve, for 60 s",
        "refused within 100 ms with 429 or 503 and an honest `Retry-After`; goodput at least 90% of the peak; "
        "health p99 below 100 ms; memory bounded",
    ),
    9: Fault("500 hang-ups at random moments", "the engine is empty within 1 s; the ledger is exact"),
    10: Fault(
        "the disk full, under the database and under the log",
        "503, alive, the database whole, recovers by itself",
    ),
    11: Fault(
        "the clock moved by an hour either way",
        "nobody is locked out beyond one window; no number is negative",
    ),
    12: Fault(
        "a canary key and a canary prompt through every path",
        "in no log, metric, trace, error, process title; the key not in the database",
    ),
    13: Fault("every management and `/me` route with every other caller's key", "401, 403 or 404, all of them"),
    14: Fault(
        "100,000 requests on a scripted engine, 5,000 on vLLM",
        "after warm-up memory grows by at most 5%, descriptors and threads by none",
    ),
    15: Fault(
        "the same `Idempotency-Key` again: after, while the first runs, after a crash",
        "the same answer, and where a crash left none a new one, for one charge; with another body 400; kept for 24 h",
    ),
}


def write(document: str, figures: Mapping[int, list[str]], where: str) -> str:
    """A document with its table made anew.

    Args:
        document: Markdown with the two marks of the table in it.
        figures: what was measured, by row; a row without any keeps what the document says of it.
        where: the day and the machine.

    Raises:
        ValueError: the marks are not in the document.
    """
    before, begin, rest = document.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no table: it should hold the lines {BEGIN!r} and {END!r}")
    known = {int(found["row"]): (found["measured"], found["where"]) for found in _LINE.finditer(old)}
    known |= {row: ("; ".join(texts), where) for row, texts in figures.items()}
    lines = [
        f"| {row} | {fault.done} | {fault.must_hold} | {' | '.join(known.get(row, ('not yet', '')))} |\n"
        for row, fault in FAULTS.items()
    ]
    return f"{before}{BEGIN}\n\n{_HEAD}{''.join(lines)}\n{END}{after}"
