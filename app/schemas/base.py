"""What all shapes share: bodies that are sent to us, bodies that we answer, and numbers that stand in many of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_SEED = 2**32 - 1  # what every sampler and every JSON reader takes
MAX_WHOLE = 2**31 - 1  # what PostgreSQL's integer takes
Whole = Annotated[int, Field(ge=-MAX_WHOLE, le=MAX_WHOLE)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
ClassName = Literal["interactive", "batch"]


class In(BaseModel):
    """A body that is sent to us."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Out(BaseModel):
    """A body that we answer."""

    model_config = ConfigDict(from_attributes=True)
