"""The recipe at toy widths: it learns, goes on from weights, writes what loads; a failed stage does not end it."""

from __future__ import annotations

import csv
import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from families.embedded.model import load_member
from families.embedded.recipe import __main__ as command
from families.embedded.recipe import autoencoder, evaluate, nets, scorer
from families.embedded.recipe.plan import SHARES, TINY
from families.embedded.recipe.run import Run, prepare
from families.embedded.recipe.stage import Stage

TOY = dataclasses.replace(TINY, pool=60, small_pool=30, judged=60, bank=8, held_out=12, sheet=4)
EVERYTHING = tuple(SHARES)


def toy_run(folder: Path, seconds: float, stages: tuple[str, ...], resume: Path | None = None) -> Run:
    return prepare(TOY, "cpu", folder, time.monotonic() + seconds, stages, resume, seed=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, toy_names: tuple[str, ...]) -> Run:
    """A run of every stage, as short as can be."""
    run = toy_run(tmp_path_factory.mktemp("made"), 12.0, EVERYTHING)
    assert command.train(run) == []
    return run


def test_one_command_trains_every_stage_to_weights_that_load(made: Run) -> None:
    for name in ("large", "turbo", "medium", "small", "dit"):
        assert load_member(made.weights / name).guided == (name in ("large", "dit"))


def test_scores_names_and_pages_are_written(made: Run) -> None:
    scores = np.load(made.folder / "scores" / "scores.npz")
    assert scores["held_out"].shape == (TOY.held_out, TOY.held_out_seeds, len(evaluate.WAYS))
    assert len(list(csv.DictReader((made.folder / "scores" / "names.csv").open()))) == TOY.named
    assert {path.name for path in (made.folder / "sheets").iterdir()} >= {
        "exact.jpg", "dit.jpg", "ways.jpg", "everyday.jpg",
    }  # fmt: skip


def test_a_run_that_goes_on_starts_from_the_weights_it_is_given(made: Run, tmp_path: Path) -> None:
    run = toy_run(tmp_path, 3.0, ("latents", "small"), resume=made.weights)
    run.take_over()
    assert torch.equal(run.published("small").conv_in.weight, nets.load(made.weights / "small").conv_in.weight)
    assert command.train(run) == []
    assert load_member(tmp_path / "weights" / "small").denoiser.conv_in.weight.isfinite().all()
    assert load_member(tmp_path / "weights" / "large").guided


def test_one_member_is_trained_and_the_others_are_taken_over(made: Run, tmp_path: Path) -> None:
    run = toy_run(tmp_path, 3.0, ("latents", "dit"), resume=made.weights)
    assert command.train(run) == []
    kept = "large/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "weights" / kept).read_bytes() == (made.weights / kept).read_bytes()
    before, after = (nets.load(folder / "dit").proj_out.weight for folder in (made.weights, tmp_path / "weights"))
    assert 0 < (after - before).abs().max() < 0.1


def test_a_stage_that_fails_is_reported_and_the_others_run(
    made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(run: Run) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(command.denoise, "train", broken)
    run = toy_run(tmp_path, 3.0, ("latents", "large", "small"), resume=made.weights)
    run.members["turbo"] = run.settle(run.published("turbo"))
    assert command.train(run) == ["large"]
    assert "!! large failed" in capsys.readouterr().out
    assert (tmp_path / "weights" / "small").exists()


def test_an_unknown_stage_stops_the_command_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match="no such stage: tiny; there are codec"):
        command.chosen("large,tiny")
    assert command.chosen("turbo") == ("latents", "turbo", "pages")


def test_the_time_that_is_left_is_shared_among_the_stages_to_come(made: Run) -> None:
    made.deadline = time.monotonic() + 100
    assert made.seconds("large") == pytest.approx(100 * SHARES["large"] / sum(list(SHARES.values())[3:]), rel=0.01)
    made.deadline = time.monotonic() - 1
    assert made.seconds("large") == 0.5


def test_a_stage_lowers_its_loss_and_answers_the_average_in_float32() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(64, 8)
    wanted = inputs @ torch.randn(8, 4)
    losses: list[float] = []

    def loss(network: nn.Module) -> Tensor:
        error = (network(inputs) - wanted).square().mean()
        losses.append(float(error.detach()))
        return error

    average = Stage("toy", nn.Linear(8, 4), loss, 1.0, 3e-2, 64).train()
    assert losses[-1] < 0.2 * losses[0]
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in average.parameters())


def test_the_codec_is_judged_without_its_own_scale() -> None:
    raw = 3 + 5 * torch.randn(8, 4, 6, 6)
    plain = autoencoder.normalised(raw)
    assert plain.mean().abs() < 1e-4
    assert plain.var((0, 2, 3)).sub(1).abs().max() < 1e-2


def test_a_picture_is_its_own_best_reconstruction() -> None:
    real = torch.rand(2, 3, 64, 64) * 2 - 1
    assert float(autoencoder.picture_loss(real, real)) < 1e-3
    assert float(autoencoder.picture_loss(real.roll(5, -1), real)) > 0.3


def test_a_spoiled_picture_differs_and_keeps_its_shape() -> None:
    rng, picture = torch.Generator().manual_seed(1), torch.rand(6, 3, 32, 32) * 2 - 1
    for change in (scorer.disturb, scorer.spoil):
        assert change(picture, rng).shape == picture.shape
        assert not torch.allclose(change(picture, rng), picture)
