"""What the benchmark's figures rest on: its arithmetic, its reading of answers, its load client. No engine."""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.bench import arguments, client, exchange, figures, machine
from tests.bench.load import Load, Outcome, Sample, counting_prompts

if TYPE_CHECKING:
    from collections.abc import Iterator

USAGE = {"prompt_tokens": 9, "completion_tokens": 64, "total_tokens": 73}
LAST = {"generated_text": "", "finish_reason": "length", "usage": USAGE, "status": 200}


def chunked(*pieces: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def event(data: object) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def stream(*texts: str) -> bytes:
    return chunked(*(event({"generated_text": text}) for text in texts), event(LAST), b"data: [DONE]\n\n")


def chat_event(choices: list[object], **more: object) -> bytes:
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": choices, **more})


def chat_stream(*texts: str) -> bytes:
    return chunked(
        chat_event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]),
        *(chat_event([{"index": 0, "delta": {"content": text}, "finish_reason": None}]) for text in texts),
        chat_event([{"index": 0, "delta": {}, "finish_reason": "length"}]),
        chat_event([], usage=USAGE),
        b"data: [DONE]\n\n",
    )


def chat_whole(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}
    body = json.dumps({"choices": [choice], "usage": USAGE}).encode()
    return f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def whole(text: str, status: str = "200 OK") -> bytes:
    body = json.dumps({**LAST, "generated_text": text}).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert figures.percentile(values, 0.5) == 50
    assert figures.percentile(values, 0.99) == 99
    assert figures.percentile([7.0], 0.99) == 7
    assert figures.percentile([1.0, 2.0], 0.5) == 1


def test_ratios_are_formed_within_each_round() -> None:
    assert figures.ratios([10, 30], [20, 30]) == [0.5, 1]
    with pytest.raises(ValueError, match="argument 2"):
        figures.ratios([1], [1, 2])


def test_fewer_than_six_rounds_carry_no_interval() -> None:
    assert figures.median_interval([1, 2, 3, 4, 5]) is None
    assert figures.median_interval([3, 1, 2, 6, 5, 4]) == (1, 6)


def test_more_rounds_narrow_the_interval() -> None:
    # 9 values: the 2nd and the 8th hold the median with 96.1%, the 3rd and the 7th with 82%.
    assert figures.median_interval(range(1, 10)) == (2, 8)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.95, 0.96, 0.97, 0.98, 0.99, 1.0], "yes"),
        ([0.90, 0.91, 0.92, 0.93, 0.93, 0.94], "no"),
        ([0.90, 0.96, 0.97, 0.98, 0.99, 1.0], "open"),
        ([1.0, 1.0, 1.0], "open"),
    ],
)
def test_a_claim_is_made_only_where_the_spread_carries_it(values: list[float], verdict: str) -> None:
    assert figures.at_least(values, 0.95) == verdict


def test_an_answer_is_whole_with_its_last_byte_and_not_before() -> None:
    for raw in (stream("one, ", "two\r\n"), whole("one, two"), chat_stream("one, ", "two"), chat_whole("one, two")):
        assert exchange.is_whole(raw)
        assert not any(exchange.is_whole(raw[:end]) for end in range(len(raw)))


def test_streamed_and_whole_answers_read_the_same() -> None:
    expected = exchange.Reading("one, two\n\nthree", 9, 64, "length")
    assert exchange.read(stream("one, ", "two\n\n", "three"), "get-data") == expected
    assert exchange.read(whole("one, two\n\nthree"), "get-data") == expected
    assert exchange.read(chat_stream("one, ", "two\n\n", "three"), "chat") == expected
    assert exchange.read(chat_whole("one, two\n\nthree"), "chat") == expected


def test_a_role_is_not_a_first_text() -> None:
    raw = chat_stream("one")
    role = raw.index(b"\n\n") + 2
    assert not exchange.has_text(raw[:role], "chat")
    assert exchange.has_text(raw, "chat")
    assert exchange.has_text(stream("one"), "get-data")


@pytest.mark.parametrize(
    "raw",
    [
        whole("", "503 Service Unavailable"),
        chunked(event({"generated_text": "one"})),
        chunked(event({"generated_text": "one"}), b'event: error\ndata: {"code":503}\n\n'),
        stream("one")[:-8],
    ],
    ids=["refused", "without end", "failed", "cut"],
)
def test_what_is_no_whole_answer_is_not_counted(raw: bytes) -> None:
    with pytest.raises(exchange.UnexpectedAnswerError):
        exchange.read(raw, "get-data")


@pytest.mark.parametrize(
    "raw",
    [
        chat_stream("one")[:-8],
        chunked(chat_event([]), b"data: [DONE]\n\n"),
        chunked(event({"error": {"message": "no"}}), b"data: [DONE]\n\n"),
    ],
    ids=["cut", "without usage", "failed"],
)
def test_what_is_no_whole_chat_is_not_counted(raw: bytes) -> None:
    with pytest.raises(exchange.UnexpectedAnswerError):
        exchange.read(raw, "chat")


@contextmanager
def answering(answers: dict[str, bytes], *, last: str | None = None) -> Iterator[int]:
    """A server that answers each prompt with fixed bytes, in two pieces, on kept-alive connections; its port.

    Where one prompt is the last, it is answered once all connections but its own are closed.
    """
    others_gone = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            while file.readline():
                length = 0
                while (line := file.readline()) != b"\r\n":
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                prompt = json.loads(file.read(length))["prompt"]
                if prompt == last:
                    others_gone.wait(10)
                connection.sendall(answers[prompt][:100])
                connection.sendall(answers[prompt][100:])
                if last is not None and prompt != last:
                    break
        others_gone.set()

    def accept() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()


@pytest.mark.parametrize("level", [1, 3, 16])
def test_the_client_brings_each_answer_to_its_prompt(level: int) -> None:
    prompts = [f"prompt {number}" for number in range(10)]
    with answering({prompt: stream("re: ", prompt) for prompt in prompts}) as port:
        outcome = client.run(exchange.Target(port, "key"), Load(level, stream=True, prompts=prompts))
    assert [sample.text for sample in outcome.samples] == [f"re: {prompt}" for prompt in prompts]
    assert outcome.output_tokens == 640
    for sample in outcome.samples:
        assert sample.first is not None
        assert 0 < sample.first <= sample.total <= outcome.seconds


def test_a_whole_answer_has_no_first_token() -> None:
    with answering({"a": whole("b")}) as port:
        (sample,) = client.run(exchange.Target(port, "key"), Load(1, stream=False, prompts=["a"])).samples
    assert (sample.first, sample.text) == (None, "b")


def test_a_connection_that_has_done_its_work_may_be_closed() -> None:
    with answering({"a": whole("b"), "z": whole("y")}, last="z") as port:
        outcome = client.run(exchange.Target(port, "key"), Load(2, stream=False, prompts=["a", "z"]))
    assert [sample.text for sample in outcome.samples] == ["b", "y"]


def test_a_refusal_ends_the_run() -> None:
    with (
        answering({"a": whole("", "401 Unauthorized")}) as port,
        pytest.raises(exchange.UnexpectedAnswerError, match="401"),
    ):
        client.run(exchange.Target(port, "key"), Load(1, stream=False, prompts=["a"]))


def test_an_outcome_survives_the_way_between_processes() -> None:
    outcome = Outcome(1.5, 0.25, [Sample(None, 1.0, 9, 64, "é"), Sample(0.5, 1.0, 9, 64, "")])
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


def test_a_speed_is_that_of_callers_who_are_all_at_work() -> None:
    # Two callers with two answers each: one begins a second late, and has nobody beside it for the last one.
    samples = [Sample(None, 2.0, 9, 64, "", sent) for sent in (10.0, 11.0, 12.0, 13.0)]
    outcome = Outcome(5.0, 0.0, samples)
    assert outcome.tokens_per_second == pytest.approx((64 + 64 + 32 + 0) / 3)
    assert outcome.requests_per_second == pytest.approx(2.5 / 3)


def test_prompts_differ() -> None:
    assert len(set(counting_prompts(192))) == 192


def test_this_process_costs_what_the_system_says() -> None:
    before = machine.cpu_seconds(os.getpid())
    times = os.times()
    assert abs(before - (times.user + times.system)) < 0.05
    resident, proportional = machine.memory_mib(os.getpid())
    assert 0 < proportional <= resident
    assert os.getpid() in machine.children(os.getppid())


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([2.0] * 6, "yes"), ([3.0, 3.0, 3.0, 3.0, 3.0, 3.0], "yes"), ([3.1] * 6, "no"), ([2.0, 4.0] * 4, "open")],
)
def test_a_ceiling_is_kept_only_where_the_spread_carries_it(values: list[float], verdict: str) -> None:
    assert figures.at_most(values, 3) == verdict


def test_differences_are_formed_within_each_round() -> None:
    assert figures.differences([3, 5], [1, 2]) == [2, 3]


def test_what_is_asked_of_it_is_told_by_letters_and_words() -> None:
    chosen = arguments.parse(["--sides", "c,a", "--operations", "chat", "--levels", "16", "--workers", "2"])
    assert (chosen.sides, chosen.operations, chosen.levels, chosen.workers) == ("ac", ("chat",), (16,), (2,))
    for wrong in (["--sides", "x"], ["--operations", "talk"], ["--levels", "0"]):
        with pytest.raises(SystemExit):
            arguments.parse(wrong)


def test_quick_is_short_and_the_default_carries_claims() -> None:
    default, quick = arguments.parse([]), arguments.parse(["--quick"])
    assert figures.median_interval(range(default.rounds)) is not None
    assert quick.rounds * quick.requests(16) < default.rounds * default.requests(16)
    assert [default.requests(level) for level in default.levels] == [15, 240, 960, 1024]


def test_cells_may_be_shorter_but_not_all_beginning() -> None:
    chosen = arguments.parse(["--each", "6"])
    assert [chosen.requests(level) for level in chosen.levels] == [8, 96, 384, 1024]
    with pytest.raises(SystemExit):
        arguments.parse(["--each", "3"])
