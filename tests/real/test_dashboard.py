"""The dashboard and the alerts over a real gateway: a real Prometheus scrapes it, and every panel has something."""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from gateway.settings import ROOT
from tests.docs.grafana import metrics, queries
from tests.real.callers import ADMIN_TOKEN, CHAT, LONG, put_product, subscriber
from tests.server import running, wait_for
from tests.services import running_prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server import GatewayServer

CONFIG: dict[str, object] = {
    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
    "rule_files": [str(ROOT / "deploy" / "prometheus" / "alerts.yml")],
}


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """A gateway whose long answers fail."""
    environment = {"GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN, "GATEWAY_REQUEST_TIMEOUT": "1"}
    with running(tmp_path_factory.mktemp("hasty"), **environment) as server:
        yield server


def ask(url: str, path: str, **parameters: str) -> Any:
    """What Prometheus' API says."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=30) as response:
        return json.load(response)["data"]


def values(url: str, expression: str) -> list[float]:
    """The values of an expression now, those apart that are no number."""
    found = ask(url, "query", query=expression)["result"]
    return [value for one in found if not math.isnan(value := float(one["value"][1]))]


def alerts(url: str) -> dict[str, str]:
    """The state of each alert that is up, by its name."""
    return {one["labels"]["alertname"]: one["state"] for one in ask(url, "alerts")["alerts"]}


def scraped(url: str) -> None:
    """Wait for a scrape that begins now or later."""
    now = time.time()
    job = 'up{job="get-data-gateway"}'
    wait_for(lambda: max(values(url, f"timestamp({job} == 1)"), default=0) > now, "a scrape")


def traffic(server: GatewayServer) -> None:
    """Something of everything that a panel shows."""
    limited = subscriber(server, "limited")
    assert [limited.ask().status for _ in range(2)] == [200, 429]
    caller = subscriber(server, "unlimited")
    key = secrets.token_hex(8)
    for _ in range(2):
        body = {"prompt": "Hello", "max_tokens": 8}
        reply = server.post("/get-data", body, Ocp_Apim_Subscription_Key=caller.key, Idempotency_Key=key)
        assert reply.status == 200
    assert caller.ask(path=CHAT).status == 200
    assert caller.ask(prompt="").status == 400
    assert caller.ask(LONG, CHAT, max_tokens=1900, ignore_eos=True).status == 504
    waiting = subscriber(server, "scarce")
    with waiting.stream() as stream:  # it has reserved all that there is
        stream.event()
        other = threading.Thread(target=waiting.ask, args=(LONG,))
        other.start()
        other.join()


def test_every_panel_has_data_of_the_real_gateway(hasty: GatewayServer) -> None:
    target = {"targets": [f"127.0.0.1:{hasty.port}"]}
    config = CONFIG | {"scrape_configs": [{"job_name": "get-data-gateway", "static_configs": [target]}]}
    with running_prometheus(config) as url:
        put_product(hasty, "limited", rate={"calls": 1})
        put_product(hasty, "scarce", tokenQuota={"amount": 120, "period": "day"})
        for _ in range(2):  # a counter's first value is no rate
            traffic(hasty)
            scraped(url)
        exposed = {line.split("{")[0].split(" ")[0] for line in hasty.get("/metrics").content.decode().splitlines()}
        for query in queries():
            assert metrics(query.expression) <= exposed, str(query)
            # What is counted at a request's end may come with the next scrape.
            wait_for(lambda asked=query.expression: bool(values(url, asked)), str(query))  # type: ignore[misc]
        healthy = {rule["name"]: rule["health"] for rule in ask(url, "rules")["groups"][0]["rules"]}
        assert set(healthy.values()) == {"ok"}
        # One of its nine requests failed, which is more than one in twenty.
        wait_for(lambda: alerts(url) == {"GatewayFails": "pending"}, "the alert")
