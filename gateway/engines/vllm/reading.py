"""How EngineCore reads requests: one that does not pass vLLM's checks is refused, and harms no other.

`install` runs in the engine host before it forks EngineCore, like `core.install` (proven by
`tests/engine/test_vllm_internals.py`). In vLLM 0.32 one thread reads all requests, and `SamplingParams` are checked
once more as they are read. A failure there ends the thread in closing a ZeroMQ context whose sockets are still open,
which waits for ever: from then on nobody is heard, and the engine counts as healthy.
"""

from __future__ import annotations

import logging
from typing import Any

import vllm.v1.engine.core
from msgspec import msgpack
from vllm.v1.engine import EngineCoreRequest
from vllm.v1.serial_utils import MsgpackDecoder

log = logging.getLogger(__name__)

_FIELDS = EngineCoreRequest.__struct_fields__  # in the order in which they are sent


def install() -> None:
    """Bend what EngineCore reads with, in this process and in those that are forked from it."""
    vllm.v1.engine.core.MsgpackDecoder = RequestDecoder


class RequestDecoder(MsgpackDecoder):  # type: ignore[misc]
    """VLLM's decoder. A request that it cannot read comes out as one that vLLM refuses, to whoever sent it."""

    def __init__(self, kind: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(kind, *args, **kwargs)
        self._raw = msgpack.Decoder() if kind is EngineCoreRequest else None

    def decode(self, bufs: Any) -> Any:
        """What vLLM's own makes of it."""
        try:
            return super().decode(bufs)
        except Exception as error:
            if self._raw is None:
                raise
            # Without its text, which may quote what the caller wrote.
            log.error("the engine cannot read a request: %s", type(error).__name__)  # noqa: TRY400
            return _without_content(self._raw.decode(bufs[0]))


def _without_content(sent: list[Any]) -> EngineCoreRequest:
    """A request that has neither parameters of sampling nor of pooling: vLLM's next check refuses it by its id."""
    found = dict(zip(_FIELDS, sent, strict=False))  # what has its default at the end is not sent
    return EngineCoreRequest(
        request_id=found["request_id"],
        prompt_token_ids=[0],
        mm_features=None,
        sampling_params=None,
        pooling_params=None,
        arrival_time=found["arrival_time"],
        lora_request=None,
        cache_salt=None,
        data_parallel_rank=None,
        client_index=found.get("client_index", 0),
    )
