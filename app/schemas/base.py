"""What all shapes share: bodies that are sent to us, bodies that we answer, and numbers that stand in many of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from core import numbers
from core.errors import ArgusError
from core.numbers import json_whole
from core.times import in_utc

MAX_WHOLE = 2**31 - 1  # what PostgreSQL's integer takes
YES_OR_NO = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _taken(read: Callable[[Any], float]) -> BeforeValidator:
    """A value read by the rule for numbers; what it refuses, pydantic refuses with the rule's own words and code."""

    def validate(value: Any) -> float:
        try:
            return read(value)
        except ArgusError as error:
            raise PydanticCustomError(error.code, "{said}", {"said": error.message.removesuffix(".")}) from None

    return BeforeValidator(validate)


def _in_utc(value: datetime) -> datetime:
    try:
        return in_utc(value)
    except ValueError as error:
        raise PydanticCustomError("bad_input", "{why}", {"why": str(error)}) from None


def _flag() -> BeforeValidator:
    """True or false, also as forms and cells of files write it."""

    def validate(value: Any) -> Any:
        said = YES_OR_NO.get(value.strip().lower()) if isinstance(value, str) else value
        if not isinstance(said, bool):
            raise PydanticCustomError("bad_input", "{value} is neither true nor false", {"value": numbers.shown(value)})
        return said

    return BeforeValidator(validate)


def listed(value: Any) -> Any:
    """Words with commas between them, as queries and forms send them, as a list; a list as it is."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


AnyWhole = Annotated[int, _taken(numbers.whole)]
Whole = Annotated[AnyWhole, Field(ge=-MAX_WHOLE, le=MAX_WHOLE)]
Number = Annotated[float, _taken(numbers.number)]
Share = Annotated[Number, Field(ge=0.0, le=1.0)]
# 2^63−1 itself is left out of the document: a reader in JavaScript would take it for one more
Seed = Annotated[int, _taken(numbers.seed), WithJsonSchema({"type": "integer", "format": "int64", "minimum": -1})]
Flag = Annotated[bool, _flag()]
Time = Annotated[datetime, AfterValidator(_in_utc)]
ClassName = Literal["interactive", "batch"]


def json_wholes(value: Any) -> Any:
    """Objects and lists with their whole numbers as answers write them."""
    if isinstance(value, dict):
        return {name: json_wholes(one) for name, one in value.items()}
    if isinstance(value, list):
        return [json_wholes(one) for one in value]
    return json_whole(value) if isinstance(value, int) and not isinstance(value, bool) else value


WideInt = Annotated[int, PlainSerializer(json_whole, return_type=int | str)]


class In(BaseModel):
    """A body that is sent to us."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Out(BaseModel):
    """A body that we answer."""

    model_config = ConfigDict(from_attributes=True)
