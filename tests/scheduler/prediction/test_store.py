"""The predictor in force: first from the table, swapped on drift, judged on audits."""

import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import select, update

from core import tables
from core.database import transaction
from core.families import Family
from core.own_work import SOURCE
from core.profiles import QualityTable
from core.tables import Attempt, Image, Job, Request, Score, State
from scheduler.prediction import quality_table
from scheduler.prediction import store as predictors
from scheduler.prediction.audit import Audited, audited, order_audits
from scheduler.prediction.features import Features
from scheduler.prediction.gaussian_process import Predictor
from scheduler.prediction.predictions import QualityPredictions
from scheduler.prediction.retrain import Learner
from tests.measured_files import write_quality

FAMILY = Family.model_validate(
    {
        "id": "toy",
        "title": "Toy",
        "version": "1",
        "reference": "exact",
        "defaults": {"steps": 10, "guidance": 2, "width": 64, "height": 64},
        "limits": {"steps": [1, 50], "guidance": [0, 9], "sizes": [[64, 64]]},
        "models": {"large": {"id": "large", "pipeline": "x", "path": "x"}},
        "levels": {
            "exact": {"id": "exact", "strategy": "exact", "model": "large"},
            "fs-5": {"id": "fs-5", "strategy": "fs", "model": "large", "steps": 5},
        },
        "scorer": {"kind": "embedded-clip", "path": "x"},
    }
)
USUAL = {"steps": 10, "width": 64, "height": 64, "loras": None, "negative_prompt": "", "emphasis": None}
FEATURES = Features(lambda prompts: np.array([[len(p) / 20, p.count("and")] for p in prompts]))
PROMPTS = tuple(f"{'a fox and ' * (i % 3)}pear {i}" for i in range(150))


@pytest.fixture
def table(tmp_path, monkeypatch) -> QualityTable:
    hard = np.array([prompt.count("and") for prompt in PROMPTS])
    values = np.column_stack([np.ones(len(PROMPTS)), 0.97 - 0.1 * hard])
    table = QualityTable(("exact", "fs-5"), PROMPTS, values)
    write_quality(table, tmp_path / "quality.csv")
    for module in (predictors, quality_table):
        monkeypatch.setattr(module, "measured_file", lambda family_id, name: tmp_path / name)
    return table


def add_done(session, prompt: str, level: str, score: float, predicted: float | None = None, **more: str) -> None:
    now = datetime.now(UTC)
    job = Job(family="toy", source="api", size=1)
    request = Request(
        family="toy", prompt=prompt, seed=1, width=64, height=64, steps=10, guidance=2.0, level=level,
        level_asked="exact" if level == "exact" else "auto", position=0, state=State.DONE, stored_at=now, scored_at=now,
        deadline_at=now + timedelta(minutes=1), predicted_quality=predicted, **more,
    )  # fmt: skip
    job.requests = [request]
    session.add(job)
    session.flush()
    attempt = Attempt(request_id=request.id, number=1, worker="w", boot=uuid.uuid4(), level=level, model="large")
    session.add(attempt)
    session.flush()
    image = Image(
        request_id=request.id, attempt_id=attempt.id, key="k", width=64, height=64, bytes=1, sha256="0" * 64,
        level=level, model="large", family_version="1",
    )  # fmt: skip
    image.scores = [Score(scorer="s", value=score)]
    session.add(image)


def test_the_first_predictor_comes_from_the_table_and_is_kept(database, table):
    with transaction() as session:
        made = predictors.first(session, FAMILY, FEATURES)
    with transaction() as session:
        kept = predictors.in_force(session, FAMILY)
    assert made is not None
    assert kept is not None
    assert kept.predict(FEATURES(["a fox and a fox and pear"])).mean[0, 1] == pytest.approx(0.77, abs=0.05)


def test_the_training_table_is_learnt_from_where_there_is_one(database, table, tmp_path):
    write_quality(QualityTable(table.levels, PROMPTS, table.values - [0, 0.2]), tmp_path / "quality-train.csv")
    with transaction() as session:
        made = predictors.first(session, FAMILY, FEATURES)
    assert made is not None
    assert made.means == pytest.approx(table.values.mean(axis=0) - [0, 0.2], abs=1e-3)


def test_a_shipped_predictor_is_put_in_force_without_reading_a_prompt(database, table, tmp_path):
    made = predictors.trained(FAMILY, FEATURES)
    (tmp_path / "predictor.npz").write_bytes(made.dump())
    with transaction() as session:
        known = predictors.first(session, FAMILY, Features(lambda prompts: pytest.fail("a prompt was read")))
        assert known.figures == made.figures
        assert predictors.in_force(session, FAMILY) is not None


def test_a_prompt_that_came_before_is_not_predicted_again(database, table, monkeypatch):
    seen: list[int] = []
    expected = Predictor.expect
    monkeypatch.setattr(Predictor, "expect", lambda self, x: seen.append(len(x)) or expected(self, x))
    qualities = QualityPredictions(FAMILY)
    qualities.features = FEATURES
    means = {"exact": 1.0, "fs-5": 0.9}
    with transaction() as session:
        predictors.put_in_force(session, FAMILY, predictors.trained(FAMILY, FEATURES), "first")
        qualities.refresh(session)
    seen.clear()
    first, _ = qualities.predict([SimpleNamespace(prompt=p, **USUAL) for p in ("a fox", "a pear", "a fox")], means)
    again, _ = qualities.predict([SimpleNamespace(prompt=p, **USUAL) for p in ("a pear", "an owl")], means)
    assert seen == [2, 1]
    assert again[0].tolist() == first[1].tolist()


def test_only_requests_with_a_floor_pay_for_how_unsure_the_prediction_is(database, table, monkeypatch):
    qualities = QualityPredictions(FAMILY)
    qualities.features = FEATURES
    with transaction() as session:
        predictors.put_in_force(session, FAMILY, predictors.trained(FAMILY, FEATURES), "first")
        qualities.refresh(session)
    means = {"exact": 1.0, "fs-5": 0.9, "other": 0.9}
    bare = [SimpleNamespace(**USUAL, prompt="pear 3", min_quality=None)]
    quality, _ = qualities.predict(bare, means)
    assert np.array_equal(qualities.held_to_floors(bare, quality, list(means)), quality)
    with transaction() as session:
        spread = predictors.in_force(session, FAMILY).spread(FEATURES(["pear 3"]))[0, 1]
    just, safe = (SimpleNamespace(**USUAL, prompt="pear 3", min_quality=quality[0, 1] - k * spread) for k in (0.1, 3))
    found = qualities.held_to_floors([just, safe], np.vstack([quality, quality]), list(means))
    assert found[0, 1] < just.min_quality
    assert found[1, 1] == quality[0, 1]
    assert found[0, 2] == quality[0, 2]  # the predictor does not know it: as it was


def test_what_audits_show_to_be_missing_is_added_to_what_is_predicted(database, table):
    qualities, learner = QualityPredictions(FAMILY), Learner(FAMILY)
    qualities.features = learner.features = FEATURES
    means = {"exact": 1.0, "fs-5": 0.9}
    row = [SimpleNamespace(**USUAL, prompt="a pear")]
    with transaction() as session:
        predictors.put_in_force(session, FAMILY, predictors.trained(FAMILY, FEATURES), "first")
        qualities.refresh(session)
        before, _ = qualities.predict(row, means)
        said = predictors.in_force(session, FAMILY).expect(FEATURES(PROMPTS))[:, 1].tolist()
        for prompt, quality in zip(PROMPTS, said, strict=True):
            add_done(session, prompt, "fs-5", 0.5 * (quality - 0.02))
            add_done(session, prompt, "exact", 0.5)
    learner.learn()
    again = QualityPredictions(FAMILY)
    again.features = FEATURES
    with transaction() as session:
        assert predictors.offsets_in_force(session, FAMILY)["fs-5"] == pytest.approx(-0.02, abs=0.002)
        again.refresh(session)
    after, _ = again.predict(row, means)
    assert after[0, 1] == pytest.approx(before[0, 1] - 0.02, abs=0.002)
    assert after[0, 0] == 1.0


def test_a_predictor_of_another_version_of_the_family_is_not_used(table, tmp_path):
    (tmp_path / "predictor.npz").write_bytes(predictors.trained(FAMILY, FEATURES).dump())
    assert predictors.shipped(FAMILY) is not None
    assert predictors.shipped(FAMILY.model_copy(update={"version": "2"})) is None


def test_without_a_table_there_is_no_predictor(database, monkeypatch, tmp_path):
    for module in (predictors, quality_table):
        monkeypatch.setattr(module, "measured_file", lambda family_id, name: tmp_path / name)
    with transaction() as session:
        assert predictors.first(session, FAMILY, FEATURES) is None


def test_an_audit_draws_an_approximated_request_again_at_the_reference(database):
    with transaction() as session:
        add_done(session, "a pear", "fs-5", 0.6, predicted=0.9)
        add_done(session, "a fox", "exact", 0.7)
    with transaction() as session:
        job = order_audits(session, FAMILY, most=5)
    with transaction() as session:
        twins = session.get_one(Job, job).requests
        assert [(twin.prompt, twin.level_asked, twin.seed) for twin in twins] == [("a pear", "exact", 1)]
        assert order_audits(session, FAMILY, most=5) is None  # it is on its way already


@pytest.mark.parametrize("other", [{"loras": "ink:1"}, {"emphasis": "2-5:1.2"}])
def test_what_was_drawn_with_loras_or_weighted_words_is_neither_audited_nor_compared(database, other):
    with transaction() as session:
        add_done(session, "a pear", "fs-5", 0.6, **other)
        add_done(session, "a fox", "fs-5", 0.6)
        add_done(session, "a fox", "exact", 0.8, **other)
    with transaction() as session:
        assert list(audited(session, FAMILY)) == []
        job = order_audits(session, FAMILY, most=5)
    with transaction() as session:
        assert [(twin.prompt, twin.loras, twin.emphasis) for twin in session.get_one(Job, job).requests] == [
            ("a fox", None, None)
        ]


def test_two_scores_of_one_prompt_and_seed_make_a_measured_relative_quality(database):
    with transaction() as session:
        add_done(session, "a pear", "fs-5", 0.6, predicted=0.9)
        add_done(session, "a pear", "exact", 0.8)
    with transaction() as session:
        (pair,) = audited(session, FAMILY)
    assert pair.level == "fs-5"
    assert pair.measured == pytest.approx(0.75)


def made_long_ago(session, prompt: str, ago: timedelta) -> None:
    session.execute(update(Request).where(Request.prompt == prompt).values(stored_at=datetime.now(UTC) - ago))


def test_audits_are_judged_in_the_order_in_which_they_were_made(database):
    with transaction() as session:
        for ago, prompt in enumerate(("a pear", "a fox", "an owl")):
            add_done(session, prompt, "fs-5", 0.6)
            add_done(session, prompt, "exact", 0.8)
            made_long_ago(session, prompt, timedelta(hours=ago))
    with transaction() as session:
        assert [pair.prompt for pair in audited(session, FAMILY)] == ["an owl", "a fox", "a pear"]


def test_where_few_are_audited_a_day_those_of_days_find_a_drift(database, table):
    made = learner()
    made.prepare()
    with transaction() as session:
        session.execute(update(tables.Predictor).values(created_at=datetime.now(UTC) - timedelta(days=30)))
        for n in range(60):
            add_done(session, f"new pear {n}", "fs-5", 0.45)
            add_done(session, f"new pear {n}", "exact", 0.75)
            made_long_ago(session, f"new pear {n}", timedelta(hours=4 * n))
    assert "in force" in made.learn()


def test_drift_retrains_and_swaps_in_what_is_better_on_held_out_audits(database, table):
    with transaction() as session:
        predictors.first(session, FAMILY, FEATURES)
        audits = [Audited(f"new pear {i}", "fs-5", measured=0.6) for i in range(90)]
        said = predictors.retrain(session, FAMILY, FEATURES, audits)
        assert "in force" in said
        now = predictors.in_force(session, FAMILY)
        assert now.predict(FEATURES(["new pear 7"])).mean[0, 1] < 0.8
        assert predictors.retrain(session, FAMILY, FEATURES, audits) == "no drift"  # by what is predicted now


def test_no_drift_changes_nothing(database, table):
    with transaction() as session:
        predictors.first(session, FAMILY, FEATURES)
        audits = [Audited(f"pear {i}", "fs-5", measured=0.965) for i in range(90)]
        assert predictors.retrain(session, FAMILY, FEATURES, audits) == "no drift"


def learner() -> Learner:
    made = Learner(FAMILY)
    made.features = FEATURES
    return made


def audits() -> list[Request]:
    with transaction() as session:
        return list(session.scalars(select(Request).join(Job).where(Job.source == SOURCE)))


def test_an_idle_cluster_draws_approximated_requests_again(database, table):
    with transaction() as session:
        add_done(session, "a pear", "fs-5", 0.6, predicted=0.9)
        session.execute(update(Job).values(created_at=datetime.now(UTC) - timedelta(minutes=5)))
    assert learner().learn() == "no drift"
    assert [(request.prompt, request.level_asked) for request in audits()] == [("a pear", "exact")]


def test_nothing_is_audited_while_requests_are_open_or_just_came(database, table):
    with transaction() as session:
        add_done(session, "a pear", "fs-5", 0.6, predicted=0.9)
    learner().learn()
    assert audits() == []
    with transaction() as session:
        session.execute(update(Job).values(created_at=datetime.now(UTC) - timedelta(minutes=5)))
        add_done(session, "a fox", "exact", 0.6)
        session.execute(update(Request).where(Request.prompt == "a fox").values(state=State.QUEUED))
        session.execute(update(Job).values(created_at=datetime.now(UTC) - timedelta(minutes=5)))
    learner().learn()
    assert audits() == []
