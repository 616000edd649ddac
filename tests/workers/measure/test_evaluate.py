"""`argus evaluate`: levels judged on the same prompts and seeds, by the engine that serves them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import BadProfile
from core.families import Family, load_family
from core.profiles import read_quality
from workers.measure.evaluate import (
    CEILING,
    FLOOR,
    Evaluation,
    Evaluator,
    add_to_table,
    relative_quality,
    side_by_side,
    write_table,
)
from workers.scoring import load_scorer

PROMPTS = ("a fox on a blue background", "two pizzas on a green background")
LEVELS = ("exact", "ac-3", "fs-turbo-1")


@pytest.fixture(scope="module")
def family() -> Family:
    whole = load_family("embedded")
    levels = {name: whole.level(name) for name in LEVELS}
    small = whole.defaults.model_copy(update={"width": 128, "height": 128})
    return whole.model_copy(update={"levels": levels, "defaults": small})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def answer(family: Family, kept: Path) -> Evaluation:
    others = ["fox on a blue background"]
    return Evaluator(family, load_scorer(family), "cpu", 2, kept, others).run(PROMPTS, lambda *_: None)


def test_every_level_draws_the_same_prompts_and_seeds(answer: Evaluation) -> None:
    assert {name: drawn.scores.shape for name, drawn in answer.levels.items()} == dict.fromkeys(LEVELS, (2, 2))
    assert answer.levels["exact"].pictures.shape == (2, 128, 128, 3)
    assert not np.array_equal(answer.levels["exact"].scores, answer.levels["fs-turbo-1"].scores)


def test_the_reference_has_quality_one_and_every_level_a_cost(answer: Evaluation) -> None:
    assert answer.relative("exact").tolist() == [1.0, 1.0]
    assert all(drawn.seconds > 0 for drawn in answer.levels.values())


def test_cached_levels_draw_from_other_prompts_and_take_nothing_in(answer: Evaluation) -> None:
    """The fox finds its neighbour and skips a quarter, with both seeds; no seed finds the other one's latents."""
    assert answer.levels["ac-3"].skipped == pytest.approx(0.125)


def test_an_evaluation_that_was_stopped_goes_on_from_what_it_drew(
    family: Family, kept: Path, answer: Evaluation
) -> None:
    files = {file: file.stat().st_mtime_ns for file in kept.iterdir()}
    again = Evaluator(family, load_scorer(family), "cpu", 2, kept, ["fox on a blue background"])
    drawn = again.level(family.level("exact"), PROMPTS)
    assert np.array_equal(drawn.scores, answer.levels["exact"].scores)
    assert {file: file.stat().st_mtime_ns for file in kept.iterdir()} == files


def test_the_table_is_read_as_it_was_written(answer: Evaluation, tmp_path: Path) -> None:
    write_table(answer, tmp_path / "quality.csv")
    table = read_quality(tmp_path / "quality.csv")
    assert (table.levels, table.prompts) == (LEVELS, PROMPTS)
    assert table.values[:, 2] == pytest.approx(answer.relative("fs-turbo-1"), abs=1e-4)
    with np.load(tmp_path / "quality-seeds.npz") as seeds:
        assert seeds["exact"].shape == (2, 2)


def test_a_level_is_put_into_the_table_that_is_there(answer: Evaluation, tmp_path: Path) -> None:
    file, few = tmp_path / "quality.csv", Evaluation(answer.family, PROMPTS, dict(list(answer.levels.items())[:2]))
    write_table(few, file)
    before = file.read_text().splitlines()
    add_to_table(Evaluation(answer.family, PROMPTS, {"fs-turbo-1": answer.levels["fs-turbo-1"]}), file)
    table = read_quality(file)
    assert table.levels == LEVELS
    assert [line.rpartition(",")[0] for line in file.read_text().splitlines()] == before
    assert table.values[:, 2] == pytest.approx(
        answer.relative("fs-turbo-1"), abs=2e-3
    )  # scores are kept in half precision
    with np.load(tmp_path / "quality-seeds.npz") as seeds:
        assert seeds["fs-turbo-1"].shape == (2, 2)


def test_a_level_is_put_into_no_table_of_other_prompts_or_seeds(answer: Evaluation, tmp_path: Path) -> None:
    write_table(answer, tmp_path / "quality.csv")
    drawn = answer.levels["fs-turbo-1"]
    with pytest.raises(BadProfile, match="other prompts"):
        add_to_table(Evaluation(answer.family, PROMPTS[::-1], {"again": drawn}), tmp_path / "quality.csv")
    one = replace(drawn, scores=drawn.scores[:, :1])
    with pytest.raises(BadProfile, match="2 seeds"):
        add_to_table(Evaluation(answer.family, PROMPTS, {"again": one}), tmp_path / "quality.csv")


def test_what_is_drawn_stops_in_time_and_goes_on_later(
    family: Family, kept: Path, answer: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.measure.evaluate.TOGETHER", 2)  # a seed of both prompts at once
    evaluator, level = Evaluator(family, load_scorer(family), "cpu", 2, kept), family.level("fs-turbo-1")
    files = len(list(kept.iterdir()))
    assert not evaluator.draw(level, PROMPTS, until=0.0)
    assert len(list(kept.iterdir())) == files
    assert evaluator.draw(level, PROMPTS, until=math.inf)
    assert len(list(kept.iterdir())) == files + 2
    assert np.allclose(evaluator.level(level, PROMPTS).scores, answer.levels["fs-turbo-1"].scores, atol=1e-3)
    assert evaluator.draw(level, PROMPTS, until=0.0), "nothing is left to draw"


def test_pictures_stand_side_by_side_dearest_level_first(answer: Evaluation) -> None:
    page = side_by_side(answer, [0, 1])
    assert page.size == (320 + 3 * 128, 24 + 2 * 128)


def test_a_reference_that_failed_neither_blows_up_nor_divides_by_zero() -> None:
    reference, scores = np.array([[0.0, 0.1], [2.0, 2.0]]), np.array([[2.0, 2.0], [1.0, 2.0]])
    assert relative_quality(scores, reference).tolist() == [min(2.0 / FLOOR, CEILING), 0.75]
