"""What the web UI can do to an image and Argus cannot: such fields are taken while they are off, and refused by name.

What is off: nothing, false, zero, an empty text or list, `None`, or what a field's own values say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from core.errors import ArgusError, BadInput
from core.numbers import number

NOTHING = (0.0, "", "none", "false", "[]", "{}")
UNSET = (*NOTHING, -1.0)  # of what is -1 by default
SWITCHES = ("enabled", "enable")  # of a script's argument


def is_off(value: Any, off: tuple[Any, ...] = NOTHING) -> bool:
    """Whether a value asks for nothing: it is None, or one of these (numbers as floats, texts in small letters)."""
    if value is None:
        return True
    if isinstance(value, (list, dict)):
        return not value or (isinstance(value, list) and all(is_off(one) for one in value))
    if isinstance(value, str) and value.strip().lower() in off:
        return True
    try:
        return number(float(value) if isinstance(value, bool) else value) in off
    except ArgusError:
        return False


def _checked(off: tuple[Any, ...]) -> BeforeValidator:
    def check(value: Any, info: ValidationInfo) -> Any:
        if is_off(value, off):
            return value
        raise PydanticCustomError(
            BadInput.code, "It would change the image, and Argus does not do it: leave `{name}` out, or off",
            {"name": str(info.field_name)},
        )  # fmt: skip

    return BeforeValidator(check)


Off = Annotated[Any, _checked(NOTHING), Field(default=None, description="Refused unless it is off.")]
OffAtMinusOne = Annotated[Any, _checked(UNSET), Field(default=None, description="Refused unless it is 0 or -1.")]


def acting_scripts(scripts: Mapping[str, Any] | None) -> list[str]:
    """Names of those scripts of `alwayson_scripts` that are not disabled."""
    return [name for name, given in (scripts or {}).items() if _acts(given)]


def _acts(given: Any) -> bool:
    """Whether a script would do something: it has arguments, and no switch among them is off."""
    args = given.get("args") if isinstance(given, dict) else given
    args = list(args.values()) if isinstance(args, dict) and not _switch(args) else args
    if isinstance(args, dict):
        args = [args]
    if not isinstance(args, list) or is_off(args):
        return not is_off(args)
    units = [one for one in args if isinstance(one, dict) and _switch(one)]
    if units:
        return any(not is_off(unit[_switch(unit)]) for unit in units)
    flags = [one for one in args if isinstance(one, bool)]
    return not flags or flags[0]


def _switch(unit: dict[str, Any]) -> str:
    """The name of the switch of a script's argument, if it has one."""
    return next((name for name in SWITCHES if name in unit), "")
