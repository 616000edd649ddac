"""A level that reuses deep features is offered with the calibration that was made for it, and with no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.checked_files import write_checked
from core.errors import BadCalibration, BadFamily, UnknownLevel
from core.families import FAMILIES, Family, load_family
from core.reuse_plans import ReusePlan, read_plan

SHIPPED = FAMILIES / "embedded" / "cachequant" / "large-3.json"


def family_with(tmp_path: Path, plan: Path) -> Family:
    """The embedded family, its level cq-3 by this file."""
    text = (FAMILIES / "embedded.toml").read_text()
    path = tmp_path / "embedded.toml"
    path.write_text(text.replace("families/embedded/cachequant/large-3.json", str(plan)))
    return load_family(str(path))


def changed(**of: Any) -> ReusePlan:
    """The shipped plan, of something else."""
    plan = read_plan(SHIPPED)
    return plan.model_copy(update={"of": plan.of.model_copy(update=of)})


def test_the_calibration_that_ships_is_of_the_family_that_ships():
    family = load_family("embedded")
    assert not family.withheld
    plan = read_plan(family.level("cq-3").calibration_location)
    assert len(plan.starts) * 3 == plan.of.steps == family.defaults.steps


def test_a_plan_is_read_as_it_was_written(tmp_path: Path):
    plan = changed(steps=12)
    write_checked(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ({"family_version": "3"}, "family version 3, not 4"),
        ({"scheduler": "DDIMScheduler"}, "scheduler DDIMScheduler, not FlowMatchEulerDiscreteScheduler"),
        ({"width": 128, "height": 128}, "width 128, not 256; height 128, not 256"),
        ({"weights": "0" * 64}, "weights 0000"),
        ({"model": "medium"}, "model medium, not large"),
        ({"family": "sdxl"}, "family sdxl, not embedded"),
    ],
)
def test_a_level_whose_calibration_is_of_something_else_is_not_offered_and_says_why(tmp_path: Path, of: Any, says: str):
    write_checked(tmp_path / "plan.json", changed(**of))
    family = family_with(tmp_path, tmp_path / "plan.json")
    assert "cq-3" not in family.levels
    assert says in family.withheld["cq-3"]
    with pytest.raises(UnknownLevel, match=f"does not offer level 'cq-3'.*{says}"):
        family.level("cq-3")


def test_a_calibration_of_another_number_of_steps_is_of_no_use(tmp_path: Path):
    plan = read_plan(SHIPPED)
    text = json.loads(SHIPPED.read_text())
    text["of"]["steps"] = 24
    (tmp_path / "plan.json").write_text(json.dumps(text))
    assert "expected SHA-256" in family_with(tmp_path, tmp_path / "plan.json").withheld["cq-3"]
    half = {"scale": plan.feature.scale[::2], "shift": plan.feature.shift[::2]}
    shorter = {"of": plan.of.model_copy(update={"steps": 6}), "times": plan.times[::2], "starts": (0, 2)}
    write_checked(tmp_path / "plan.json", plan.model_copy(update={**shorter, "feature": type(plan.feature)(**half)}))
    assert "steps 6, not 12" in family_with(tmp_path, tmp_path / "plan.json").withheld["cq-3"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text[:-200], "is damaged"),
        (lambda text: "", "is damaged"),
        (lambda text: text.replace('"interval":', '"interval" :').replace("0.9", "0.8", 1), "expected SHA-256"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "another version of the file"),
        (lambda text: "[]", "another version of the file"),
    ],
)
def test_a_truncated_or_changed_calibration_is_not_used(tmp_path: Path, spoil: Any, says: str):
    path = tmp_path / "plan.json"
    path.write_text(spoil(SHIPPED.read_text()))
    with pytest.raises(BadCalibration, match=says):
        read_plan(path)
    assert says in family_with(tmp_path, path).withheld["cq-3"]


def test_a_level_without_its_calibration_is_not_offered_and_its_family_is(tmp_path: Path):
    family = family_with(tmp_path, tmp_path / "none.json")
    assert "No such file" in family.withheld["cq-3"]
    assert "exact" in family.levels


def test_a_calibration_made_while_a_process_runs_is_seen_and_what_did_not_change_is_not_looked_at_again(tmp_path: Path):
    path = tmp_path / "plan.json"
    assert "cq-3" not in family_with(tmp_path, path).levels
    write_checked(path, changed())
    family = load_family(str(tmp_path / "embedded.toml"))
    assert "cq-3" in family.levels
    assert load_family(str(tmp_path / "embedded.toml")) is family
    path.unlink()
    assert "cq-3" not in load_family(str(tmp_path / "embedded.toml")).levels


def test_starts_and_tables_have_to_fit_the_steps(tmp_path: Path):
    plan = read_plan(SHIPPED)
    for wrong in ({"starts": (1, 3)}, {"starts": (0, 12)}, {"starts": (0, 3, 3)}, {"times": plan.times[1:]}):
        write_checked(tmp_path / "plan.json", plan.model_copy(update=wrong))
        with pytest.raises(BadCalibration, match=r"starts must|times and corrections must"):
            read_plan(tmp_path / "plan.json")


def test_only_levels_of_this_strategy_name_a_calibration(tmp_path: Path):
    text = (FAMILIES / "embedded.toml").read_text()
    for entry in ('strategy = "exact"\ncalibration = "x.json"', 'strategy = "cq"'):
        path = tmp_path / "embedded.toml"
        path.write_text(f'{text}\n[levels.new]\nmodel = "large"\n{entry}\n')
        with pytest.raises(BadFamily, match="strategy cq names its calibration"):
            load_family(str(path))
