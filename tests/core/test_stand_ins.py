"""At which level a request runs whose own is not offered."""

from __future__ import annotations

import pytest

from app.schemas.submission import JobIn
from app.submission import rows_of
from core.families import load_family
from core.stand_ins import stand_in


@pytest.mark.parametrize(
    ("asked", "without", "runs_at"),
    [
        ("ac-3", (), "ac-3"),
        ("cq-3", ("cq-3",), "exact"),
        ("ac-3+cq-3", ("cq-3", "ac-3+cq-3"), "ac-3"),
        ("ac-3+cq-3", ("ac-3", "cq-3", "ac-3+cq-3"), "exact"),
        ("none-such", (), "exact"),
    ],
)
def test_a_level_that_is_not_offered_gives_way_to_the_next_one(asked: str, without: tuple[str, ...], runs_at: str):
    family = load_family("embedded")
    levels = {name: level for name, level in family.levels.items() if name not in without}
    assert stand_in(family.model_copy(update={"levels": levels}), asked) == runs_at


def test_a_level_that_is_withheld_may_be_asked_for_by_name():
    family = load_family("embedded")
    levels = {name: level for name, level in family.levels.items() if name != "cq-3"}
    lacking = family.model_copy(update={"levels": levels, "withheld": {"cq-3": "its calibration is damaged"}})
    (row,) = rows_of(JobIn(prompt="a fox", level="cq-3"), lacking)
    assert row["level_asked"] == "cq-3"
