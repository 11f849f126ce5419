"""Many streamed answers of one caller at a time, and what the ledger has of them."""

from __future__ import annotations

import json
import secrets
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from tests.faults.crowd import post
from tests.real.callers import CHAT, GET_DATA, LONG, body
from tests.server import wait_for

if TYPE_CHECKING:
    from tests.faults.crowd import Crowd, Exchange
    from tests.real.callers import Caller

PATHS = (GET_DATA, CHAT)


class Streams:
    """Long greedy answers, Get Data's and chat's in turn, of each of which the first text has come.

    Attributes:
        paths: of the requests, by their trace ids.
        exchanges: by trace id.
    """

    def __init__(self, crowd: Crowd, caller: Caller, number: int, **fields: object) -> None:
        self.caller = caller
        self.paths = {secrets.token_hex(16): path for path in islice(cycle(PATHS), number)}
        self.exchanges = {
            trace_id: crowd.send(
                post(path, caller.key, {**body(path, LONG), "stream": True, **fields}, trace_id=trace_id)
            )
            for trace_id, path in self.paths.items()
        }
        crowd.until(lambda: all(map(text_of, self.exchanges.values())), "text on every stream")

    def __iter__(self) -> Any:
        return iter(self.exchanges.values())

    def rows(self) -> list[dict[str, Any]]:
        """The ledger's, of these streams, once all of them are ended."""
        wait_for(lambda: self.caller.open_rows() == 0, "the rows' end", 10)
        return [row for row in self.caller.rows() if row["trace_id"] in self.paths]

    def check_rows(self, crowd: Crowd, status: int, finish_reason: str | None) -> int:
        """Each has its row, which holds what its caller has got and no reservation; the tokens of all."""
        rows = {row["trace_id"]: row for row in self.rows()}
        assert set(rows) == set(self.paths)
        for row in rows.values():
            assert row["ended_at"] is not None
            assert (row["status"], row["finish_reason"], row["reserved"]) == (status, finish_reason, 0), row
            assert row["prompt_tokens"] > 0
        check_counts(crowd, self.caller, [(rows[key], path, self.exchanges[key]) for key, path in self.paths.items()])
        return sum(map(tokens_of, rows.values()))


def tokens_of(row: dict[str, Any]) -> int:
    """What a call has cost."""
    return int(row["prompt_tokens"] + row["completion_tokens"])


def check_counts(crowd: Crowd, caller: Caller, told: list[tuple[dict[str, Any], str, Exchange]]) -> None:
    """That as much as a row counts holds all that was received: greedy answers are the same again."""
    again = {}
    for row, path, _ in told:
        asked = {**body(path, LONG), "max_tokens": max(1, row["completion_tokens"])}
        crowd.until(lambda: crowd.under_way < len(told) and crowd.under_way < 64, "a place")
        again[row["trace_id"]] = crowd.send(post(path, caller.key, asked))
    crowd.until_over(again.values(), 120)
    for row, _, exchange in told:
        whole = again[row["trace_id"]]
        assert whole.status == 200, whole.raw
        received = text_of(exchange)
        if not row["completion_tokens"]:
            assert not received
            continue
        assert _text(whole.json).startswith(received), (row, received)
        assert whole.json["usage"]["prompt_tokens"] == row["prompt_tokens"]


def text_of(exchange: Exchange) -> str:
    """What has come of a streamed answer, in whole events."""
    return "".join(_text(event) for event in events_of(exchange))


def events_of(exchange: Exchange) -> list[dict[str, Any]]:
    """The data of the whole events that have come, without `[DONE]`."""
    *blocks, _ = exchange.body.decode(errors="ignore").split("\n\n")
    data = (line.removeprefix("data: ") for block in blocks for line in block.split("\n") if line.startswith("data: "))
    return [json.loads(one) for one in data if one != "[DONE]"]


def _text(answer: dict[str, Any]) -> str:
    if answer.get("choices"):
        choice = answer["choices"][0]
        return str(choice.get("delta", choice.get("message", {})).get("content") or "")
    return str(answer.get("generated_text", ""))
