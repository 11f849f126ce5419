"""What vLLM reads from its environment: the gateway's defaults, and that the operator's own values win."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.engines.vllm import supervisor


@pytest.mark.parametrize(
    ("cores", "small_model", "threads"),
    [
        (1, True, 1),
        (1, False, 1),
        (2, True, 1),
        (2, False, 2),
        (3, False, 3),
        (4, False, 3),
        (4, True, 3),
        (64, False, 63),
    ],
)
def test_a_core_is_left_to_the_front_end_unless_a_large_model_has_few(
    cores: int, *, small_model: bool, threads: int
) -> None:
    assert supervisor.compute_threads(cores, small_model=small_model) == threads


def test_the_operators_own_values_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "7"})
    supervisor.set_engine_environment(["--enforce-eager"], small_model=True)
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert os.environ["TORCHDYNAMO_DISABLE"] == "1"


def test_the_engine_is_told_none_of_the_gateways_secrets_and_to_export_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"GATEWAY_DEV_KEY": "a", "GATEWAY_ADMIN_TOKEN": "b", "GATEWAY_KEY_PEPPER": "c", "GATEWAY_DATABASE_URL": "d"}
    traces = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "f", "OTEL_EXPORTER_OTLP_HEADERS": "g"}
    monkeypatch.setattr(os, "environ", {**own, **traces, "HF_TOKEN": "e", "OMP_NUM_THREADS": "1"})
    given = supervisor.host_environment(Path("/run/gateway-1"))
    assert given == {"HF_TOKEN": "e", "OMP_NUM_THREADS": "1", "VLLM_RPC_BASE_PATH": "/run/gateway-1"}


def test_sockets_of_vllm_go_where_their_paths_are_not_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    assert supervisor.host_environment(Path("/" + 69 * "f"))
    assert not supervisor.host_environment(Path("/" + 70 * "f"))
    monkeypatch.setattr(os, "environ", {"VLLM_RPC_BASE_PATH": "/run/own"})
    assert supervisor.host_environment(Path("/run/gateway-1")) == {"VLLM_RPC_BASE_PATH": "/run/own"}
