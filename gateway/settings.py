"""Every variable that the operator sets: its type, its default, its meaning. The only reader of the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
DEMO_MODEL = ROOT / "deploy" / "demo_model" / "get-data-demo"


class SettingsError(Exception):
    """One or more variables have a faulty value; `faults` has one line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Settings(BaseSettings):
    """The operator's choices. Read once, at the start of a process, by `load_settings`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    port: int = Field(8000, ge=0, le=65535, validation_alias="PORT", description="port to listen on; 0 lets the system choose")
