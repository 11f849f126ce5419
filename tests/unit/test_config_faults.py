"""What vLLM says of model and flags: one line for each fault, with the cause, and without what fields were given."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from gateway.engines.vllm.config_faults import config_faults


class Config(BaseModel):
    """Like those of vLLM: fields, and a look at all of them."""

    length: int = Field(1, ge=1)
    seats: int = Field(1, ge=1)
    token: str = ""

    @model_validator(mode="after")
    def _look(self) -> Config:
        if self.length > self.seats:
            raise ValueError("The length is too large.\n  Choose:\n- fewer\n")
        return self


def faults(**fields: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(fields)
    return config_faults("GATEWAY_MODEL", caught.value)


def test_a_cause_of_several_lines_is_one() -> None:
    assert faults(length=2, token="secret") == ["GATEWAY_MODEL: The length is too large. Choose: - fewer"]


def test_each_fault_has_a_line_and_names_its_field() -> None:
    assert faults(length=0, seats="secret") == [
        "GATEWAY_MODEL: length: Input should be greater than or equal to 1",
        "GATEWAY_MODEL: seats: Input should be a valid integer, unable to parse string as an integer",
    ]


def test_another_error_is_told_whole() -> None:
    assert config_faults("A or B", OSError("No connection.\nLook at your network.")) == [
        "A or B: No connection. Look at your network."
    ]
