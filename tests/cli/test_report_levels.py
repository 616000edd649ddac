"""`argus report levels`: what was measured of every level, which are beaten, and by which."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from app.records.levels import levels_on, quality_table
from app.records.pareto import points
from cli.main import argus
from core.families import load_family
from core.settings import settings
from scheduler.observation.queries import profiles
from tests.conftest import environment


def told(*arguments: str) -> tuple[str, dict]:
    """What people and what programs are told."""
    shown = CliRunner().invoke(argus, ["report", "levels", *arguments])
    written = CliRunner().invoke(argus, ["report", "levels", *arguments, "--json", "-"])
    assert (shown.exit_code, written.exit_code) == (0, 0), shown.output + written.output
    return shown.output, json.loads(written.output)


@contextmanager
def at_home(folder: Path) -> Iterator[None]:
    """What is measured here is read from this folder."""
    with environment({"ARGUS_HOME": str(folder)}):
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.fixture
def remeasured(tmp_path: Path) -> Iterator[Path]:
    """A home with a profile of its own, in which one level is beaten, and one by name is quicker than all others."""
    costs = {"exact": (2.0, 1.0), "sm-medium-1": (0.5, 0.9), "fs-turbo-1": (0.4, 0.95)}
    levels = [
        {"id": name, "requests_per_minute": 60 / seconds, "latency_s": seconds, "quality": quality}
        for name, (seconds, quality) in costs.items()
    ]
    by_name = {"id": "cq-3", "requests_per_minute": 300, "latency_s": 0.2, "quality": 0.94}
    file = tmp_path / "profiles" / "embedded" / "cpu.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"family": "embedded", "device": "cpu", "levels": levels, "by_name": [by_name]}))
    file.with_name("quality.csv").write_text("prompt,exact,fs-turbo-1\na,1,0.9\nb,1,1.0\n")
    with at_home(tmp_path):
        yield file


def test_every_measured_level_stands_with_what_beats_it(remeasured: Path) -> None:
    people, programs = told()
    by = {level["level"]: level for level in programs["levels"]}
    assert list(by) == ["cq-3", "fs-turbo-1", "sm-medium-1", "exact"]
    assert {name: level["beaten_by"] for name, level in by.items()} == {
        **{"cq-3": None, "fs-turbo-1": None, "sm-medium-1": "fs-turbo-1", "exact": None}
    }
    assert [name for name, level in by.items() if level["by_name"]] == ["cq-3"]
    assert (by["fs-turbo-1"]["prompts"], round(by["fs-turbo-1"]["low"], 3)) == (2, 0.852)
    assert "beaten by fs-turbo-1" in people
    assert "by name alone" in people
    assert "sub-5 was not measured here: argus profile --level sub-5 measures it." in people
    assert "sub-5" in programs["not_measured"]


def test_it_says_what_the_page_of_models_says(remeasured: Path) -> None:
    family = load_family("embedded")
    page = points(levels_on(family, ["cpu"]), "cpu", quality_table(family))
    assert told()[1]["levels"] == [point.as_dict() for point in page]


def test_the_picture_is_written(remeasured: Path, tmp_path: Path) -> None:
    told("--plot", str(tmp_path / "new" / "levels.png"))
    assert Image.open(tmp_path / "new" / "levels.png").size[0] > 500


def test_a_device_that_was_not_measured_is_refused_naming_those_that_were(remeasured: Path) -> None:
    found = CliRunner().invoke(argus, ["report", "levels", "--device", "h100"])
    assert found.exit_code == 2
    assert "measured are: cpu" in found.output


def test_nothing_plans_with_a_level_that_is_drawn_by_name_alone(remeasured: Path) -> None:
    """Neither where its profile has it apart, nor where one made before has it among the others."""
    assert profiles(load_family("embedded"), ["cpu"])["cpu"].ids == ("exact", "sm-medium-1", "fs-turbo-1")
    before = json.loads(remeasured.read_text())
    remeasured.write_text(json.dumps({**before, "levels": before["levels"] + before.pop("by_name"), "by_name": []}))
    found = profiles(load_family("embedded"), ["cpu"])["cpu"]
    assert found.ids == ("exact", "sm-medium-1", "fs-turbo-1")
    assert [level.id for level in found.by_name] == ["cq-3"]


def test_none_of_the_embedded_levels_that_auto_takes_is_beaten_by_another_that_it_takes(tmp_path: Path) -> None:
    """As Argus ships: a level that is beaten has to be by_name."""
    with at_home(tmp_path):
        by = {level["level"]: level for level in told()[1]["levels"]}
    taken = {name: level for name, level in by.items() if not level["by_name"]}
    assert {name: level["beaten_by"] for name, level in taken.items() if level["beaten_by"] in taken} == {}
