"""The recipe at toy size: it learns, it resumes, it writes what loads."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from families.embedded.model import load_member
from families.embedded.nets import build_denoiser
from families.embedded.train import Run, Stage, matching_loss, prepare, stages

pytestmark = pytest.mark.usefixtures("shapes")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, shapes: Path) -> Run:
    folder = tmp_path_factory.mktemp("toy")
    return prepare("toy", folder / "weights", folder / "runs")


def _stage(run: Run, name: str) -> Stage:
    torch.manual_seed(0)
    plan = run.budget.denoisers["large"]
    return Stage(
        run, name, build_denoiser(plan, run.budget), plan, matching_loss(run, plan.batch), lambda average: None
    )


def test_a_few_steps_lower_the_loss(run: Run) -> None:
    stage = _stage(run, "learning")
    stage.effort = stage.effort.model_copy(update={"steps": 1000})
    losses = [stage.learn() for _ in range(60)]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_a_run_stopped_and_resumed_equals_one_that_was_not(run: Run) -> None:
    whole = _stage(run, "resuming")
    for _ in range(4):
        whole.learn()
    whole.checkpoint.unlink(missing_ok=True)
    first = _stage(run, "resuming")
    for _ in range(2):
        first.learn()
    first.save()
    run.resume = True
    second = _stage(run, "resuming")
    run.resume = False
    assert second.step == 2
    for _ in range(2):
        second.learn()
    for here, there in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(here, there)


def test_one_command_trains_every_stage_to_weights_that_load(run: Run) -> None:
    for train in stages(run.budget).values():
        train(run)
    for name in (*run.budget.denoisers, "turbo"):
        assert load_member(run.weights / name).guided == (name != "turbo")
    assert (run.folder / "large.png").exists()


def test_a_pool_draws_the_same_batch_for_the_same_seed(run: Run) -> None:
    one, other = (run.pool.draw(3, random.Random(2)) for _ in range(2))
    assert torch.equal(one.pictures, other.pictures)
    assert [scene.prompt for scene in one.scenes] == [scene.prompt for scene in other.scenes]
