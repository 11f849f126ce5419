"""What the server finds wrong with a request is in the description as well, in the form of each API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.http import conftest as http
from tests.worker.server import Client

if TYPE_CHECKING:
    from tests.faults.scripted import Scripted
    from tests.openapi.conftest import Described


def head_of(method: str, path: str, gateway: Scripted) -> str:
    """The head of a request that is let in, but for its last line."""
    return (
        f"{method.upper()} {path} HTTP/1.1\r\nHost: a\r\nOcp-Apim-Subscription-Key: {gateway.key}\r\n"
        f"Authorization: Bearer {gateway.token}\r\nIf-Match: *\r\nContent-Type: application/json\r\n"
    )


def make(path: str, gateway: Scripted, body: str) -> None:
    """Make what requests with faulty bodies are about."""
    head = head_of("PUT", path, gateway).replace("If-Match: *\r\n", "")
    with Client(("127.0.0.1", gateway.port)) as client:
        client.send(f"{head}Content-Length: {len(body)}\r\n\r\n{body}")
        reply = client.reply()
        assert reply is not None
        assert reply.status == 201, reply.body


def requests_of(method: str, path: str, gateway: Scripted, *, reads: bool) -> dict[int, str]:
    """A request that gets each of these statuses; where a body is read, for what is wrong with it."""
    head = head_of(method, path, gateway)
    return {
        400: head + "Content-Length: x\r\n\r\n",
        408: head + "Content-Length: 5\r\n\r\n{" if reads else head,
        413: head + "Transfer-Encoding: chunked\r\n\r\nffffff\r\n",
        414: f"{method.upper()} {path}?{'a' * 5000} HTTP/1.1\r\n\r\n",
        431: head + f"X: {'a' * 9000}\r\n\r\n",
    }


def test_what_the_server_refuses_is_described(scripted_gateway: Scripted, described: Described) -> None:
    make("/management/products/gold", scripted_gateway, '{"properties": {"displayName": "Gold"}}')
    acme = '{"properties": {"displayName": "Acme", "scope": "/products/gold", "state": "active"}}'
    make("/management/subscriptions/acme", scripted_gateway, acme)
    waiting = []
    for method, template, operation in described.operations():
        path = template.format(sid="acme", pid="gold", id="scripted", deployment="scripted")
        for status, request in requests_of(method, path, scripted_gateway, reads="requestBody" in operation).items():
            if str(status) in operation["responses"]:
                client = Client(("127.0.0.1", scripted_gateway.port))
                client.send(request)
                waiting.append((method, template, status, client))
    for method, template, status, client in waiting:  # the slow ones are slow together
        with client:
            reply = client.reply()
            assert reply is not None
            assert reply.status == status, (method, template)
            headers = {name.title(): value for name, value in reply.headers.items()}
            described.check(method, template, http.Reply(reply.status, headers, reply.body))
    assert {408, 414, 431} <= {status for _, _, status, _ in waiting}
    assert {template for _, template, _, _ in waiting} == set(described.document["paths"])
