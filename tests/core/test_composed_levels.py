"""Levels that are made of others: they have what their parts have, or are refused with the reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadFamily
from core.families import FAMILIES, Family, load_family
from core.levels import Level
from core.profiles import LevelProfile


def family_with(folder: Path, *levels: str) -> Family:
    """The embedded family with further levels."""
    path = folder / "embedded.toml"
    path.write_text((FAMILIES / "embedded.toml").read_text() + "".join(levels))
    return load_family(str(path))


def test_a_level_called_after_others_has_the_parameters_of_all_of_them():
    family = load_family("embedded")
    ac, cq, both = (family.level(name) for name in ("ac-3", "cq-3", "ac-3+cq-3"))
    assert (both.strategy, both.strategies) == ("ac+cq", ("ac", "cq"))
    assert (both.model, both.skip, both.calibration) == ("large", ac.skip, cq.calibration)
    assert both.looks_up
    assert both.reuses_features
    assert both.varies
    assert both.by_name, "one of its parts is"
    assert family.queue("ac-3+cq-3") == "t2i.embedded.ac-3+cq-3"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ('[levels."ac-3+luck"]', "level 'ac-3+luck': its part 'luck' is none of the other levels"),
        ('[levels."ac-3+fs-turbo-1"]', "level 'ac-3+fs-turbo-1': its parts disagree in model: 'large' and 'turbo'"),
        ('[levels."exact+cq-3"]', "exact+cq joins what cannot be joined"),
        ('[levels."ac-3+ac-3"]', "ac+ac joins what cannot be joined"),
        ('[levels."cq-3+sub-x"]\n[levels.sub-x]\nstrategy = "sub"\nmodel = "large"\nhalf_steps = 4', "of one size"),
        ('[levels."cq-3+fs-x"]\n[levels.fs-x]\nstrategy = "fs"\nmodel = "large"\nsteps = 4', "of all steps"),
        (
            '[levels."ac-3+sub-x"]\n[levels.sub-x]\nstrategy = "sub"\nmodel = "large"\nhalf_steps = 4',
            "has to be by_name",
        ),
        ('[levels.sub-x]\nstrategy = "sub"\nmodel = "large"', "strategy sub says its half_steps"),
        ('[levels.ac-x]\nstrategy = "ac"\nmodel = "large"\nhalf_steps = 2', "strategy sub says its half_steps"),
    ],
)
def test_what_cannot_be_one_level_is_refused_and_the_message_says_why(tmp_path: Path, entry: str, says: str):
    with pytest.raises(BadFamily, match=re.escape(says)):
        family_with(tmp_path, f"\n{entry}\n")


def test_a_level_whose_part_lost_its_calibration_is_not_offered(tmp_path: Path):
    path = tmp_path / "embedded.toml"
    text = (FAMILIES / "embedded.toml").read_text().replace("families/embedded/cachequant/large-3.json", "none.json")
    path.write_text(text)
    family = load_family(str(path))
    assert "No such file" in family.withheld["ac-3+cq-3"]
    assert "ac-3" in family.levels


def test_steps_at_half_the_size_keep_their_share_of_a_shorter_schedule():
    level = Level(id="sub", strategy="sub", model="m", half_steps=4)
    assert [level.small_steps(total, 12) for total in (12, 24, 6, 1)] == [4, 8, 2, 0]


@pytest.mark.parametrize(("strategy", "uneven"), [("sub+fs", True), ("cq", True), ("fs", False), ("fc+fs", False)])
def test_a_profile_says_of_which_levels_steps_are_of_two_kinds(strategy: str, uneven: Any):
    found = LevelProfile(id="x", strategy=strategy, requests_per_minute=1, latency_s=1)
    assert found.varies is uneven
