"""One rule says what a number is."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import BadInput, OutOfRange
from core.numbers import MAX_SEED, number, seed, whole


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (7, 7),
        (7.0, 7),
        ("7", 7),
        (" 7 ", 7),
        ("7.0", 7),
        ("+7", 7),
        ("007", 7),
        ("1E+09", 10**9),
        ("1.5e3", 1500),
        ("-1", -1),
        (-1.0, -1),
        (-0.0, 0),
        ("6687881544318117707", 6687881544318117707),
        ("6687881544318117707.0", 6687881544318117707),
        ("9.223372036854775807E+18", MAX_SEED),
    ],
)
def test_whole_floats_and_text_are_whole_numbers_to_the_last_digit(written: Any, said: int) -> None:
    assert whole(written) == said
    assert type(whole(written)) is int


@pytest.mark.parametrize(
    "written",
    [True, False, None, "", " ", "true", "seven", "7.5", 7.5, "1_000", "1,5", "0x10", "٧", "7 8", "1e", "--1", [7], {}],
)
def test_all_else_is_refused_in_words(written: Any) -> None:
    with pytest.raises(BadInput) as refused:
        whole(written)
    assert refused.value.code == "bad_input"
    assert len(refused.value.message) > 10


@pytest.mark.parametrize("written", [float("nan"), float("-inf"), "NaN", "inf", "-Infinity", "1e9999", 10**400])
def test_what_is_not_finite_is_out_of_range(written: Any) -> None:
    with pytest.raises(OutOfRange):
        number(written)


def test_a_float_that_lost_its_digits_is_not_taken_for_a_whole_number() -> None:
    assert whole(float(2**53 - 1)) == 2**53 - 1
    with pytest.raises(BadInput, match="as text"):
        whole(6687881544318117707.0)


@pytest.mark.parametrize(
    ("written", "said"), [(0.5, 0.5), ("0.5", 0.5), (".5", 0.5), ("5.", 5.0), ("3", 3.0), (3, 3.0)]
)
def test_numbers_are_read_the_same_way(written: Any, said: float) -> None:
    assert number(written) == said
    assert type(number(written)) is float


def test_seeds_are_63_bits_and_minus_one() -> None:
    assert [seed(value) for value in (0, -1, "-1.0", MAX_SEED)] == [0, -1, -1, MAX_SEED]
    for outside in (-2, "-1e3", MAX_SEED + 1, "1e400"):
        with pytest.raises(OutOfRange):
            seed(outside)
