"""The operations that generate text: Get Data, and OpenAI's."""

from __future__ import annotations

from app.contract import DEBUG_HEADERS, REPLAYED_HEADER
from app.limits import LIMIT_HEADERS
from app.openapi import answers, bodies
from app.openapi.examples import EXAMPLES
from app.openapi.failures import BODY, SERVER
from app.openapi.operation import Answer, Operation, Stream
from app.openapi.parameters import DEBUG_AUTHORIZATION, IDEMPOTENCY_KEY
from app.openapi.security import KEY, OPENAI_KEY
from app.schemas import GetDataSchema, SystemPromptGetDataSchema

_ERRORS = (401, 403, 404, 409, 429, 504, *BODY, *SERVER)
_HEADERS = (*LIMIT_HEADERS, REPLAYED_HEADER, *DEBUG_HEADERS)
_PARAMETERS = (IDEMPOTENCY_KEY, DEBUG_AUTHORIZATION)

_GET_DATA_STREAM = Stream(
    'With `"stream": true`: events `data: {"generated_text": "<next piece>"}`, then one with an empty '
    "`generated_text` and the rest of the answer, then `data: [DONE]`. The pieces joined are the text. What fails "
    "after the first byte is an event `event: error` whose data is the error body; no `[DONE]` follows.",
    (answers.GetDataPiece, answers.GetDataStreamEnd),
    answers.ErrorBody,
    EXAMPLES["get data stream"],
)


def _get_data(example: str) -> dict[int, Answer]:
    return {
        200: Answer(
            "The text, and what it took.",
            answers.GetDataAnswer,
            {"whole": EXAMPLES[example]},
            _HEADERS,
            _GET_DATA_STREAM,
        )
    }


GET_DATA = Operation(
    "Get Data",
    _get_data("get data"),
    _ERRORS,
    dialect="generating",
    security=KEY,
    body=GetDataSchema,
    examples={
        "prompt": EXAMPLES["get data request"],
        "with settings": EXAMPLES["get data settings request"],
        "streamed": EXAMPLES["get data stream request"],
    },
    parameters=_PARAMETERS,
    note="The same operation is reached at `/Get%20Data`, in any case and with or without a slash at the end. "
    "The prompt goes through the model's own chat template; what looks like a control token in it is text. "
    "A field that is not known is refused by name.",
)

SYSTEM_PROMPT_GET_DATA = Operation(
    "Get Data",
    _get_data("system prompt"),
    _ERRORS,
    dialect="generating",
    security=KEY,
    body=SystemPromptGetDataSchema,
    examples={"prompt": EXAMPLES["system prompt request"]},
    parameters=_PARAMETERS,
    note="The same operation is reached at `/System%20Prompt%20Get%20Data`, in any case and with or without a slash at "
    "the end.",
)

_OPENAI_STREAM = (
    'With `"stream": true`: events `data: <chunk>`, then `data: [DONE]`. What fails after the first byte is an event '
    "whose data is the error body, with OpenAI's `error`; no `[DONE]` follows, and the body is cut off."
)


def _openai(
    kind: str, body: type[bodies.OpenAIBody], answer: Answer, note: str = "", *, azure: bool = False
) -> Operation:
    version = {
        "name": "api-version",
        "in": "query",
        "description": "Azure's clients send it; any will do.",
        "schema": {"type": "string"},
        "example": "2024-02-01",
    }
    return Operation(
        "Azure OpenAI" if azure else "OpenAI",
        {200: answer},
        _ERRORS,
        dialect="generating openai",
        security=OPENAI_KEY,
        body=body,
        examples={"whole": EXAMPLES[f"{kind} request"], "streamed": EXAMPLES[f"{kind} stream request"]},
        parameters=(version, *_PARAMETERS) if azure else _PARAMETERS,
        note=note,
    )


_CHAT = Answer(
    "The completion, as vLLM's own server writes it.",
    answers.ChatCompletion,
    {"whole": EXAMPLES["chat"]},
    _HEADERS,
    Stream(_OPENAI_STREAM, (answers.ChatCompletionChunk,), answers.OpenAIErrorBody, EXAMPLES["chat stream"]),
)
_COMPLETION = Answer(
    "The completion, as vLLM's own server writes it.",
    answers.Completion,
    {"whole": EXAMPLES["completion"]},
    _HEADERS,
    Stream(_OPENAI_STREAM, (answers.Completion,), answers.OpenAIErrorBody, EXAMPLES["completion stream"]),
)
_AZURE = "The model is the deployment that the path names; a slash in its name may be sent as it is or as `%2F`."

CHAT = _openai("chat", bodies.ChatCompletionRequest, _CHAT)
COMPLETION = _openai("completion", bodies.CompletionRequest, _COMPLETION)
AZURE_CHAT = _openai("chat", bodies.ChatCompletionRequest, _CHAT, _AZURE, azure=True)
AZURE_COMPLETION = _openai("completion", bodies.CompletionRequest, _COMPLETION, _AZURE, azure=True)

MODELS = Operation(
    "OpenAI",
    {200: Answer("The models.", answers.ModelList, {"models": EXAMPLES["models"]}, DEBUG_HEADERS)},
    (401, *SERVER),
    dialect="openai",
    security=OPENAI_KEY,
    parameters=(DEBUG_AUTHORIZATION,),
)
MODEL = Operation(
    "OpenAI",
    {200: Answer("The model.", answers.Model, {"model": EXAMPLES["model"]}, DEBUG_HEADERS)},
    (401, 404, *SERVER),
    dialect="openai",
    security=OPENAI_KEY,
    parameters=(DEBUG_AUTHORIZATION,),
    note="A slash in its name may be sent as it is or as `%2F`.",
)
