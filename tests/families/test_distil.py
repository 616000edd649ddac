"""Cutting a network down, and what students learn from their teacher."""

from __future__ import annotations

import dataclasses
import time

import pytest
import torch

from families.embedded.model import predict_clean
from families.embedded.recipe import denoise, distil, nets
from families.embedded.recipe.plan import TINY
from families.embedded.recipe.prune import prune, strongest
from families.embedded.recipe.run import Run, prepare
from families.embedded.sample import Text, shifted_sigmas, toward

CHANNELS, PIXELS = 8, 64


@pytest.fixture(scope="module")
def teacher() -> torch.nn.Module:
    torch.manual_seed(3)
    return nets.unet((32, 64), CHANNELS, PIXELS).eval().requires_grad_(False)


def given(rows: int = 3) -> tuple[torch.Tensor, torch.Tensor, Text]:
    rng = torch.Generator().manual_seed(4)
    latents, states = torch.randn(rows, CHANNELS, 4, 4, generator=rng), torch.randn(rows, 24, 384, generator=rng)
    return latents, torch.linspace(1, 0.3, rows), (states, torch.ones(rows, 24))


def test_cutting_nothing_changes_nothing(teacher: torch.nn.Module) -> None:
    latents, sigma, text = given()
    same = prune(teacher, (32, 64)).network.eval()
    before, after = (predict_clean(network, latents, sigma, *text) for network in (teacher, same))
    assert torch.allclose(before, after, atol=1e-3 * float(before.std()))


@pytest.mark.parametrize("middle", [True, False])
def test_a_cut_network_is_smaller_and_runs(teacher: torch.nn.Module, middle: bool) -> None:
    latents, sigma, text = given()
    cut = prune(teacher, (16, 32), middle)
    assert predict_clean(cut.network, latents, sigma, *text).shape == latents.shape
    sizes = [sum(p.numel() for p in network.parameters()) for network in (cut.network, teacher)]
    assert sizes[0] < 0.6 * sizes[1]
    assert ("mid_block" in cut.blocks) == middle


def test_the_kept_weights_are_the_teachers(teacher: torch.nn.Module) -> None:
    cut = prune(teacher, (16, 32))
    theirs, mine = teacher.conv_out.weight, cut.network.conv_out.weight
    assert torch.equal(mine, theirs[:, cut.blocks["up_blocks.1"]])


def test_each_group_keeps_as_many_of_its_strongest_channels() -> None:
    importance = torch.tensor([1.0, 9, 2, 3, 7, 8, 0, 0])
    assert strongest(importance, 4, groups=2).tolist() == [1, 3, 4, 5]
    assert strongest(importance, 3).tolist() == [1, 4, 5]


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, toy_names: tuple[str, ...]) -> Run:
    """Latents of noise and a teacher at toy width: nothing is trained."""
    plan = dataclasses.replace(TINY, pool=24, small_pool=24, pairs=16)
    folder = tmp_path_factory.mktemp("toy")
    made = prepare(plan, "cpu", folder, time.monotonic() + 60, ("latents", "turbo", "pages"), None, seed=1)
    for side in made.sides:
        made.latents[side] = denoise.data.Latents(torch.randn(24, CHANNELS, side // 16, side // 16).half())
    torch.manual_seed(5)
    made.members["large"] = made.members["turbo"] = made.settle(nets.unet((32, 64), CHANNELS, PIXELS))
    return made


def copy_of(network: torch.nn.Module) -> torch.nn.Module:
    twin = nets.unet((32, 64), CHANNELS, PIXELS)
    twin.load_state_dict(network.state_dict())
    return twin


def test_what_predicts_as_its_guided_teacher_has_nothing_to_learn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distil, "GUIDANCE", 1.0)
    teacher = run.members["large"]
    assert float(distil.guidance_loss(run, teacher)(copy_of(teacher)).detach()) < 1e-9
    monkeypatch.setattr(distil, "GUIDANCE", 3.0)
    assert float(distil.guidance_loss(run, teacher)(copy_of(teacher)).detach()) > 1e-9


def test_students_learn_only_at_the_noise_levels_their_samplers_visit(run: Run) -> None:
    drawn = set(distil.Visited(run, (1, 2)).some(200).tolist())
    assert drawn == set(torch.tensor([1.0, shifted_sigmas(2)[1]]).tolist())


def test_pairs_hold_where_the_teachers_steps_lead(run: Run) -> None:
    pairs = distil.lead(run, run.sides[0], seconds=0.0)
    assert len(pairs) == 2 * run.plan.batch
    one = slice(0, 1)
    latents = pairs.noise[one].float()
    for here, there in zip(shifted_sigmas(distil.LEADING), shifted_sigmas(distil.LEADING)[1:], strict=False):
        text = run.pool.text(pairs.rows[one])
        latents = toward(latents, predict_clean(run.members["turbo"], latents, here, *text), here, there)
    assert torch.allclose(latents, pairs.ends[one].float(), atol=2e-2)


def test_going_straight_is_a_finite_loss_from_every_start(run: Run) -> None:
    pairs = {side: distil.lead(run, side, 0.0) for side in run.sides}
    loss, student = distil.straight_loss(run, pairs), copy_of(run.members["turbo"])
    assert all(torch.isfinite(loss(student)) for _ in range(12))


def test_a_student_with_its_teachers_blocks_has_no_error_of_features(run: Run) -> None:
    torch.manual_seed(6)
    teacher = run.settle(nets.unet((32, 64), CHANNELS, PIXELS))
    cut = prune(teacher, (32, 64))
    cut.network.load_state_dict(teacher.state_dict())  # past the fitted embedding of noise levels
    loss = distil.feature_loss(run, teacher, cut, (1, 2))
    assert float(loss(cut.network).detach()) < 1e-6


def test_batches_come_in_both_native_sizes(run: Run) -> None:
    draw = denoise.Draws(run, 4, half_size=0.5)
    assert {draw.batch()[0].shape[-1] for _ in range(20)} == {side // 16 for side in run.sides}
