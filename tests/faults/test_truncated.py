"""Row 7: bodies that break off, and keys in more than one place, on the real gateway."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from tests.worker.server import Client, check_refusal

if TYPE_CHECKING:
    from tests.faults.figures import Figure
    from tests.server import GatewayServer
    from tests.worker.server import Reply

BODY = json.dumps({"prompt": "Hello", "max_tokens": 1}).encode()
KEY = "Ocp-Apim-Subscription-Key"
UNKNOWN = secrets.token_hex(16)


def send(server: GatewayServer, headers: list[str], body: bytes = BODY, query: str = "", *, end: bool = False) -> Reply:
    """The answer to a prompt with these header lines."""
    own = [f"POST /get-data{query} HTTP/1.1", "Host: a", "Content-Type: application/json", "Connection: close"]
    with Client(("127.0.0.1", server.port)) as client:
        client.send("\r\n".join([*own, *headers, "", ""]).encode() + body)
        if end:
            client.sock.shutdown(1)
        reply = client.reply()
        assert client.ended()
    assert reply is not None
    return reply


def sized(*keys: str) -> list[str]:
    """The length of the body, and a key header for each key."""
    return [f"Content-Length: {len(BODY)}", *(f"{KEY}: {key}" for key in keys)]


def test_a_truncated_body_is_400(gateway_server: GatewayServer, figure: Figure) -> None:
    replies = [
        send(gateway_server, sized(gateway_server.key), BODY[:length], end=True) for length in (0, 1, len(BODY) - 1)
    ]
    figure(7, f"truncated {', '.join(sorted({str(reply.status) for reply in replies}))}")
    for reply in replies:
        check_refusal(reply, 400)


def test_a_bad_chunk_is_400(gateway_server: GatewayServer, figure: Figure) -> None:
    headers = [f"{KEY}: {gateway_server.key}", "Transfer-Encoding: chunked"]
    size = b"%x\r\n" % len(BODY)
    bad = [b"zz\r\n" + BODY, b"-1\r\n", size + BODY + b"xx0\r\n\r\n", size + BODY + b"\r\n0;\x01\r\n\r\n"]
    cut = [size + BODY[:-1], size + BODY, size + BODY + b"\r\n", size + BODY + b"\r\n0\r\n"]
    replies = [send(gateway_server, headers, body) for body in bad]
    replies += [send(gateway_server, headers, body, end=True) for body in [*bad, *cut]]
    figure(7, f"bad chunk {', '.join(sorted({str(reply.status) for reply in replies}))}")
    for reply in replies:
        check_refusal(reply, 400)


def test_two_key_headers_are_401_whatever_they_hold(gateway_server: GatewayServer, figure: Figure) -> None:
    key = gateway_server.key
    pairs = [(key, key), (key, UNKNOWN), (UNKNOWN, key), (key, ""), ("", key)]
    statuses = [send(gateway_server, sized(*pair)).status for pair in pairs]
    statuses.append(send(gateway_server, [*sized(key), f"{KEY.lower()}: {key}"]).status)
    figure(7, f"two key headers {', '.join(sorted(set(map(str, statuses))))}")
    assert set(statuses) == {401}


def test_the_header_wins_over_the_query(gateway_server: GatewayServer, figure: Figure) -> None:
    key = gateway_server.key
    good = send(gateway_server, sized(key), query=f"?subscription-key={UNKNOWN}").status
    bad = send(gateway_server, sized(UNKNOWN), query=f"?subscription-key={key}").status
    alone = send(gateway_server, sized(), query=f"?subscription-key={key}").status
    figure(7, f"good header, bad query {good}; bad header, good query {bad}")
    assert (good, bad, alone) == (200, 401, 200)
