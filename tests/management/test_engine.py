"""`GET /management/engine`: how the engine is doing, for the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.management.conftest import Admin


def test_it_says_what_runs(admin: Admin) -> None:
    admin.api.answers("abc", hold_after=1)
    headers = {"Ocp-Apim-Subscription-Key": admin.subscribe()["primaryKey"]}
    with admin.api.stream({"prompt": "abc", "stream": True}, headers=headers) as stream:
        stream.take(1)
        found = admin.get("/management/engine").json
    assert found == {
        "ready": True,
        "state": "ready",
        "step": 3,
        "steps": 6,
        "models": ["scripted", "second-name"],
        "requestsInProgress": 1,
        "requestsRunning": 1,
        "requestsWaiting": 0,
        "kvCacheUsage": None,
        "tokensPerSecond": 0.0,
        "windowSeconds": 10.0,
    }
    assert admin.get("/management/engine").json["requestsRunning"] == 0


def test_an_engine_that_is_away_is_no_failure(admin: Admin) -> None:
    engine = admin.api.engine
    engine.phase = "loading"
    found = admin.get("/management/engine").json
    assert (found["ready"], found["state"], found["models"]) == (False, "loading", [])
    assert [found[name] for name in ("requestsRunning", "requestsWaiting", "kvCacheUsage", "tokensPerSecond")] == [
        None
    ] * 4


def test_it_is_for_the_operator_alone(admin: Admin) -> None:
    admin.token = None
    admin.send("GET", "/management/engine").assert_error(401)
