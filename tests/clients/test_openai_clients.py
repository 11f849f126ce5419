"""OpenAI's Python package against the real gateway: its own client, its asynchronous one and the one for Azure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.clients.openai_api import MESSAGES, MODEL, PROMPT, TOKENS, Fault, base_url, each_fault, new_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openai.types.chat import ChatCompletionChunk

    from tests.server import GatewayServer

GREEDY: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": TOKENS}


@pytest.fixture
def client(gateway_server: GatewayServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url(gateway_server), api_key=gateway_server.key, max_retries=0) as client:
        yield client


def azure_client(server: GatewayServer, api_version: str = "2024-10-21", key: str | None = None) -> openai.AzureOpenAI:
    """Azure's client for this server."""
    return openai.AzureOpenAI(
        azure_endpoint=server.url, api_key=key or server.key, api_version=api_version, max_retries=0
    )


def text_of(chunks: Iterable[ChatCompletionChunk]) -> str:
    """All pieces of a stream."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def check_error(error: openai.APIStatusError, fault: Fault) -> None:
    """Check that the client has raised its own error for a fault, with our words in it."""
    assert type(error).__name__ == fault.error
    assert error.status_code == fault.status
    assert isinstance(error.body, dict)
    assert fault.message in error.body["message"]
    assert fault.message in str(error)


def test_an_answer_is_that_of_get_data(client: openai.OpenAI, same: dict[str, Any]) -> None:
    completion = client.chat.completions.create(**GREEDY)
    [choice] = completion.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == same["generated_text"]
    assert choice.finish_reason == same["finish_reason"] == "length"
    assert completion.model == same["model"]
    assert completion.usage is not None
    assert completion.usage.model_dump(include=set(same["usage"])) == same["usage"]


def test_the_asynchronous_client_gets_the_same_whole_and_streamed(
    gateway_server: GatewayServer, same: dict[str, Any]
) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=base_url(gateway_server), api_key=gateway_server.key) as client:
            whole = await client.chat.completions.create(**GREEDY)
            stream = await client.chat.completions.create(**GREEDY, stream=True)
            return [whole.choices[0].message.content or "", text_of([chunk async for chunk in stream])]

    assert asyncio.run(ask()) == [same["generated_text"]] * 2


def test_a_stream_has_the_same_text_and_no_usage_unless_asked(client: openai.OpenAI, same: dict[str, Any]) -> None:
    chunks = list(client.chat.completions.create(**GREEDY, stream=True))
    assert text_of(chunks) == same["generated_text"]
    assert chunks[-1].choices[0].finish_reason == "length"
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_the_usage_where_it_is_asked_for(client: openai.OpenAI, same: dict[str, Any]) -> None:
    *chunks, last = client.chat.completions.create(**GREEDY, stream=True, stream_options={"include_usage": True})
    assert text_of(chunks) == same["generated_text"]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.model_dump(include=set(same["usage"])) == same["usage"]


def test_the_packages_own_reader_of_streams_puts_the_same_together(client: openai.OpenAI, same: dict[str, Any]) -> None:
    with client.chat.completions.stream(**GREEDY) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        assert text == stream.current_completion_snapshot.choices[0].message.content == same["generated_text"]


def test_a_text_is_gone_on_with_whole_and_streamed(client: openai.OpenAI) -> None:
    fields: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "temperature": 0, "max_tokens": 8}
    whole = client.completions.create(**fields)
    chunks = list(client.completions.create(**fields, stream=True))
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 8
    assert whole.choices[0].text
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"


def test_models_are_listed_and_each_can_be_retrieved(client: openai.OpenAI) -> None:
    listed = list(client.models.list())
    assert [model.id for model in listed] == ["get-data-demo", MODEL]
    assert [client.models.retrieve(model.id) for model in listed] == listed


def test_a_model_that_is_not_served_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="names no model that is served here"):
        client.models.retrieve("meta/llama2-7b")


@each_fault
@pytest.mark.parametrize("stream", [False, True])
def test_faults_are_the_clients_own_errors(client: openai.OpenAI, fault: Fault, stream: bool) -> None:  # noqa: FBT001
    with pytest.raises(openai.APIStatusError) as caught:
        client.with_options(api_key=fault.key or client.api_key).chat.completions.create(
            **GREEDY | fault.fields, stream=stream
        )
    check_error(caught.value, fault)


@each_fault
def test_faults_are_the_asynchronous_clients_own_errors(gateway_server: GatewayServer, fault: Fault) -> None:
    async def ask() -> None:
        key = fault.key or gateway_server.key
        async with openai.AsyncOpenAI(base_url=base_url(gateway_server), api_key=key, max_retries=0) as client:
            await client.chat.completions.create(**GREEDY | fault.fields)

    with pytest.raises(openai.APIStatusError) as caught:
        asyncio.run(ask())
    check_error(caught.value, fault)


def test_an_error_names_what_openais_would(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(**GREEDY | {"model": "meta/llama2-7b"})
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="0" * 32).models.list()
    assert refused.value.code == "invalid_api_key"


@pytest.mark.parametrize("api_version", ["2024-10-21", "2025-04-01-preview", "whatever"])
def test_azures_client_gets_the_same_with_any_version(
    gateway_server: GatewayServer, same: dict[str, Any], api_version: str
) -> None:
    with azure_client(gateway_server, api_version) as client:
        completion = client.chat.completions.create(**GREEDY)
    assert completion.choices[0].message.content == same["generated_text"]


def test_azures_client_streams_the_same(gateway_server: GatewayServer, same: dict[str, Any]) -> None:
    with azure_client(gateway_server) as client:
        assert text_of(client.chat.completions.create(**GREEDY, stream=True)) == same["generated_text"]


@each_fault
def test_faults_are_the_errors_of_azures_client(gateway_server: GatewayServer, fault: Fault) -> None:
    with azure_client(gateway_server, key=fault.key) as client, pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**GREEDY | fault.fields)
    check_error(caught.value, fault)


def test_closing_a_stream_early_frees_the_engine_and_is_charged_to_the_token(
    gateway_server: GatewayServer, client: openai.OpenAI
) -> None:
    trace, most = new_trace(), 600
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Count from 1 to 300"}],
        temperature=0,
        max_tokens=most,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
        extra_headers=trace.headers,
    )
    _, second = next(stream), next(stream)
    stream.close()
    line = gateway_server.request_log(trace.trace_id)
    assert second.usage is not None
    assert (line["status"], line["error"], line["finish_reason"]) == (499, "ClientClosedRequest", None)
    assert line["prompt_tokens"] == second.usage.prompt_tokens
    # The line is written when the engine has let go of the request and said how far it was.
    assert second.usage.completion_tokens <= line["completion_tokens"] < most
