"""The strict pydantic base class of all models of a policy, and a few constrained types."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


class StrictModel(BaseModel):
    """A pydantic model that is frozen and refuses coercion, unknown keys and NaN."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def as_tuple(value: object) -> object:
    """A list from YAML as a tuple, for strict and immutable models; other values unchanged."""
    return tuple(value) if isinstance(value, list) else value
