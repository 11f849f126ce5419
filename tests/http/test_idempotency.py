"""The header Idempotency-Key, as a caller sends it: the same answer, byte by byte, and one charge."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from app.factory import create_app
from app.streaming import StreamBrokenError
from gateway.engines.scripted import ScriptedEngine
from gateway.errors import UnavailableError
from gateway.periods import Period
from gateway.products import Limits, Quota, Rate
from gateway.store.direct import Direct
from gateway.store.tables import kept_answers
from tests.gateways import make_gateway, make_services
from tests.http.conftest import CONTEXT_LENGTH, MAX_BODY_BYTES, Api, Reply
from tests.http.test_limits import Limited, limited, limits_in
from tests.server import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.http.conftest import Log

__all__ = ["limited"]

HEADER = "Idempotency-Key"
CHAT_BODY = {"messages": [{"role": "user", "content": "abc"}]}
AZURE = "/openai/deployments/scripted"
BODIES: dict[str, dict[str, Any]] = {
    "/get-data": {"prompt": "abc"},
    "/system-prompt-get-data": {"prompt": "abc", "system prompt": "d"},
    "/v1/chat/completions": CHAT_BODY,
    "/v1/completions": {"prompt": "abc"},
    f"{AZURE}/chat/completions": CHAT_BODY,
    f"{AZURE}/completions": {"prompt": "abc"},
}
EVERYWHERE = pytest.mark.parametrize("path", BODIES)
WHOLE_AND_STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def ask(api: Api, path: str = "/get-data", key: str | None = "a-key", **fields: object) -> Reply:
    """An answer, read to its end."""
    headers = {} if key is None else {HEADER: key}
    return api.post({**BODIES[path], **fields}, path, **headers)


def usage(limited: Limited) -> dict[str, int]:
    """What the caller is told that it has used, in all."""
    total: dict[str, int] = limited.api.open("GET", "/me/usage", key=limited.api.key).json["total"]
    return total


def second_process(limited: Limited, waiting_room: int = 64) -> Api:
    """Another app with an engine of its own, over the same store."""
    api, engine = limited.api, ScriptedEngine(context_length=CONTEXT_LENGTH)
    engine.script = api.engine.script
    gateway = make_gateway(engine, api.store, monotonic=api.clock, clock=limited.clock, waiting_room=waiting_room)
    app = create_app(make_services(gateway, api.subscriptions, api.store), max_body_bytes=MAX_BODY_BYTES)
    return Api(app, engine, api.clock, api.store, api.subscriptions, api.key)


def kept(limited: Limited) -> int:
    """How many keys have a row."""
    with limited.api.store.reading() as connection:
        return len(connection.execute(kept_answers.select()).all())


def without_its_own(reply: Reply) -> dict[str, str]:
    """The headers that an answer and its replay have in common."""
    own = {"X-Trace-Id", "Idempotent-Replayed"}
    return {name: value for name, value in reply.headers.items() if name not in own}


@EVERYWHERE
@WHOLE_AND_STREAMED
def test_the_same_key_gets_the_same_answer_for_one_charge(limited: Limited, path: str, *, stream: bool) -> None:
    first = ask(limited.api, path, stream=stream)
    spent = usage(limited)
    again = ask(limited.api, path, stream=stream)
    elsewhere = ask(second_process(limited), path, stream=stream)
    assert first.status == again.status == elsewhere.status == 200
    assert first.body == again.body == elsewhere.body
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == elsewhere.headers["Idempotent-Replayed"] == "true"
    assert without_its_own(first).items() <= without_its_own(again).items()
    assert again.headers["X-Trace-Id"] != first.headers["X-Trace-Id"]
    assert len(limited.api.engine.requests) == 1
    assert usage(limited) == spent
    assert spent["calls"] == 1
    assert spent["totalTokens"] > 0


@EVERYWHERE
@WHOLE_AND_STREAMED
def test_who_asks_while_the_first_runs_gets_its_answer(limited: Limited, path: str, *, stream: bool) -> None:
    limited.api.answers("An answer that takes its time.", hold_after=3)
    sides = (limited.api, limited.api, second_process(limited))
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, limited.api, path, stream=stream)
        wait_for(lambda: limited.api.engine.running == 1, "the first call")
        others = [pool.submit(ask, side, path, stream=stream) for side in sides]
        limited.api.engine.release.set()
        replies = [first.result(10), *(other.result(10) for other in others)]
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    assert [reply.headers.get("Idempotent-Replayed") for reply in replies] == [None, "true", "true", "true"]
    assert usage(limited)["calls"] == 1
    assert len(limited.api.engine.requests) == 1


@EVERYWHERE
def test_where_nobody_more_may_wait_one_is_told_to_come_again(limited: Limited, path: str) -> None:
    limited.api.answers(hold_after=3)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, limited.api, path)
        wait_for(lambda: limited.api.engine.running == 1, "the first call")
        reply = ask(second_process(limited, waiting_room=0), path)
        limited.api.engine.release.set()
        assert first.result(10).status == 200
    assert (reply.status, reply.json["code"], reply.headers["Retry-After"]) == (409, 409, "1")
    assert HEADER in reply.json["message"]
    assert usage(limited)["calls"] == 1


@EVERYWHERE
def test_the_same_key_with_another_body_is_400(limited: Limited, path: str) -> None:
    assert ask(limited.api, path).status == 200
    reply = ask(limited.api, path, max_tokens=2)
    assert reply.status == reply.json["code"] == 400
    assert HEADER in reply.json["message"]
    assert "Send a new key" in reply.json["message"]
    if "error" in reply.json:
        assert reply.json["error"]["param"] == HEADER
    assert ask(limited.api, path).headers["Idempotent-Replayed"] == "true"
    assert usage(limited)["totalTokens"] == ask_usage(limited)


def ask_usage(limited: Limited) -> int:
    """The tokens of the one call that was made."""
    (prompt, _), *more = limited.api.engine.requests
    assert more == []
    return len(prompt) + len("An answer.")


def test_the_same_key_at_another_operation_or_deployment_is_400(limited: Limited) -> None:
    path = f"{AZURE}/chat/completions"
    assert ask(limited.api, path).status == 200
    other = limited.api.post(CHAT_BODY, path.replace("scripted", "second-name"), **{HEADER: "a-key"})
    assert other.status == 400
    assert ask(limited.api, "/v1/chat/completions").status == 400


def test_two_spellings_of_a_path_are_one_operation(limited: Limited) -> None:
    first = ask(limited.api)
    again = limited.api.post(BODIES["/get-data"], "/Get%20Data", **{HEADER: "a-key"})
    assert again.body == first.body


def test_two_subscriptions_with_the_same_key_are_apart(limited: Limited) -> None:
    ask(limited.api)
    other = limited.api.subscriptions.create("other", "limited").primary_key
    headers = {"Content-Type": "application/json", HEADER: "a-key"}
    reply = limited.api.open("POST", "/get-data", body=b'{"prompt": "mine"}', headers=headers, key=other)
    assert reply.status == 200
    assert "Idempotent-Replayed" not in reply.headers


def test_a_subscription_s_two_keys_are_one_caller(limited: Limited) -> None:
    created = limited.api.subscriptions.create("other", "limited")
    headers = {"Content-Type": "application/json", HEADER: "a-key"}
    replies = [
        limited.api.open("POST", "/get-data", body=b'{"prompt": "mine"}', headers=headers, key=key)
        for key in (created.primary_key, created.secondary_key)
    ]
    assert replies[0].body == replies[1].body
    assert replies[1].headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", "two words", "a" * 256, "schl\xfcssel"])
def test_what_is_no_key_is_400_and_names_the_header(limited: Limited, key: str) -> None:
    ask(limited.api, key=key).assert_error(400, HEADER, "1 to 255 visible ASCII characters")
    assert limited.api.engine.requests == []


def test_a_subscription_key_comes_before_an_idempotency_key(limited: Limited) -> None:
    headers = {"Content-Type": "application/json", HEADER: ""}
    limited.api.open("POST", "/get-data", body=b"{}", headers=headers, key="0" * 32).assert_error(401)


def test_limits_come_before_an_idempotency_key_and_a_body(limited: Limited) -> None:
    limited.limit(Limits(rate=Rate(1, 60)))
    ask(limited.api, key=None)
    ask(limited.api, key="").assert_error(429)
    limited.api.post(b"x" * (MAX_BODY_BYTES + 1), **{HEADER: "a-key"}).assert_error(429)


def test_a_body_at_fault_is_told_and_its_key_may_be_used_again(limited: Limited) -> None:
    limited.api.post(b"no JSON", **{HEADER: "a-key"}).assert_error(400)
    limited.api.post(b"x" * (MAX_BODY_BYTES + 1), **{HEADER: "a-key"}).assert_error(413)
    limited.api.post(b"", **{HEADER: "a-key"}).assert_error(400, "empty")
    ask(limited.api, temprature=1).assert_error(400, "`temprature`")
    assert ask(limited.api).status == 200


def test_a_refusal_is_not_kept(limited: Limited) -> None:
    limited.api.engine.phase = "loading"
    ask(limited.api).assert_error(503)
    limited.api.engine.phase = "ready"
    again = ask(limited.api)
    assert again.status == 200
    assert "Idempotent-Replayed" not in again.headers


@WHOLE_AND_STREAMED
def test_what_the_gateway_failed_is_made_anew_for_one_charge(limited: Limited, *, stream: bool) -> None:
    limited.api.answers(fail_after=4, error=UnavailableError("The engine has died.", retry_after=1))
    if stream:
        with limited.api.stream({"prompt": "abc", "stream": True}, headers={HEADER: "a-key"}) as broken:
            assert b"The engine has died." in broken.take(5)[-1]
            with pytest.raises(StreamBrokenError):
                next(broken.pieces)
    else:
        ask(limited.api).assert_error(503)
    assert usage(limited)["totalTokens"] >= 3
    limited.api.answers("four")
    again = ask(limited.api, stream=True) if stream else ask(limited.api)
    assert again.status == 200
    assert (usage(limited)["calls"], usage(limited)["totalTokens"]) == (2, 7)


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@EVERYWHERE
def test_an_answer_whose_caller_hangs_up_is_made_to_its_end(
    limited: Limited, sockets: tuple[socket.socket, socket.socket], path: str
) -> None:
    ours, theirs = sockets
    api = limited.api
    api.answers(hold_after=3)
    theirs.close()
    body, headers = json.dumps(BODIES[path]).encode(), {"Content-Type": "application/json", HEADER: "a-key"}
    with ThreadPoolExecutor(1) as pool:
        environ = {"gunicorn.socket": ours}
        left = pool.submit(api.open, "POST", path, body=body, headers=headers, environ=environ, key=api.key)
        wait_for(lambda: api.engine.running == 1, "the call")
        api.engine.release.set()
        first = left.result(10)
    again = ask(api, path)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.body == first.body
    assert usage(limited)["calls"] == 1


@EVERYWHERE
@pytest.mark.parametrize("read", [0, 2])
def test_a_stream_whose_caller_leaves_is_made_to_its_end(limited: Limited, log: Log, path: str, read: int) -> None:
    body = {**BODIES[path], "stream": True}
    whole = limited.api.post(body, path)
    with limited.api.stream(body, path=path, headers={HEADER: "a-key"}) as stream:
        pieces = stream.take(read)
    again = ask(limited.api, path, stream=True)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.body.startswith(b"".join(pieces))
    assert texts(again) == texts(whole)
    assert again.body.endswith(b"data: [DONE]\n\n")
    assert usage(limited)["calls"] == 2
    left = [line for line in log.lines if line["event"] == "request" and line.get("completion_tokens")][-1]
    assert (left["status"], left["completion_tokens"], left["finish_reason"]) == (200, 10, "stop")


def texts(reply: Reply) -> list[str]:
    """What the events of a stream say, their ids apart."""
    events = [json.loads(part[6:]) for part in reply.body.decode().split("\n\n")[:-2]]
    return [str(event.get("choices") or event["generated_text"]) for event in events]


def test_a_stream_that_fails_when_nobody_reads_is_told_in_the_log_and_made_anew(limited: Limited, log: Log) -> None:
    limited.api.answers(fail_after=4, error=UnavailableError("The engine has died.", detail="a detail"))
    with limited.api.stream({"prompt": "abc", "stream": True}, headers={HEADER: "a-key"}) as stream:
        stream.take(1)
    left = log.request()
    assert (left["status"], left["error"], left["detail"]) == (503, "UnavailableError", "a detail")
    limited.api.answers("four")
    assert ask(limited.api, stream=True).status == 200
    assert usage(limited)["totalTokens"] == 7


def test_one_that_hangs_up_while_it_waits_is_no_call(
    limited: Limited, log: Log, sockets: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = sockets
    api = limited.api
    api.answers(hold_after=3)
    theirs.close()
    headers = {"Content-Type": "application/json", HEADER: "a-key"}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, api)
        wait_for(lambda: api.engine.running == 1, "the first call")
        body, environ = json.dumps(BODIES["/get-data"]).encode(), {"gunicorn.socket": ours}
        reply = api.open("POST", "/get-data", body=body, headers=headers, environ=environ, key=api.key)
        api.engine.release.set()
        assert first.result(10).status == 200
    assert reply.status == 499
    assert [line["status"] for line in log.lines if line["event"] == "request"] == [499, 200]
    assert usage(limited)["calls"] == 1


def test_an_answer_is_kept_for_24_hours(limited: Limited) -> None:
    first = ask(limited.api)
    limited.clock.advance(hours=24, seconds=-1)
    assert ask(limited.api).body == first.body
    limited.clock.advance(seconds=1)
    anew = ask(limited.api)
    assert "Idempotent-Replayed" not in anew.headers
    assert usage(limited)["calls"] == 2


def test_the_log_says_what_was_a_replay_and_of_what(limited: Limited, log: Log) -> None:
    first = ask(limited.api, key="a-key-that-nobody-may-read", stream=True)
    ask(limited.api, key="a-key-that-nobody-may-read", stream=True)
    made, replayed = (line for line in log.lines if line["event"] == "request")
    assert "replayed" not in made
    assert (replayed["replayed"], replayed["replay_of"]) == (True, first.headers["X-Trace-Id"])
    assert (replayed["status"], replayed["stream"]) == (200, True)
    assert "completion_tokens" not in replayed
    assert "nobody-may-read" not in log.text


def test_metrics_count_a_replay_as_a_request_and_not_as_tokens(limited: Limited) -> None:
    ask(limited.api)
    ask(limited.api)
    text = limited.api.get("/metrics").body.decode()
    assert 'gateway_requests_total{operation="Get Data",product="limited",status="200"} 2.0' in text
    assert 'gateway_completion_tokens_total{model="scripted",product="limited"} 10.0' in text
    assert 'gateway_replays_total{operation="Get Data",product="limited"} 1.0' in text


def test_a_replay_shows_what_limits_leave_and_takes_nothing_of_it(limited: Limited) -> None:
    limited.limit(Limits(call_quota=Quota(5, Period.DAY), token_quota=Quota(100, Period.DAY)))
    ask(limited.api)
    shown = [limits_in(ask(limited.api)) for _ in range(2)]
    assert shown[0] == shown[1]
    assert (shown[0]["remaining-requests"], shown[0]["remaining-tokens"]) == ("4", "87")


def test_without_the_header_nothing_asks_for_a_kept_answer(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    run = Direct.run

    def note(*given: Any) -> None:
        statements.append(str(given[2]))

    def note_and_run(direct: Direct, sql: str, *values: Any) -> None:
        statements.append(sql)
        run(direct, sql, *values)

    engine = limited.api.store._engine  # noqa: SLF001 - what runs in the database
    event.listen(engine, "before_cursor_execute", note)
    monkeypatch.setattr(Direct, "run", note_and_run)
    ask(limited.api, key=None)
    assert statements
    assert not any("kept_answers" in statement for statement in statements)
    ask(limited.api)
    assert any("kept_answers" in statement for statement in statements)
    event.remove(engine, "before_cursor_execute", note)


def test_a_page_may_send_the_key_and_read_whether_it_got_a_replay(limited: Limited) -> None:
    origin = {"Origin": "https://page.example"}
    preflight = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": HEADER.lower()}
    allowed = limited.api.open("OPTIONS", "/get-data", headers=preflight).headers["Access-Control-Allow-Headers"]
    assert HEADER.lower() in allowed.lower()
    exposed = limited.api.post(BODIES["/get-data"], **origin).headers["Access-Control-Expose-Headers"]
    assert "Idempotent-Replayed" in exposed


def test_nothing_of_it_is_in_the_database_in_the_clear(limited: Limited, tmp_path: Any) -> None:
    limited.api.answers("A canary sang in the morning.")
    assert b"canary" in ask(limited.api, key="the-canary-key-of-a-caller").body
    assert b"canary" in ask(limited.api, key="another-canary-key", stream=True).body.replace(
        b'"}\n\ndata: {"generated_text":"', b""
    )
    limited.api.store.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("g.sqlite3*"))
    assert b"kept_answers" in stored
    assert b"canary" not in stored
