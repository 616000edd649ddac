"""The stages that learn from `large`: `turbo`, the same network without a second forward; `medium` and `small`, cut
out of it.

`turbo` first learns what guidance predicts (Meng et al. 2023, §3.1), at the noise levels that samplers of few steps
visit. Then it learns to go straight (Liu et al. 2022, §2.2, and InstaFlow, Liu et al. 2024): from pairs of noise and
the latent to which six of its own steps lead, so that one or two steps arrive near the same place.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from families.embedded.model import predict_clean
from families.embedded.recipe import nets
from families.embedded.recipe.denoise import Draws, noised, parameters, weighted_error
from families.embedded.recipe.draw import Way, score
from families.embedded.recipe.prune import Pruned, prune
from families.embedded.recipe.run import Run
from families.embedded.recipe.stage import Stage, say
from families.embedded.sample import Text, guided_clean, sample, shifted_sigmas, toward

GUIDANCE = 2.0
LEADING = 6  # steps from noise to where it leads
FEATURES = 0.1  # weight of the blocks' outputs beside the network's
PARTS = {"guidance": 0.28, "pairs": 0.22, "straight": 0.5}  # of turbo's time


def train_turbo(run: Run) -> None:
    """Make, write and keep `turbo`."""
    plan, seconds = run.plan, run.seconds("turbo")
    student = run.published("turbo") or nets.load(run.weights / "large")
    loss = guidance_loss(run, run.members["large"])
    stage = Stage(
        "turbo, guidance", run.on_device(student), loss, seconds * PARTS["guidance"], plan.turbo_rate, plan.batch
    )
    run.publish("turbo", stage.train(), guided=False)
    tell(run, "turbo")
    pairs = {
        side: lead(run, side, seconds * PARTS["pairs"] * share)
        for side, share in zip(run.sides, (0.85, 0.15), strict=True)
    }
    straight = Stage(
        "turbo, straight", run.on_device(nets.load(run.weights / "turbo")), straight_loss(run, pairs),
        seconds * PARTS["straight"], plan.turbo_rate, plan.batch,
    )  # fmt: skip
    run.publish("turbo", straight.train(), guided=False)
    tell(run, "turbo")


def train_pruned(run: Run, name: str, widths: tuple[int, int], middle: bool) -> None:
    """Make, write and keep a member that is cut out of `turbo`: like it, it runs once a step."""
    cut = prune(nets.load(run.weights / "turbo"), widths, middle)
    network, rate = cut.network, run.plan.pruned_rate
    if earlier := run.published(name):
        network, rate = earlier, rate / 2
    say(f"{name}: {parameters(network)}")
    loss = feature_loss(run, run.members["turbo"], Pruned(network, cut.blocks), run.plan.samplers[name])
    stage = Stage(name, run.on_device(network), loss, run.seconds(name), rate, run.plan.pruned_batch)
    run.publish(name, stage.train(), guided=False)
    tell(run, name)


def tell(run: Run, name: str) -> None:
    """Mean scores of a member without guidance, for the log."""
    if run.scorer is not None:
        found = {steps: round(score(run, Way(name, steps, 1.0)), 4) for steps in (8, 4, 3, 2, 1)}
        say(f"{name}: mean score by steps {found}")


# --- what guidance predicts ------------------------------------------------------------------------------------------


def guidance_loss(run: Run, teacher: nn.Module) -> Callable[[nn.Module], Tensor]:
    """The error against the guided teacher's clean latent, at visited noise levels (Meng et al. 2023, eq. 2)."""
    draw, visited = Draws(run, run.plan.batch), Visited(run, run.plan.samplers["turbo"])

    def loss(network: nn.Module) -> Tensor:
        clean, text = draw.batch()
        sigma = visited.some(len(clean))
        noisy = noised(run, clean, sigma)
        with torch.no_grad():
            target = guided_clean(teacher, noisy, sigma, text, run.empty, GUIDANCE)
        return weighted_error(predict_clean(network, noisy, sigma, *text), target, sigma)

    return loss


class Visited:
    """The noise levels that samplers of so many steps visit, each sampler as often as another."""

    def __init__(self, run: Run, samplers: tuple[int, ...]) -> None:
        levels = [(level, 1 / steps) for steps in samplers for level in shifted_sigmas(steps)[:-1]]
        self.levels, self.shares = (torch.tensor(column, device=run.device) for column in zip(*levels, strict=True))
        self.rng = run.rng

    def some(self, count: int) -> Tensor:
        """Random noise levels (count,) in float32."""
        return self.levels[torch.multinomial(self.shares, count, replacement=True, generator=self.rng)]


# --- straight to where noise leads -----------------------------------------------------------------------------------


@dataclass
class Pairs:
    """Noise and the clean latents to which it leads, (M, C, h, w) in float16, and the pool's rows asked for."""

    noise: Tensor
    ends: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)


@torch.no_grad()
def lead(run: Run, side: int, seconds: float) -> Pairs:
    """Pairs made by `turbo` in so many seconds."""
    started, together = time.monotonic(), 2 * run.plan.batch
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    shape = run.latents[side].codes.shape[1:]
    while not found or (time.monotonic() - started < seconds and len(found) * together < run.plan.pairs):
        rows, noise = run.some(together, len(run.pool)), run.normal(together, *shape)
        ends = sample(run.members["turbo"], noise, shifted_sigmas(LEADING), run.pool.text(rows), run.empty, 1.0)
        found.append((noise.half(), ends.half(), rows))
        if run.device == "cuda":
            torch.cuda.synchronize()  # else the clock runs ahead of the GPU
    say(f"turbo: {len(found) * together} pairs at {side} pixels, {time.monotonic() - started:.1f} s")
    return Pairs(*(torch.cat(column) for column in zip(*found, strict=True)))


def straight_loss(run: Run, pairs: dict[int, Pairs]) -> Callable[[nn.Module], Tensor]:
    """The error against where the noise leads: from the noise, from its own second of two steps, on the way."""
    chance, size = random.Random(7), run.plan.batch
    second = shifted_sigmas(2)[1]
    later = torch.tensor(shifted_sigmas(3)[1:-1] + shifted_sigmas(4)[1:-1], device=run.device)

    def loss(network: nn.Module) -> Tensor:
        drawn = pairs[run.sides[1 if chance.random() < 0.2 else 0]]
        some = run.some(size, len(drawn))
        noise, end, text = drawn.noise[some].float(), drawn.ends[some].float(), run.pool.text(drawn.rows[some])
        kind = chance.choices(("one", "two", "more"), (0.4, 0.25, 0.35))[0]
        sigma, start = torch.ones(size, device=run.device), noise
        if kind == "two":
            sigma, start = sigma * second, first_of_two(network, noise, text, second)
        elif kind == "more":
            sigma = later[run.some(size, len(later))]
            level = sigma.view(-1, 1, 1, 1)
            start = (1 - level) * end + level * noise
        return weighted_error(predict_clean(network, start, sigma, *text), end, sigma)

    return loss


@torch.no_grad()
def first_of_two(network: nn.Module, noise: Tensor, text: Text, there: float) -> Tensor:
    """Where the first of two steps takes the student."""
    return toward(noise, predict_clean(network, noise, 1.0, *text), 1.0, there)


# --- fewer channels --------------------------------------------------------------------------------------------------


def feature_loss(run: Run, teacher: nn.Module, cut: Pruned, samplers: tuple[int, ...]) -> Callable[[nn.Module], Tensor]:
    """The error against the teacher's clean latent and, at kept channels, blocks' outputs (Kim et al. 2023, §3.2)."""
    draw, visited = Draws(run, run.plan.pruned_batch), Visited(run, samplers)
    blocks = {name: kept.to(run.device) for name, kept in cut.blocks.items()}
    theirs = Taps(teacher, blocks)
    mine: Taps | None = None

    def loss(network: nn.Module) -> Tensor:
        nonlocal mine
        mine = mine or Taps(network, blocks)
        clean, text = draw.batch()
        sigma = visited.some(len(clean))
        noisy = noised(run, clean, sigma)
        with torch.no_grad():
            target = predict_clean(teacher, noisy, sigma, *text)
        error = weighted_error(predict_clean(network, noisy, sigma, *text), target, sigma)
        return error + FEATURES * sum(unlike(mine[name], theirs[name][:, kept]) for name, kept in blocks.items())

    return loss


def unlike(mine: Tensor, theirs: Tensor) -> Tensor:
    """Squared error as a share of the teacher's variance."""
    return ((mine.float() - theirs.float()) ** 2).mean() / theirs.float().var().clamp(min=1e-6)


class Taps:
    """What blocks of a UNet answered in its last forward."""

    def __init__(self, network: Any, blocks: Any) -> None:
        self.seen: dict[str, Tensor] = {}
        for name in blocks:
            network.get_submodule(name).register_forward_hook(self._keeper(name))

    def __getitem__(self, name: str) -> Tensor:
        return self.seen[name]

    def _keeper(self, name: str) -> Callable[..., None]:
        def keep(module: nn.Module, arguments: Any, answer: Any) -> None:
            self.seen[name] = answer[0] if isinstance(answer, tuple) else answer  # down blocks answer their skips too

        return keep
