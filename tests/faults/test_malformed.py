"""Row 5: malformed HTTP is answered in the contract's form or closed, repeated nowhere, and desynchronises nothing."""

from __future__ import annotations

import json
import re
import secrets
import string
from typing import TYPE_CHECKING

import pytest

from tests.faults.corpus import CORPUS, Case
from tests.worker.server import Client, Reply

if TYPE_CHECKING:
    from tests.faults.figures import Figure
    from tests.faults.scripted import Scripted
    from tests.server import GatewayServer

HEALTHY = "GET /health/live HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{}-00f067aa0ba902b7-01\r\n\r\n"
# Served, it would change something; refused, it would be logged: its trace id tells of either.
SMUGGLED = (
    "POST /me/regenerateKey HTTP/1.1\r\nHost: a\r\nOcp-Apim-Subscription-Key: {}\r\n"
    "traceparent: 00-{}-00f067aa0ba902b7-01\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"
    '{{"key": "secondary"}}'
)


def new_mark() -> str:
    """A word that occurs nowhere else."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(32))


def check_answer(reply: Reply | None, status: int, mark: str) -> Reply:
    """An answer has this status and the contract's form, and repeats nothing."""
    assert reply is not None, "closed without an answer"
    assert reply.status == status, reply
    assert reply.whole
    assert mark.encode() not in reply.body
    assert mark not in str(reply.headers)
    assert re.fullmatch("[0-9a-f]{32}", reply.headers["x-trace-id"])
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    if status >= 400:
        told = reply.json()
        assert list(told) == ["code", "message", "traceId"]
        assert told["code"] == status
        assert told["message"].endswith(".")
        assert told["traceId"] == reply.headers["x-trace-id"]
    return reply


def play(address: tuple[str, int], key: str, case: Case, mark: str) -> str:
    """Send a case and hold its answers to it; the trace id of the request that is smuggled in it."""
    smuggled_id, healthy_id = secrets.token_hex(16), secrets.token_hex(16)
    smuggled = SMUGGLED.format(key, smuggled_id).encode()
    with Client(address) as client:
        client.send(case.bytes(key=key.encode(), mark=mark.encode(), smuggled=smuggled, length=b"%d" % len(smuggled)))
        if case.ends:
            client.sock.shutdown(1)
        replies = [check_answer(client.reply(), status, mark) for status in case.answers]
        last = replies[-1]
        if last.headers["connection"] == "close":
            assert client.ended()
        else:  # what comes next on this connection has the answer that is meant for it
            client.send(HEALTHY.format(healthy_id))
            follower = client.reply()
            assert follower is not None
            assert (follower.status, follower.headers["x-trace-id"]) == (200, healthy_id)
    with Client(address) as client:  # and it serves others
        client.send(HEALTHY.format(healthy_id))
        other = client.reply()
        assert other is not None
        assert (other.status, other.headers["x-trace-id"]) == (200, healthy_id)
    assert smuggled_id.encode() not in b"".join(json.dumps(reply.headers).encode() for reply in replies)
    return smuggled_id


@pytest.mark.parametrize("case", CORPUS, ids=[case.name for case in CORPUS])
def test_what_is_malformed_is_answered_by_the_rules(scripted_gateway: Scripted, case: Case) -> None:
    mark = new_mark()
    smuggled_id = play(("127.0.0.1", scripted_gateway.port), scripted_gateway.key, case, mark)
    log = scripted_gateway.log()
    assert mark not in log
    assert smuggled_id not in log
    assert "Traceback" not in log


def test_every_case_has_a_name_of_its_own_and_there_are_many() -> None:
    assert len({case.name for case in CORPUS}) == len(CORPUS) >= 60


def test_the_real_gateway_answers_all_of_it_as_well(gateway_server: GatewayServer, figure: Figure) -> None:
    mark, smuggled_ids, faults = new_mark(), [], []
    for case in CORPUS:
        try:
            smuggled_ids.append(play(("127.0.0.1", gateway_server.port), gateway_server.key, case, mark))
        except AssertionError as fault:
            faults.append(f"{case.name}: {fault}")
    reply = gateway_server.post("/get-data", {"prompt": "Hello", "max_tokens": 1})
    gateway_server.request_log(reply.headers["X-Trace-Id"])  # what came before is logged
    log = "\n".join(gateway_server.log)
    told = [f"{len(faults)} against the rules" if faults else "all by the rules"]
    told.append(f"{sum(smuggled_id in log for smuggled_id in smuggled_ids)} smuggled requests served")
    figure(5, f"{len(CORPUS)} requests: {', '.join(told)}")
    assert faults == []
    assert reply.status == 200
    for secret in (mark, gateway_server.key, *smuggled_ids):
        assert secret not in log
