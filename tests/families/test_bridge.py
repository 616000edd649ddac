"""The bridge: it begins as `large`, learns, goes on after a stop as if there had been none, and its weights do well."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.errors import WeightsDamaged
from core.fidelity import psnr
from families.embedded import bridge, checksums
from families.embedded.codec import ConvCodec
from families.embedded.model import EMPTY_PROMPT, WEIGHTS, load_member, predict_clean
from families.embedded.recipe import bridge as recipe
from families.embedded.recipe import nets
from families.embedded.recipe.plan import TINY
from families.embedded.recipe.resumable import Training
from families.embedded.sample import noise_of, sample, shifted_sigmas
from workers.kinds.bridges import VarianceExploding, VariancePreserving
from workers.kinds.ddbm import dbim, dbim_times

COUNTS = {"sketch": (16, 8), "grey": (8, 4)}
PROMPTS = ["a fox on a blue background", "two pizzas on a green background"]
STOPPED = "stopped"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A `large` and a codec at toy widths."""
    torch.manual_seed(5)
    nets.save_denoiser(nets.unet((32, 64), TINY.codec["channels"], 256), tmp_path / "weights/large", guided=True)
    plan = {**TINY.codec, "pixels": 256, "mean": [0.0] * 16, "deviation": [1.0] * 16}
    nets.save_half(ConvCodec(**plan), tmp_path / "weights/codec")
    checksums.write(tmp_path / "weights")
    return tmp_path / "weights"


def update(folder: Path) -> bytes:
    return (folder / bridge.UPDATE).read_bytes()


def test_a_sketch_has_lines_where_luminance_changes() -> None:
    picture = torch.full((1, 3, 8, 8), -0.5)
    picture[..., 4:] = 0.5
    drawn = bridge.sketch(picture)
    assert (drawn[..., 3:5] < 0).all()
    assert (drawn[..., :3] == 1).all()


@pytest.mark.parametrize("kind", [VariancePreserving(), VarianceExploding(end=3.0)])
def test_before_it_learns_it_denoises_a_bridge_as_large_denoises_what_is_left_without_its_source(kind, weights) -> None:
    member = load_member(weights / "large")
    text, (source, clean, noise) = member.text.tokens(PROMPTS[:1]), torch.randn(3, 1, 16, 8, 8)
    a, b, c = kind.weights(0.4 * kind.end)
    sigma = c / (b + c)
    wanted = member.clean((1 - sigma) * clean + sigma * noise, sigma, *text)
    member.denoiser = bridge.adapted(member.denoiser)
    predict = bridge.denoiser(member, kind, text)
    with torch.no_grad():
        assert torch.allclose(predict(a * source + b * clean + c * noise, 0.4 * kind.end, source), wanted, atol=1e-4)
        at_source = predict(source, kind.end, source)
        assert torch.allclose(at_source, predict_at_source(member.denoiser, text, source), atol=1e-6)


def predict_at_source(network: torch.nn.Module, text: tuple[Tensor, Tensor], source: Tensor) -> Tensor:
    """What is predicted where nothing but the source is known."""
    return predict_clean(network, bridge.beside(torch.zeros_like(source), source), 1.0, *text)


def test_it_learns_from_the_source_what_the_text_does_not_say(weights: Path) -> None:
    member = load_member(weights / "large")
    torch.manual_seed(1)
    source = torch.randn(16, 16, 8, 8).half()
    pairs = recipe.Pairs(source, -source, torch.zeros(16, 24, 384).half(), torch.ones(16, 24, dtype=torch.bool))
    lesson = recipe.Lesson({128: [pairs], 256: [pairs]}, member.text.tokens([EMPTY_PROMPT]), batch=8)
    training = Training(bridge.adapted(member.denoiser, rank=4), lesson.loss, 40, 1e-2, seed=1)

    def error() -> float:
        with torch.no_grad():
            found = predict_at_source(training.network, pairs.text(slice(None)), source.float())
        return float((found + source.float()).square().mean())

    before = error()
    for _ in range(40):
        training.learn()
    assert error() < 0.8 * before


@pytest.mark.usefixtures("toy_names")
def test_training_that_was_stopped_goes_on_to_the_same_weights(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "VALIDATED", 2)
    whole = update(recipe.train(weights, tmp_path / "whole", 6, 1e-3, 1, COUNTS))
    monkeypatch.setattr(recipe, "EVERY", 0.0)  # a checkpoint at every step
    learn = Training.learn

    def stopped_at_three(training: Training) -> float:
        if training.step == 3:
            raise KeyboardInterrupt
        return learn(training)

    monkeypatch.setattr(Training, "learn", stopped_at_three)
    with pytest.raises(KeyboardInterrupt):
        recipe.train(weights, tmp_path / STOPPED, 6, 1e-3, 1, COUNTS)
    monkeypatch.setattr(Training, "learn", learn)
    assert update(recipe.train(weights, tmp_path / STOPPED, 6, 1e-3, 1, COUNTS)) == whole
    assert update(recipe.train(weights, tmp_path / "other", 6, 1e-3, 2, COUNTS)) != whole
    member = bridge.load_bridge(weights / "bridge")
    assert member.denoiser.get_submodule("conv_in").weight.shape[1] == 32
    assert not any("lora" in name for name, _ in member.denoiser.named_parameters())


def test_a_damaged_update_and_one_of_another_large_are_refused(tmp_path: Path) -> None:
    for name in ("bridge", "large", "codec"):
        shutil.copytree(WEIGHTS / name, tmp_path / name)
    shutil.copy(WEIGHTS / checksums.LIST, tmp_path)
    victim = tmp_path / "bridge" / bridge.UPDATE
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WeightsDamaged, match=bridge.UPDATE):
        bridge.load_bridge(tmp_path / "bridge")
    victim.write_bytes(whole)
    (tmp_path / "bridge" / bridge.TAUGHT).write_text(json.dumps({"member": "large", "sha256": "another"}))
    checksums.write(tmp_path)
    with pytest.raises(WeightsDamaged, match="whose SHA-256 is another"):
        bridge.load_bridge(tmp_path / "bridge")


@pytest.mark.parametrize("side", [128, 256])
@torch.no_grad()
def test_the_bridge_comes_much_nearer_to_what_large_drew_than_its_sketch(side: int) -> None:
    large, member, kind = load_member(WEIGHTS / "large"), bridge.load_bridge(), VariancePreserving()
    text, empty, codec = large.text.tokens(PROMPTS), large.text.tokens([EMPTY_PROMPT]), large.codec

    noise = noise_of((1, 2), codec.latent_shape_of(side))
    truth = codec.draw(sample(large.denoiser, noise, shifted_sigmas(8), text, empty, 2.0))
    source = codec.encode(bridge.sketch(truth))
    rng = torch.Generator().manual_seed(1)
    drawn = codec.draw(dbim(bridge.denoiser(member, kind, text), kind, source, dbim_times(kind, 5), generator=rng))
    assert (psnr(drawn, truth) > psnr(codec.draw(source), truth) + 10.0).all()
