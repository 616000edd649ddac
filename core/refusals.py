"""What pydantic refuses, in plain sentences: what a field must be, and what it is. The only place that knows its words.

`docs/settings.md`, the API and files of families and profiles are all read by pydantic; users read these sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from core.numbers import shown

AN_OBJECT, A_LIST, A_NUMBER, WHOLE, TEXT = "an object", "a list", "a number", "a whole number", "text"
YES_OR_NO, DAY, TIME, MOMENT = (
    "true or false",
    "a day as 2026-11-27",
    "a time as 13:45:00",
    "a time as 2026-11-27T13:45Z",
)
LASTING, ADDRESS, ID = "a duration as PT1H30M", "an address as https://example.org/", "an id of 32 hexadecimal digits"

#: What a value of another type had to be, by the kind of error: `string_type` is found as `string`.
TYPES = {
    **dict.fromkeys(("model", "model_attributes", "dataclass", "dataclass_exact", "dict", "mapping"), AN_OBJECT),
    **dict.fromkeys(("frozen_dict", "ordered_dict", "counter", "arguments", "named_tuple"), AN_OBJECT),
    **dict.fromkeys(("iterable", "list", "deque", "tuple", "set", "frozen_set"), A_LIST),
    **dict.fromkeys(("string", "bytes"), TEXT),
    **{"bool": YES_OR_NO, "int": WHOLE, "float": A_NUMBER, "decimal": A_NUMBER, "complex": A_NUMBER},
    **{"fraction": A_NUMBER, "date": DAY, "time": TIME, "datetime": MOMENT, "time_delta": LASTING, "url": ADDRESS},
    **{"uuid": ID, "json": "JSON in text"},
}
ENDINGS = re.compile(r"_(type|parsing|parsing_size|str_parsing|from_datetime_parsing|version|syntax_violation)$")

#: What a value had to be otherwise, with pydantic's context filled in.
RULES = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "bytes_too_short": "at least {min_length} bytes",
    "bytes_too_long": "at most {max_length} bytes",
    "url_too_long": "an address of at most {max_length} characters",
    "url_scheme": "an address that begins with {expected_schemes}",
    "string_pattern_mismatch": "text of the form {pattern}",
    "string_not_ascii": "text of ASCII characters",
    "string_unicode": "valid Unicode, without halves of surrogate pairs",
    "bytes_invalid_encoding": "text in its encoding",
    "enum": "{expected}",
    "literal_error": "{expected}",
    "union_tag_invalid": "of a kind that is known here: {expected_tags}",
    "union_tag_not_found": "an object that says of which kind it is",
    "none_required": "null",
    "int_from_float": WHOLE,
    "json_invalid": "JSON",
    "invalid_key": "an object whose names are text",
    "set_item_not_hashable": "a list of plain values",
    "date_from_datetime_inexact": DAY,
    "date_past": "a day in the past",
    "date_future": "a day in the future",
    "datetime_object_invalid": MOMENT,
    "datetime_from_date_parsing": MOMENT,
    "datetime_past": "a time in the past",
    "datetime_future": "a time in the future",
    "timezone_naive": "a time without a time zone",
    "timezone_aware": "a time with a time zone",
    "timezone_offset": "a time with the zone {tz_expected} s",
    "decimal_max_digits": "a number of at most {max_digits} digits",
    "decimal_max_places": "a number of at most {decimal_places} decimals",
    "decimal_whole_digits": "a number of at most {whole_digits} digits before the point",
    "is_instance_of": "of another type ({class})",
    "is_subclass_of": "of another type ({class})",
    "callable_type": "something that can be called",
    "needs_python_object": "an object of the program",
    "recursion_loop": "without itself inside",
    "recursion_depth_exceeded": "less deeply nested",
    "iteration_error": "a list that can be read to its end",
    "missing_sentinel_error": "left out",
    "ellipsis_error": "left out",
}

#: Whole sentences, where the value is not what is wrong.
SENTENCES = {
    **dict.fromkeys(
        ("missing", "missing_argument", "missing_keyword_only_argument", "missing_positional_only_argument"),
        "`{name}` is missing.",
    ),
    **dict.fromkeys(
        ("extra_forbidden", "unexpected_keyword_argument", "unexpected_positional_argument", "no_such_attribute"),
        "There is no field `{name}` here: check its spelling.",
    ),
    "multiple_argument_values": "`{name}` stands twice.",
    "frozen_field": "`{name}` cannot be changed.",
    "frozen_instance": "`{name}` cannot be changed.",
    "get_attribute_error": "`{name}` cannot be read.",
    "default_factory_not_called": "`{name}` has no default while another field is wrong.",
}
SAID = ("value_error", "assertion_error")  # in our own words already
PYTHON = {"True": "true", "False": "false", "None": "null"}


def refusal(error: ErrorDetails) -> str:
    """What is wrong with one value, and what it must be."""
    kind, name, context = error["type"], str((error["loc"] or ("value",))[-1]), error.get("ctx", {})
    if kind in SAID and "error" in context:
        return _ended(str(context["error"]))
    if kind in SENTENCES:
        return SENTENCES[kind].format(name=name)
    wanted = _wanted(kind, context)
    if wanted is None:  # an error of ours (`PydanticCustomError`), whose words are plain
        return _ended(error["msg"])
    return f"`{name}` must be {wanted}; it is {_value(error['input'])}."


def first_refusal(error: ValidationError) -> str:
    """The same of the first value at fault."""
    return refusal(error.errors(include_url=False)[0])


def first_place(error: ValidationError, whole: str) -> str:
    """Where that value is, `levels.2.latency_s`; `whole` where the fault is in no single one."""
    return ".".join(map(str, error.errors(include_url=False)[0]["loc"])) or whole


def _wanted(kind: str, context: Mapping[str, Any]) -> str | None:
    """What a value must be; none for a kind that is not pydantic's."""
    if kind == "too_long" and context.get("max_length") == 0:
        return "empty"
    if kind in RULES:
        return re.sub(r"\b(True|False|None)\b", lambda word: PYTHON[word[0]], RULES[kind].format(**context))
    return TYPES.get(ENDINGS.sub("", kind))


def _value(value: Any) -> str:
    text = shown(value)
    return text[0].lower() + text[1:] if text in ("An object", "A list") else text


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
