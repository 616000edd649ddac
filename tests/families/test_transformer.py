"""The stage of `dit`: how it begins, what it learns from, and that it needs no compiler."""

from __future__ import annotations

import dataclasses
import time

import pytest
import torch
from torch import nn

from families.embedded.model import predict_clean
from families.embedded.recipe import data, denoise, nets, transformer
from families.embedded.recipe.plan import TINY
from families.embedded.recipe.run import Run, prepare
from families.embedded.recipe.stage import Stage

CHANNELS, PIXELS = 8, 64


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, toy_names: tuple[str, ...]) -> Run:
    """Latents of noise and an untrained `large`, at toy width."""
    plan = dataclasses.replace(TINY, pool=24, small_pool=24)
    folder = tmp_path_factory.mktemp("toy")
    made = prepare(plan, "cpu", folder, time.monotonic() + 60, ("latents", "dit", "pages"), None, seed=1)
    for side in made.sides:
        made.latents[side] = data.Latents(torch.randn(24, CHANNELS, side // 16, side // 16).half())
    torch.manual_seed(5)
    made.members["large"] = made.settle(nets.unet((32, 64), CHANNELS, PIXELS))
    return made


def toy() -> nn.Module:
    torch.manual_seed(6)
    network: nn.Module = nets.dit(*TINY.dit, CHANNELS, PIXELS)
    return network


def test_a_transformer_begins_as_one_that_sees_no_text(run: Run) -> None:
    network, latents, sigma = toy(), torch.randn(2, CHANNELS, 4, 4), torch.tensor([1.0, 0.4])
    assert predict_clean(network, latents, sigma, *run.pool.text(torch.tensor([0, 1]))).abs().max() == 0
    nn.init.normal_(network.get_submodule("proj_out").weight)
    with_text, without = (
        predict_clean(network, latents, sigma, *text)
        for text in (run.pool.text(torch.tensor([0, 1])), [part.expand(2, *part.shape[1:]) for part in run.empty])
    )
    assert torch.equal(with_text, without)


def test_it_learns_from_pictures_first_and_then_mostly_from_large(run: Run) -> None:
    clean, sigma = torch.randn(2, CHANNELS, 4, 4), torch.tensor([1.0, 0.4])
    noisy, text = denoise.noised(run, clean, sigma), run.pool.text(torch.tensor([0, 1]))
    assert torch.equal(transformer.mixture(run, time.monotonic() + 60)(clean, noisy, sigma, text), clean)
    taught = predict_clean(run.members["large"], noisy, sigma, *text)
    mixed = transformer.mixture(run, time.monotonic())(clean, noisy, sigma, text)
    share = transformer.TAUGHT
    assert torch.allclose(mixed, (1 - share) * clean + share * taught, atol=1e-6)


def test_blocks_that_cannot_be_compiled_run_as_they_are(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*args: object, **options: object) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", refused)
    stage = Stage("dit", toy(), denoise.matching_loss(run, 4), 0.5, 1e-3, 4)
    transformer.compile_blocks(stage, run)
    assert "not compiled: RuntimeError('no compiler')" in capsys.readouterr().out
    assert torch.isfinite(stage.learn(0.0))
