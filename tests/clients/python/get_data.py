"""Ask the gateway from Python 3.9 or newer, with its standard library alone.

Takes GATEWAY_URL and GATEWAY_KEY from the environment. Prints one JSON document: what came back.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import http.client
import json
import os
import re
import sys
import urllib.error
import urllib.request
from typing import Any

PATHS = {"get-data": "/Get%20Data", "system-prompt-get-data": "/System%20Prompt%20Get%20Data"}


def post(path: str, body: dict[str, Any]) -> Any:
    """Send the request; give back the response, success or not."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-cache"}
    if key := os.environ.get("GATEWAY_KEY"):
        headers["Ocp-Apim-Subscription-Key"] = key
    url, data = os.environ["GATEWAY_URL"] + path, json.dumps(body).encode("utf-8")
    request = urllib.request.Request(url, data, headers, method="POST")
    try:
        return urllib.request.urlopen(request, timeout=600)
    except urllib.error.HTTPError as error:
        return error  # raised for a 400 and up, it is a response too: its body says what to mend


def read_answer(response: Any) -> dict[str, Any]:
    """Read a whole answer or error body."""
    body = response.read().decode("utf-8")
    with contextlib.suppress(ValueError):  # a proxy's page is no JSON and stays text
        body = json.loads(body)
    return {"wwwAuthenticate": response.headers["WWW-Authenticate"], "body": body}


def read_stream(response: Any) -> dict[str, Any]:
    """Read server-sent events as they come."""
    seen: dict[str, Any] = {"pieces": [], "last": None, "done": False, "error": None, "chunkArrivals": 0}
    decoder = codecs.getincrementaldecoder("utf-8")()  # the network may cut a character in two
    waiting = ""
    try:
        while chunk := response.read1():  # read() would wait for the end
            seen["chunkArrivals"] += 1
            *events, waiting = re.split(r"\r\n\r\n|\n\n|\r\r", waiting + decoder.decode(chunk))
            for event in events:
                take_event(event, seen)
    except (http.client.HTTPException, OSError) as error:
        sys.stderr.write(f"the stream broke off: {error!r}\n")
    return seen


def take_event(event: str, seen: dict[str, Any]) -> None:
    """Sort one event into what was seen."""
    # Not splitlines(): it also splits at U+2028 and others, which may stand inside a JSON string.
    fields = [re.split(": ?", line, maxsplit=1) for line in re.split(r"\r\n|\n|\r", event)]
    data = "\n".join(value for name, *values in fields for value in values if name == "data")
    if data == "[DONE]":
        seen["done"] = True
    elif ["event", "error"] in fields:
        seen["error"] = json.loads(data)
    elif data:
        answer = json.loads(data)
        if "finish_reason" in answer:
            seen["last"] = answer
        else:
            seen["pieces"].append(answer["generated_text"])


def main() -> None:
    """Read the arguments, ask, and print what came back."""
    parser = argparse.ArgumentParser(description="Ask the gateway.")
    parser.add_argument("--stream", action="store_true", default=None, help="take the answer piece by piece")
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--field", nargs=2, action="append", default=[], metavar=("NAME", "JSON"))
    parser.add_argument("operation", choices=PATHS)
    parser.add_argument("prompt")
    parser.add_argument("system prompt", nargs="?")
    fields = vars(parser.parse_args())
    path, others = PATHS[fields.pop("operation")], fields.pop("field")
    fields.update((name, json.loads(value)) for name, value in others)
    with post(path, {name: value for name, value in fields.items() if value is not None}) as answer:
        kind = answer.headers["Content-Type"] or ""
        about = {"status": answer.status, "contentType": kind, "traceId": answer.headers["X-Trace-Id"]}
        read = read_stream if kind.startswith("text/event-stream") else read_answer
        json.dump(about | read(answer), sys.stdout)


if __name__ == "__main__":
    main()
