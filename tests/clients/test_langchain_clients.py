"""LangChain's packages for NVIDIA's and for OpenAI's API against the real gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from langchain_nvidia_ai_endpoints import ChatNVIDIA
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.clients.openai_api import MODEL, PROMPT, TOKENS, Fault, base_url, each_fault, new_trace

if TYPE_CHECKING:
    from tests.server import GatewayServer


def nvidia(server: GatewayServer, **fields: Any) -> ChatNVIDIA:
    """NVIDIA's client for this server; greedy."""
    settings: dict[str, Any] = {"model": MODEL, "temperature": 0, "max_completion_tokens": TOKENS}
    settings["api_key"] = server.key
    return ChatNVIDIA(base_url=base_url(server), **settings | fields)


def langchain(server: GatewayServer, key: str | None = None, **fields: Any) -> ChatOpenAI:
    """LangChain's client of OpenAI's API for this server; greedy."""
    settings: dict[str, Any] = {"model": MODEL, "temperature": 0, "max_completion_tokens": TOKENS, "max_retries": 0}
    return ChatOpenAI(base_url=base_url(server), api_key=SecretStr(key or server.key), **settings | fields)


def test_nvidias_client_gets_what_get_data_answers(gateway_server: GatewayServer, same: dict[str, Any]) -> None:
    answer = nvidia(gateway_server).invoke(PROMPT)
    assert answer.content == same["generated_text"]
    assert answer.response_metadata["model_name"] == MODEL
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == same["usage"]["prompt_tokens"]
    assert answer.usage_metadata["output_tokens"] == same["usage"]["completion_tokens"]


def test_nvidias_client_streams_the_same(gateway_server: GatewayServer, same: dict[str, Any]) -> None:
    pieces = [str(chunk.content) for chunk in nvidia(gateway_server).stream(PROMPT)]
    assert len(pieces) > 1
    assert "".join(pieces) == same["generated_text"]


def test_nvidias_client_that_stops_reading_at_the_end_has_not_hung_up(gateway_server: GatewayServer) -> None:
    trace, stop = new_trace(), ["that"]  # it stops at `"finish_reason": "stop"`, before usage and [DONE]
    client = nvidia(gateway_server, default_headers=trace.headers)
    text = "".join(str(chunk.content) for chunk in client.stream(PROMPT, stop=stop))
    expected = gateway_server.generate(PROMPT, stop=stop)
    assert expected["finish_reason"] == "stop"
    assert text == expected["generated_text"]
    line = gateway_server.request_log(trace.trace_id)
    assert (line["status"], line["finish_reason"]) == (200, "stop")
    assert line["completion_tokens"] == expected["usage"]["completion_tokens"]
    assert "error" not in line


def test_nvidias_client_lists_the_models_with_their_roots(gateway_server: GatewayServer) -> None:
    models = {model.id: model.base_model for model in nvidia(gateway_server).available_models}
    assert set(models) == {"get-data-demo", MODEL}
    assert all(models.values())


def test_nvidias_client_finds_a_model_by_itself(gateway_server: GatewayServer, same: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match="Default model is set as: get-data-demo"):
        client = nvidia(gateway_server, model=None)
    assert client.invoke(PROMPT).content == same["generated_text"]


@each_fault
@pytest.mark.parametrize("stream", [False, True])
def test_faults_are_told_by_nvidias_client(gateway_server: GatewayServer, fault: Fault, stream: bool) -> None:  # noqa: FBT001
    client = nvidia(gateway_server, api_key=fault.key or gateway_server.key)
    with pytest.raises(Exception, match=rf"\[{fault.status}\]") as caught:
        _ = list(client.stream(PROMPT, **fault.fields)) if stream else client.invoke(PROMPT, **fault.fields)
    assert type(caught.value) is Exception  # it has no class of its own
    assert fault.message in str(caught.value)


def test_langchains_client_gets_what_get_data_answers(gateway_server: GatewayServer, same: dict[str, Any]) -> None:
    answer = langchain(gateway_server).invoke(PROMPT)
    assert answer.content == same["generated_text"]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == same["usage"]["completion_tokens"]


def test_langchains_client_streams_the_same(gateway_server: GatewayServer, same: dict[str, Any]) -> None:
    pieces = [str(chunk.content) for chunk in langchain(gateway_server).stream(PROMPT)]
    assert len(pieces) > 1
    assert "".join(pieces) == same["generated_text"]


@each_fault
def test_faults_are_openais_errors_in_langchains_client(gateway_server: GatewayServer, fault: Fault) -> None:
    with pytest.raises(getattr(openai, fault.error)) as caught:
        langchain(gateway_server, fault.key, **fault.fields).invoke(PROMPT)
    assert fault.message in str(caught.value)
