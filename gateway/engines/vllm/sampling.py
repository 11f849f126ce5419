"""From the gateway's sampling to vLLM's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

if TYPE_CHECKING:
    from gateway.engine import Sampling

_LARGEST_SEED = 2**63 - 1
_SAME_NAME = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")


def sampling_params(sampling: Sampling, model_defaults: dict[str, Any]) -> SamplingParams:
    """VLLM's parameters for a request.

    Args:
        sampling: what the caller asked for; None leaves a value to `model_defaults`.
        model_defaults: of the model's generation config, as `ModelConfig.get_diff_sampling_param` gives them.

    Raises:
        ValueError: vLLM refuses a value or the combination.
    """
    chosen = {name: value for name in _SAME_NAME if (value := getattr(sampling, name)) is not None}
    if sampling.seed is not None:
        chosen["seed"] = sampling.seed & _LARGEST_SEED  # vLLM takes -1 for no seed
    structured = StructuredOutputsParams(json=sampling.json_schema) if sampling.json_schema is not None else None
    return SamplingParams(
        **{
            **model_defaults,
            **chosen,
            "max_tokens": sampling.max_tokens,
            "stop": list(sampling.stop),
            "structured_outputs": structured,
            "output_kind": RequestOutputKind.DELTA,
        }
    )
