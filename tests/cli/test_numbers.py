"""Numbers on the command line."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from cli.generate import generate
from cli.numbers import Number, Seed, Whole
from core.numbers import MAX_SEED


@pytest.mark.parametrize("written", ["7", "7.0", " 7 ", "0.7e1"])
def test_the_command_line_reads_numbers_as_everything_else_does(written: str) -> None:
    assert [kind.convert(written, None, None) for kind in (Whole(), Number(), Seed())] == [7, 7.0, 7]


def test_seeds_are_63_bits_and_minus_one() -> None:
    assert [Seed().convert(written, None, None) for written in (str(MAX_SEED), "-1")] == [MAX_SEED, -1]


@pytest.mark.parametrize(
    ("kind", "written"),
    [(Seed(), "true"), (Seed(), "-2"), (Seed(), str(2**63)), (Whole(), "7.5"), (Number(), "nan"), (Number(), "1_0")],
)
def test_what_is_no_number_is_wrong_use(kind: Number, written: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(written, None, None)


def test_bounds_are_named() -> None:
    with pytest.raises(click.BadParameter, match="0 to 1"):
        Number(0, 1).convert("1.5", None, None)
    with pytest.raises(click.BadParameter, match="at least 1"):
        Whole(1).convert("0", None, None)


@pytest.mark.parametrize("option", ["--seed", "--steps", "--guidance", "--n", "--min-quality", "--deadline"])
def test_generate_names_the_option_whose_value_is_no_number(option: str) -> None:
    answer = CliRunner().invoke(generate, ["a fox", option, "true"])
    assert answer.exit_code == 2
    assert option in answer.output
    assert "'true' is no number" in answer.output
