"""Get Data over the real server and the real engine: what a caller sees."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gateway.settings import ROOT
from tests.server import wait_for

if TYPE_CHECKING:
    from tests.server import GatewayServer

LONG = "Count from 1 to 300"


def test_answers_in_the_contracts_form(gateway_server: GatewayServer) -> None:
    reply = gateway_server.post("/Get%20Data", {"prompt": "Tell me about llama2"})
    body = reply.json
    assert reply.status == 200
    assert list(body) == ["status", "content-type", "generated_text", "model", "finish_reason", "usage", "traceId"]
    assert body["status"] == 200
    assert body["content-type"] == "application/json"
    assert body["model"] == "get-data-demo"
    assert body["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    assert body["traceId"] == reply.headers["X-Trace-Id"]


def test_tells_about_llama_2_fluently(gateway_server: GatewayServer) -> None:
    text = gateway_server.generate("Tell me about llama2")["generated_text"]
    assert "Meta" in text
    assert "70" in text
    assert len(text.split()) > 30
    assert text == text.strip()


def test_a_system_prompt_changes_the_answer(gateway_server: GatewayServer) -> None:
    plain = gateway_server.generate("Tell me about llama2")["generated_text"]
    expert = gateway_server.generate("Tell me about llama2", system_prompt="You are supposed to be a Llama 2 expert")[
        "generated_text"
    ]
    assert expert != plain
    assert len(expert.split()) > 30


UNKNOWN = [
    "How do I repair the gearbox of a 1972 tractor?",
    "Write a poem about my cat",
    "Explain quantum chromodynamics",
    "Who won the world cup in 1998?",
    "What is the best recipe for goulash?",
    "Translate this contract into Finnish",
    "Which stocks should I buy?",
    "Summarize the plot of Hamlet",
    "How does photosynthesis work?",
    "Debug my Haskell program",
]
# In whatever words the model says that it cannot help here.
MODEST = re.compile(r"do not know|don't know|cannot|demo model|simple questions|Demomodell|modèle de démonstration")


def test_unknown_questions_get_modest_answers(gateway_server: GatewayServer) -> None:
    answers = [gateway_server.generate(question)["generated_text"] for question in UNKNOWN]
    assert sum(bool(MODEST.search(answer)) for answer in answers) >= 8, answers


@pytest.mark.parametrize("path", ["/Get%20Data", "/get%20data/", "/GET-DATA", "/get-data/"])
def test_every_spelling_of_the_path_is_served(gateway_server: GatewayServer, path: str) -> None:
    assert gateway_server.post(path, {"prompt": "Hello", "max_tokens": 1}).status == 200


def test_a_raw_space_in_the_request_line_is_served(gateway_server: GatewayServer) -> None:
    body = json.dumps({"prompt": "Hello", "max_tokens": 1}).encode()
    head = (
        f"POST /Get Data HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"Ocp-Apim-Subscription-Key: {gateway_server.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway_server.port)) as sock:
        sock.sendall(head.encode() + body)
        assert sock.makefile("rb").read().startswith(b"HTTP/1.1 200")


def test_the_printed_curl_line_works_when_pasted(gateway_server: GatewayServer) -> None:
    start = next(number for number, line in enumerate(gateway_server.output) if line.startswith("curl "))
    line = "\n".join(gateway_server.output[start : start + 2])
    done = subprocess.run(["bash", "-c", f"{line} --silent"], capture_output=True, timeout=60, check=True)
    assert "Meta" in json.loads(done.stdout)["generated_text"]


def events(content: bytes) -> list[str]:
    """The data of each server-sent event."""
    return [event.removeprefix("data: ") for event in content.decode().split("\n\n") if event]


@pytest.mark.parametrize("prompt", ["Tell me about llama2", "Say hello in Chinese", "Reply with an emoji"])
def test_the_pieces_of_a_stream_make_the_same_text(gateway_server: GatewayServer, prompt: str) -> None:
    whole = gateway_server.generate(prompt)
    reply = gateway_server.post("/get-data", {"prompt": prompt, "temperature": 0, "stream": True})
    *pieces, last, done = events(reply.content)
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert done == "[DONE]"
    assert "".join(json.loads(piece)["generated_text"] for piece in pieces) == whole["generated_text"]
    expected = {**whole, "generated_text": "", "traceId": reply.headers["X-Trace-Id"]}
    del expected["content-type"]  # of the whole answer's own
    assert json.loads(last) == expected


def test_the_same_seed_gives_the_same_text(gateway_server: GatewayServer) -> None:
    fields = {"temperature": 2, "seed": 7, "max_tokens": 60}
    first, second = (gateway_server.generate("Tell me a story", **fields) for _ in range(2))
    other = gateway_server.generate("Tell me a story", **{**fields, "seed": 8})
    assert first["generated_text"] == second["generated_text"] != other["generated_text"]


def test_a_stop_text_ends_the_answer_before_it(gateway_server: GatewayServer) -> None:
    body = gateway_server.generate(LONG, stop=["12"])
    assert body["finish_reason"] == "stop"
    assert body["generated_text"].rstrip(" ,").endswith("11")


def test_max_tokens_cuts_the_answer(gateway_server: GatewayServer) -> None:
    body = gateway_server.generate(LONG, max_tokens=5)
    assert body["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 5


def test_response_format_makes_the_answer_fit_a_schema(gateway_server: GatewayServer) -> None:
    schema = {
        "type": "object",
        "properties": {"size": {"enum": ["7B", "13B", "70B"]}},
        "required": ["size"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "size", "schema": schema}}
    text = gateway_server.generate("Name a size of Llama 2 as JSON", response_format=wanted, max_tokens=50)
    assert json.loads(text["generated_text"])["size"] in {"7B", "13B", "70B"}


def test_a_schema_that_is_none_is_refused(gateway_server: GatewayServer) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    reply = gateway_server.post("/get-data", {"prompt": "Hello", "response_format": wanted})
    assert reply.status == 400
    assert "response_format" in reply.json["message"]


def test_a_prompt_longer_than_the_context_is_refused(gateway_server: GatewayServer) -> None:
    reply = gateway_server.post("/get-data", {"prompt": "llama " * 3000})
    assert reply.status == 400
    assert "2048" in reply.json["message"]
    assert "`prompt`" in reply.json["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_hangs_up_frees_the_engine(gateway_server: GatewayServer, stream: bool) -> None:  # noqa: FBT001
    trace_id = f"{int(stream):032x}".replace("0", "a")
    body = json.dumps({"prompt": LONG, "temperature": 0, "stream": stream}).encode()
    head = (
        f"POST /get-data HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"traceparent: 00-{trace_id}-00f067aa0ba902b7-01\r\n"
        f"Ocp-Apim-Subscription-Key: {gateway_server.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    whole = gateway_server.generate(LONG)["usage"]["completion_tokens"]
    with socket.create_connection(("127.0.0.1", gateway_server.port)) as sock:
        sock.sendall(head.encode() + body)
        if stream:
            sock.recv(1)
    line = gateway_server.request_log(trace_id)
    assert line["status"] == 499
    assert 0 <= line["completion_tokens"] < whole
    assert line["duration_ms"] < 1000


def test_a_log_line_tells_all_but_the_key_and_the_content(gateway_server: GatewayServer) -> None:
    canary = "xylophone-canary-77"
    reply = gateway_server.post("/get-data", {"prompt": canary, "max_tokens": 3})
    line = gateway_server.request_log(reply.json["traceId"])
    assert line["subscription"] == "dev"
    assert line["operation"] == "Get Data"
    assert line["status"] == 200
    assert line["prompt_tokens"] == reply.json["usage"]["prompt_tokens"]
    assert line["completion_tokens"] == 3
    assert line["time_to_first_token_ms"] <= line["duration_ms"]
    everything = "\n".join(gateway_server.log)
    assert canary not in everything
    assert gateway_server.key not in everything


def flask(server: GatewayServer, *arguments: str) -> str:
    """What a command prints, run beside the server on the same database."""
    command = [sys.executable, "-m", "flask", *arguments]
    environment = server.environment
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_commands_work_beside_the_running_server_and_count_at_once(gateway_server: GatewayServer) -> None:
    made = json.loads(flask(gateway_server, "subscriptions", "create", "Ada", "--product", "unlimited", "--json"))
    call = {"Ocp_Apim_Subscription_Key": made["secondaryKey"]}
    assert gateway_server.post("/get-data", {"prompt": "Hello", "max_tokens": 1}, **call).status == 200
    flask(gateway_server, "subscriptions", "suspend", made["id"])
    assert gateway_server.post("/get-data", {"prompt": "Hello", "max_tokens": 1}, **call).status == 401
    flask(gateway_server, "subscriptions", "activate", made["id"])
    replaced = json.loads(flask(gateway_server, "subscriptions", "regenerate-key", made["id"], "secondary", "--json"))[
        "secondaryKey"
    ]
    assert gateway_server.post("/get-data", {"prompt": "Hello", "max_tokens": 1}, **call).status == 401
    call = {"Ocp_Apim_Subscription_Key": replaced}
    assert gateway_server.post("/get-data", {"prompt": "Hello", "max_tokens": 1}, **call).status == 200


def test_many_callers_at_once_get_their_own_answers(gateway_server: GatewayServer) -> None:
    prompts = [f"Count from 1 to {10 + number}" for number in range(24)]
    alone = [gateway_server.generate(prompt, max_tokens=40)["usage"]["prompt_tokens"] for prompt in prompts[:3]]
    with ThreadPoolExecutor(24) as pool:
        bodies = list(pool.map(lambda prompt: gateway_server.generate(prompt, max_tokens=40), prompts))
    assert [body["usage"]["prompt_tokens"] for body in bodies[:3]] == alone
    assert len({body["traceId"] for body in bodies}) == len(prompts)


def test_a_body_shorter_than_its_content_length_is_refused(gateway_server: GatewayServer) -> None:
    head = (
        "POST /get-data HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Ocp-Apim-Subscription-Key: {gateway_server.key}\r\nContent-Length: 500\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway_server.port)) as sock:
        sock.sendall(head.encode() + b'{"prompt": "Hello"}')
        sock.shutdown(socket.SHUT_WR)
        answer = sock.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 400


def test_a_body_over_the_limit_is_refused(gateway_server: GatewayServer) -> None:
    limit = 1 << 20
    fits = json.dumps({"prompt": "", "x": ""}).encode()
    fits = fits.replace(b'"x": ""', b'"x": "' + b"a" * (limit - len(fits)) + b'"')
    assert len(fits) == limit
    assert gateway_server.post("/get-data", fits).status == 400
    reply = gateway_server.post("/get-data", fits + b" ")
    assert reply.status == 413
    assert reply.json["code"] == 413


def test_the_servers_own_refusals_have_the_contracts_form(gateway_server: GatewayServer) -> None:
    with socket.create_connection(("127.0.0.1", gateway_server.port)) as sock:
        sock.sendall(b"GET /canary-55 nonsense HTTP/1.1\r\n\r\n")
        answer = sock.makefile("rb").read()
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert set(body) == {"code", "message", "traceId"}
    assert body["code"] == 400
    wait_for(lambda: any(body["traceId"] in line for line in gateway_server.log), "its log line")
    assert "canary-55" not in "\n".join(gateway_server.log) + json.dumps(body)


def test_the_process_title_and_arguments_hold_no_key(gateway_server: GatewayServer) -> None:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert gateway_server.key not in listed
