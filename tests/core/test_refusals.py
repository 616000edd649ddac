"""Every kind of refusal that pydantic knows is told in plain sentences: what must be, and what is."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from core.errors import BadFamily, BadProfile, BadSettings
from core.families import load_family
from core.profiles import parse_profile
from core.refusals import first_refusal
from core.settings import load_settings

KINDS = get_args(ErrorType)
CONTEXT: dict[str, Any] = {
    **{"gt": 1, "ge": 1, "lt": 1, "le": 1, "multiple_of": 2, "min_length": 1, "max_length": 2, "actual_length": 3},
    **{"field_type": "List", "expected": "'a' or False", "pattern": "^a$", "error": "must be odd", "class": "Odd"},
    **{"encoding": "utf-8", "encoding_error": "x", "expected_tags": "'a', 'b'", "tag": "c", "discriminator": "kind"},
    **{"expected_version": 4, "expected_schemes": "'https'", "tz_expected": 0, "tz_actual": 1, "max_digits": 3},
    **{"decimal_places": 2, "whole_digits": 2, "class_name": "Odd", "attribute": "b", "method_name": "m"},
    **{"expected_type": "list", "actual_type": "int"},
}
VALIDATOR = ("Input should", "Input ", "Field required", "Value error", "Assertion", "Unable to", "permitted", "Python")


def refused(kind: str) -> ValidationError:
    """An error of this kind, with as much context as it takes."""
    line = InitErrorDetails(type=kind, loc=("options", "steps"), input="twelve", ctx=CONTEXT)  # type: ignore[typeddict-item]
    return ValidationError.from_exception_data("Options", [line])


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_a_plain_sentence(kind: str) -> None:
    said = first_refusal(refused(kind))
    assert not any(word in said for word in VALIDATOR)
    assert said.endswith(".")
    assert "{" not in said
    if kind not in ("value_error", "assertion_error"):
        assert "`steps`" in said
    assert len(said.split()) > 2


def test_what_is_allowed_stands_beside_what_was_sent() -> None:
    assert first_refusal(refused("literal_error")) == "`steps` must be 'a' or false; it is 'twelve'."
    assert first_refusal(refused("greater_than_equal")) == "`steps` must be at least 1; it is 'twelve'."
    assert first_refusal(refused("missing")) == "`steps` is missing."


def test_words_of_our_own_are_left_as_they_are() -> None:
    own = PydanticCustomError("bad_input", "{value} is no seed", {"value": "'x'"})
    error = ValidationError.from_exception_data("Options", [InitErrorDetails(type=own, loc=("seed",), input="x")])
    assert first_refusal(error) == "'x' is no seed."


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ARGUS_PORT", "99999", "must be at most 65535"),
        ("ARGUS_PORT", "http", "must be a whole number"),
        ("ARGUS_LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("ARGUS_OPEN", "perhaps", "must be true or false"),
        ("ARGUS_TICK_S", "0", "must be more than 0"),
        ("ARGUS_TRUSTED_PROXIES", "10.0.0.7/8", "has host bits set"),
    ],
)
def test_a_setting_says_what_it_must_be(name: str, value: str, said: str) -> None:
    with pytest.raises(BadSettings, match=name) as refusal:
        load_settings({name: value})
    assert said in refusal.value.message
    assert not any(word in refusal.value.message for word in VALIDATOR)


def test_files_of_families_and_profiles_say_it_too(tmp_path: Any) -> None:
    (tmp_path / "odd.toml").write_text('id = "odd"\n')
    with pytest.raises(BadFamily, match="`title` is missing"):
        load_family(str(tmp_path / "odd.toml"))
    with pytest.raises(BadProfile, match="is missing"):
        parse_profile({"family": "x"})
