"""The stage of `dit`: a transformer of the same latents, noise levels and prediction as `large`, from data and `large`.

What is cached of one serves the other: a clean latent means the same to both. It learns from pictures, and after a
while also from what `large` predicts of the same noisy latents: a target with less variance than the picture's, which
costs a forward (both at once: Hinton et al. 2015, §2).
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from families.embedded.model import predict_clean
from families.embedded.recipe import nets
from families.embedded.recipe.denoise import RESUMED, Target, matching_loss, parameters
from families.embedded.recipe.run import Run
from families.embedded.recipe.stage import Stage, say
from families.embedded.sample import Text

ALONE = 0.3  # share of the time in which it learns from pictures alone
TAUGHT = 0.75  # share of the target that is `large`'s prediction, after that


def train(run: Run) -> None:
    """Make, write and keep `dit`, from an earlier run's where there is one."""
    assert run.codec is not None
    torch.manual_seed(15)
    plan, size = run.plan, run.plan.dit_batch
    network, rate = nets.dit(*plan.dit, run.codec.channels, plan.pixels), plan.dit_rate
    if earlier := run.published("dit"):
        network, rate = earlier, rate * RESUMED
    say(f"dit: {parameters(network)}")
    stage = Stage("dit", run.on_device(network), matching_loss(run, size), run.seconds("dit"), rate, size)
    if stage.on_gpu:
        compile_blocks(stage, run)
        stage.seconds = run.seconds("dit")
    if "large" in run.members:
        stage.loss = matching_loss(run, size, target=mixture(run, time.monotonic() + ALONE * stage.seconds))
    run.publish("dit", stage.train(), guided=True)


def mixture(run: Run, begin: float) -> Target:
    """The clean latents; from `begin` on the monotonic clock, mostly `large`'s prediction of them.

    The squared error against a mixture is, but for a constant, the mixture of the squared errors.
    """

    def target(clean: Tensor, noisy: Tensor, sigma: Tensor, text: Text) -> Tensor:
        if time.monotonic() < begin:
            return clean
        with torch.no_grad():
            return torch.lerp(clean, predict_clean(run.members["large"], noisy, sigma, *text), TAUGHT)

    return target


def compile_blocks(stage: Stage, run: Run) -> None:
    """Compile the transformer's blocks, at both native sizes; where that fails they run without, more slowly."""
    blocks: Any = stage.network.get_submodule("transformer_blocks")
    begun = time.monotonic()
    try:
        for block in blocks:
            block.compile(dynamic=False)  # all alike: one is compiled and serves for all
        for half_size in (0.0, 1.0):
            matching_loss(run, stage.batch, half_size)(stage.network).backward()
        say(f"dit: blocks compiled, {time.monotonic() - begun:.1f} s")
    except Exception as error:
        for block in blocks:
            block._compiled_call_impl = None
        say(f"dit: blocks not compiled: {error!r}")
    stage.network.zero_grad(set_to_none=True)
