"""Profiles and quality tables: what goes in comes out, what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.errors import BadProfile
from core.profiles import QualityTable, parse_profile, read_profile, read_quality
from tests.measured_files import write_profile, write_quality

LEVELS = [
    {"id": "exact", "strategy": "exact", "requests_per_minute": 14.29, "latency_s": 4.2, "quality": 1.0},
    {"id": "ac-25", "strategy": "ac", "requests_per_minute": 28.57, "latency_s": 2.1, "quality": 0.9152},
    {"id": "sm-tiny", "strategy": "sm", "requests_per_minute": 60, "latency_s": 1.0, "quality": 0.85},
]
PROFILE = {"family": "sdxl", "device": "a100", "model": "SDXL", "measured": "published", "levels": LEVELS}


def changed(level: int, **fields: object) -> dict:
    levels = [{**entry, **fields} if i == level else entry for i, entry in enumerate(LEVELS)]
    return {**PROFILE, "levels": levels}


def test_a_published_profile_shares_weights_between_exact_and_what_starts_later() -> None:
    profile = parse_profile(PROFILE)
    assert [level.holds for level in profile.levels] == ["sdxl", "sdxl", "sm-tiny"]
    assert profile.reference.id == "exact"
    assert profile.level("ac-25").curve.max_size == 1


def test_a_profile_written_is_the_profile_read(tmp_path: Path) -> None:
    batch = [{"size": 1, "step_s": 0.01}, {"size": 4, "step_s": 0.02}]
    profile = parse_profile(changed(0, model="base", batch=batch, load_s=1.5, steps=24))
    write_profile(profile, tmp_path / "p" / "cpu.json")
    assert read_profile(tmp_path / "p" / "cpu.json") == profile


def test_in_a_full_batch_a_request_takes_what_the_measured_throughput_says() -> None:
    batch = [{"size": 1, "step_s": 1.0}, {"size": 4, "step_s": 2.0}]
    level = parse_profile(changed(0, batch=batch, requests_per_minute=24, latency_s=4.2)).level("exact")
    assert level.rows == 4
    assert level.latency_full_s == pytest.approx(4 * 60 / 24)


def test_levels_by_name_are_kept_apart_from_those_to_plan_with() -> None:
    profile = parse_profile({**PROFILE, "levels": LEVELS[:2], "by_name": LEVELS[2:]})
    assert profile.ids == ("exact", "ac-25")
    assert [level.id for level in profile.all_levels] == ["exact", "ac-25", "sm-tiny"]
    assert profile.by_name[0].holds == "sm-tiny"
    with pytest.raises(BadProfile, match="stands twice"):
        parse_profile({**PROFILE, "by_name": LEVELS[2:]})


def test_a_level_is_planned_with_or_not_as_the_family_has_it_whatever_the_profile_says() -> None:
    profile = parse_profile(PROFILE).known_to(planned={"exact", "gone"}, named={"ac-25"})
    assert (profile.ids, [level.id for level in profile.by_name]) == (("exact",), ["ac-25"])
    assert profile.known_to({"exact", "ac-25"}, set()).ids == ("exact", "ac-25")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (changed(1, latency_s=float("nan")), "levels.1.latency_s"),
        (changed(1, requests_per_minute=-3), "levels.1.requests_per_minute"),
        (changed(2, quality=float("inf")), "levels.2.quality"),
        (changed(0, batch=[{"size": 2, "step_s": 1.0}]), "levels.0"),
        (changed(0, batch=[{"size": 1, "step_s": 0}]), "levels.0.batch.0.step_s"),
        ({**PROFILE, "levels": []}, "levels"),
        ({key: PROFILE[key] for key in ("family", "levels")}, "device"),
        ([], "levels"),
    ],
)
def test_a_broken_profile_names_its_field(data: object, field: str) -> None:
    with pytest.raises(BadProfile) as caught:
        parse_profile(data)
    assert caught.value.field == field


def test_a_level_that_stands_twice_or_is_unknown_is_named() -> None:
    with pytest.raises(BadProfile, match="'exact' stands twice"):
        parse_profile({**PROFILE, "levels": [LEVELS[0], LEVELS[0]]})
    with pytest.raises(BadProfile, match="exact, ac-25, sm-tiny"):
        parse_profile(PROFILE).level("fs-4")


def test_a_file_that_is_missing_or_not_json_is_a_bad_profile(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    for name in ("none.json", "broken.json"):
        with pytest.raises(BadProfile):
            read_profile(tmp_path / name)


def test_a_quality_table_written_is_the_table_read(tmp_path: Path) -> None:
    table = QualityTable(("exact", "ac-25"), ("a cat, red", 'the "sun"'), np.array([[1.0, 0.9], [1.0, 0.75]]))
    write_quality(table, tmp_path / "quality.csv")
    read = read_quality(tmp_path / "quality.csv")
    assert (read.levels, read.prompts) == (table.levels, table.prompts)
    assert read.values == pytest.approx(table.values)
    assert read.select(("ac-25",)).means == {"ac-25": pytest.approx(0.825)}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("prompt,exact\n", "no prompts"),
        ("text,exact\na,1\n", "line 1"),
        ("prompt,exact,exact\na,1,1\n", "line 1"),
        ("prompt,exact\na,1\nb,nan\n", "line 3: exact"),
        ("prompt,exact\na,-1\n", "line 2: exact"),
        ("prompt,exact\na\n", "line 2"),
    ],
)
def test_a_broken_quality_table_names_its_line(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "q.csv").write_text(text)
    with pytest.raises(BadProfile, match=place):
        read_quality(tmp_path / "q.csv")


def test_profiles_are_json_that_others_can_read(tmp_path: Path) -> None:
    write_profile(parse_profile(PROFILE), tmp_path / "p.json")
    data = json.loads((tmp_path / "p.json").read_text())
    assert {"family", "device", "model", "measured", "levels"} <= data.keys()
    assert {"id", "strategy", "requests_per_minute", "latency_s", "quality"} <= data["levels"][1].keys()
