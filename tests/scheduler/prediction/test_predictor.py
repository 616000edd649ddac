"""The predictor learns what there is to learn, and knows when it knows nothing."""

import io

import numpy as np
import pytest

from core.families import load_family
from core.profiles import QualityTable
from scheduler.prediction.features import SURFACE, WORDS, Features, surface, vocabulary
from scheduler.prediction.gaussian_process import Predictor
from scheduler.prediction.predictions import lower_bounds
from scheduler.prediction.training import better, fitted, train


def shapes(things: np.ndarray) -> np.ndarray:
    """Surface columns of prompts that differ in the number of things alone."""
    return np.column_stack([things / 2, np.zeros((len(things), SURFACE - 1))])


def made_up(rows: int, seed: int = 0, noise: float = 0.01) -> tuple[QualityTable, np.ndarray]:
    """Prompts whose quality at `small` falls with the number of things asked for."""
    rng = np.random.default_rng(seed)
    hard = rng.integers(0, 3, rows)
    features = np.column_stack([rng.normal(size=(rows, 8)) / 4, shapes(hard), np.eye(WORDS)[rng.integers(0, 9, rows)]])
    small = 0.98 - 0.15 * hard + rng.normal(scale=noise, size=rows)
    values = np.column_stack([np.ones(rows), small])
    return QualityTable(("exact", "small"), tuple(f"p{i}" for i in range(rows)), values), features


def test_it_learns_which_prompts_suffer():
    predictor = train(*made_up(300))
    assert predictor.figures is not None
    assert predictor.figures.skill > 0.8
    easy, hard = (np.concatenate([np.zeros(8), row, np.zeros(WORDS)])[None] for row in shapes(np.array([0, 2])))
    assert predictor.predict(easy).mean[0, 1] == pytest.approx(0.98, abs=0.04)
    assert predictor.predict(hard).mean[0, 1] == pytest.approx(0.68, abs=0.06)
    assert np.array_equal(predictor.expect(hard), predictor.predict(hard).mean)


def test_the_reference_level_is_one_for_everybody():
    table, features = made_up(100)
    assert train(table, features).predict(features).mean[:, 0] == pytest.approx(1.0)


def test_it_is_less_sure_far_from_what_was_measured():
    table, features = made_up(200)
    predictor = fitted(table, features, np.arange(200))
    near, far = predictor.predict(features[:1]).std[0, 1], predictor.predict(features[:1] + 5).std[0, 1]
    assert far > near


def test_without_anything_to_learn_it_stays_near_the_level_means():
    table, features = made_up(200, noise=0.05)
    shuffled = QualityTable(table.levels, table.prompts, np.random.default_rng(1).permutation(table.values))
    predictor = train(shuffled, features)
    assert np.abs(predictor.predict(features).mean[:, 1] - shuffled.means["small"]).mean() < 0.08


def test_a_predictor_survives_being_stored():
    table, features = made_up(120)
    before = train(table, features, version=7, of="toy 1")
    after = Predictor.load(before.dump())
    assert (after.version, after.of) == (7, "toy 1")
    assert after.predict(features).mean == pytest.approx(before.predict(features).mean, abs=1e-4)
    assert after.predict(features).std == pytest.approx(before.predict(features).std, abs=1e-4)


def test_only_a_better_predictor_is_swapped_in():
    table, features = made_up(300)
    unseen, unseen_features = made_up(80, seed=9)
    good = train(table, features)
    rng = np.random.default_rng(2)
    bad = fitted(QualityTable(table.levels, table.prompts, rng.permutation(table.values)), features, np.arange(300))
    assert better(good, bad, unseen_features, unseen.values)
    assert not better(bad, good, unseen_features, unseen.values)
    one = np.where(np.arange(unseen.values.shape[1]) == 1, unseen.values, np.nan)
    assert better(good, bad, unseen_features, one)  # judged where something was measured


def test_repeated_prompts_are_embedded_once():
    seen: list[str] = []

    def encode(prompts):
        seen.extend(prompts)
        return np.zeros((len(prompts), 4))

    features = Features(encode)
    features(["a fox", "a pear", "a fox"])
    rows = features(["a pear", "two foxes above a pear"])
    assert seen == ["a fox", "a pear", "two foxes above a pear"]
    assert rows.shape == (2, 4 + SURFACE + WORDS)


def test_the_newest_prompts_are_remembered_and_no_more():
    seen: list[str] = []

    def encode(prompts):
        seen.extend(prompts)
        return np.zeros((len(prompts), 4))

    features = Features(encode, remembered=2)
    assert len(features(["a fox", "a pear", "a bus"])) == 3
    features(["a bus", "a pear"])
    features(["a fox"])
    assert seen == ["a fox", "a pear", "a bus", "a fox"]


@pytest.mark.parametrize(
    ("prompt", "things", "kinds", "placed", "setting"),
    [
        ("a fox", 1, 1, 0, 0),
        ("four clouds, yellow background", 4, 1, 0, 1),
        ("two houses below an avocado on a red background", 3, 2, 1, 1),
        ("a bus, a banana and a butterfly in front of a brown wall", 3, 3, 0, 1),
        ("a cat next to a dog", 2, 2, 0, 0),
    ],
)
def test_what_a_prompt_asks_for_is_counted(prompt, things, kinds, placed, setting):
    row = surface(prompt)
    assert len(row) == SURFACE
    assert (row[0] * 2, row[1] * 2, row[3], row[5]) == (things, kinds, placed, setting)


def test_a_thing_is_the_same_word_in_one_and_in_many():
    assert vocabulary("two foxes") == pytest.approx(vocabulary("a fox"))
    assert vocabulary("three buses on red") == pytest.approx(vocabulary("a blue bus"))
    assert vocabulary("a fox") @ vocabulary("a pear") == 0


def test_what_another_version_wrote_is_not_read():
    sink = io.BytesIO()
    np.savez(sink, kernels=np.zeros(4))
    with pytest.raises(ValueError, match="another version"):
        Predictor.load(sink.getvalue())


def test_a_prompt_is_read_as_the_family_s_judge_reads_it():
    rows = Features.of(load_family("embedded"))(["a red apple", "an apple", "three trucks below a cloud"])
    vectors = rows[:, : -SURFACE - WORDS]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_real_prompts_of_one_meaning_lie_close():
    rows = Features()(["a red apple", "an apple that is red", "three trucks below a cloud"])[:, :384]
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2


def test_the_spread_alone_is_the_predictions():
    predictor = train(*made_up(120))
    features = made_up(20, seed=4)[1]
    assert np.array_equal(predictor.spread(features), predictor.predict(features).std)


def test_a_level_that_may_well_miss_a_floor_counts_as_below_it():
    quality, spread = np.array([[1.0, 0.96], [1.0, 0.96], [1.0, 0.96]]), np.array([[0.0, 0.04]] * 3)
    found = lower_bounds(quality, spread, np.array([0.95, 0.93, 0.0]), 0.5)
    assert found == pytest.approx(np.array([[1.0, 0.94], [1.0, 0.96], [1.0, 0.96]]))  # not sure enough, sure, no floor
    assert np.array_equal(lower_bounds(quality, spread, np.array([0.95, 0.93, 0.0]), 0.0), quality)


def test_a_level_without_a_spread_of_its_own_is_as_good_as_its_mean():
    quality = np.array([[1.0, 0.96]])
    assert np.array_equal(lower_bounds(quality, np.zeros((1, 2)), np.array([0.95]), 5.0), quality)
