"""The recipe: everything in `weights/` from nothing.

    python -m families.embedded.train --budget cpu [--resume] [--stage large] [--threads 1]

Stages, in order: the scorer, the upsampler, each denoiser, the few-step member. Every stage keeps a checkpoint in
`runs/<budget>/` and writes its weights as it goes, so it can be stopped at any time; with `--resume` it goes on as if it had not
been. A step's data depend on (stage, step) alone. Progress and sample sheets lie beside the checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from core.text import shared_encoder
from families.embedded import checksums, emoji
from families.embedded.budget import Budget, Effort, load_budget
from families.embedded.codec import PatchCodec
from families.embedded.judge import Judge
from families.embedded.model import EMPTY_PROMPT, WEIGHTS, load_denoiser, predict_clean
from families.embedded.nets import build_denoiser, quick_attention, save_denoiser
from families.embedded.pool import Batch, Pool, held_out, load_pool
from families.embedded.sample import euler, guided_clean, noise_of, sample, shifted_sigmas

HERE = Path(__file__).parent
WARM_UP = 100  # steps
COOL_DOWN = 0.25  # the last share of the steps, over which the rate falls to zero
DROP_TEXT = 0.1
SHEET_STEPS = 16
Loss = Callable[[nn.Module, random.Random], Tensor]


@dataclass
class Run:
    """What every stage needs: the numbers, the data, where things go."""

    budget: Budget
    folder: Path
    weights: Path
    pool: Pool
    resume: bool = False
    save_every: float = 120.0  # seconds
    empty: tuple[Tensor, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.empty = shared_encoder(self.budget.device).tokens([EMPTY_PROMPT])

    def to_device(self, *tensors: Tensor) -> list[Tensor]:
        return [tensor.to(self.budget.device, non_blocking=True) for tensor in tensors]

    def half(self) -> Any:
        """Mixed precision: bfloat16 matrix products, float32 weights."""
        return torch.autocast(self.budget.device, torch.bfloat16)


class Stage:
    """One network in training: weights, their moving average, optimiser, and the step it is at."""

    def __init__(
        self, run: Run, name: str, network: nn.Module, effort: Effort, loss: Loss, publish: Callable[[nn.Module], None]
    ):
        self.run, self.name, self.effort, self.loss, self.publish = run, name, effort, loss, publish
        self.network = network.to(run.budget.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=effort.rate, betas=(0.9, 0.98), weight_decay=0.01, foreach=True
        )
        self.step, self.seconds = 0, 0.0
        self.checkpoint = run.folder / f"{name}.pt"
        if run.resume and self.checkpoint.exists():
            self._restore()

    def train(self) -> None:
        """Learn until the budget's steps are done, saving every so often."""
        last, losses = time.monotonic(), []
        while self.step < self.effort.steps:
            started = time.monotonic()
            losses.append(self.learn())
            self.seconds += time.monotonic() - started
            if time.monotonic() - last > self.run.save_every:
                self._report(losses)
                self.save()
                last, losses = time.monotonic(), []
        self._report(losses)
        self.save()

    def learn(self) -> float:
        """One step of gradient descent; returns the loss. Its randomness comes from (stage, step) alone."""
        rng = random.Random(f"{self.name}-{self.step}")
        torch.manual_seed(rng.getrandbits(60))
        for group in self.optimizer.param_groups:
            group["lr"] = self.effort.rate * self._schedule()
        with self.run.half():
            loss = self.loss(self.network, rng)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self._follow()
        self.step += 1
        return float(loss.detach())

    def save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, self.checkpoint.with_suffix(".new"))
        self.checkpoint.with_suffix(".new").rename(self.checkpoint)
        self.publish(self.average)
        checksums.write(self.run.weights)

    def _restore(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.run.budget.device)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def _schedule(self) -> float:
        left = (self.effort.steps - self.step) / self.effort.steps
        return min(1.0, (self.step + 1) / WARM_UP, left / COOL_DOWN)

    def _follow(self) -> None:
        """The average remembers about the last tenth of the run."""
        weight = max(10 / (self.step + 10), 0.004)
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), weight)

    def _report(self, losses: list[float]) -> None:
        mean = sum(losses) / max(1, len(losses))
        print(
            f"{time.strftime('%H:%M:%S')} {self.name}: step {self.step}/{self.effort.steps}, loss {mean:.4f}, {self.seconds:.0f} s",
            flush=True,
        )


# --- denoisers -------------------------------------------------------------------------------------------------------------


def fold(pictures: Tensor, budget: Budget) -> Tensor:
    """Pictures to latents, as `PatchCodec.encode` does."""
    return F.pixel_unshuffle(pictures, budget.patch).contiguous(memory_format=torch.channels_last)


def random_sigmas(count: int) -> Tensor:
    """Noise levels to train at: logit-normal (Esser et al. 2024, §3.1) leaning to noise, where things are decided."""
    return torch.sigmoid(0.7 + 1.2 * torch.randn(count)).clamp(0.02, 0.999)


def drop_text(batch: Batch, empty: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The batch's text, in one row of ten replaced by the empty prompt."""
    dropped = torch.rand(len(batch)) < DROP_TEXT
    states = torch.where(dropped[:, None, None], empty[0].cpu(), batch.states)
    return states, torch.where(dropped[:, None], empty[1].cpu(), batch.mask)


def matching_loss(run: Run, size: int, sides: Sequence[int] = ()) -> Loss:
    """Flow matching with x-prediction: the velocity's squared error, its weight 1/σ² bounded (Li & He 2025, §3)."""

    def loss(network: nn.Module, rng: random.Random) -> Tensor:
        batch = run.pool.draw(size, rng, side=rng.choice(sides) if sides else None)
        sigma = random_sigmas(size)
        states, mask = drop_text(batch, run.empty)
        clean, sigma, states, mask = run.to_device(fold(batch.pictures, run.budget), sigma, states, mask)
        level = sigma.view(-1, 1, 1, 1)
        noisy = (1 - level) * clean + level * torch.randn_like(clean)
        predicted = predict_clean(network, noisy, sigma, states, mask).float()
        return (((predicted - clean) ** 2) / (level**2 + 0.02)).mean()

    return loss


def landing_loss(run: Run, teacher: nn.Module, size: int) -> Loss:
    """Progressive distillation (Salimans & Ho 2022, §3) in one stage, guidance included (Meng et al. 2023, §3.1).

    From a noisy picture at one of the few levels the student will visit, the teacher takes several guided steps to the next;
    the student learns the clean picture towards which one step lands there.
    """
    plan = run.budget.turbo
    fine = shifted_sigmas(plan.jumps * plan.substeps, run.budget.shift)

    def loss(network: nn.Module, rng: random.Random) -> Tensor:
        batch = run.pool.draw(size, rng)
        start = torch.tensor([rng.randrange(plan.jumps) * plan.substeps for _ in range(size)])
        clean, states, mask, levels = run.to_device(fold(batch.pictures, run.budget), batch.states, batch.mask, fine)
        first = levels[start].view(-1, 1, 1, 1)
        noisy = (1 - first) * clean + first * torch.randn_like(clean)
        moving = noisy
        with torch.no_grad():
            for k in range(plan.substeps):
                here, there = levels[start + k], levels[start + k + 1]
                guess = guided_clean(teacher, moving, here, (states, mask), run.empty, run.budget.guidance).float()
                moving = euler(moving, guess, here.view(-1, 1, 1, 1), there.view(-1, 1, 1, 1))
        last = levels[start + plan.substeps].view(-1, 1, 1, 1)
        target = noisy - first * (noisy - moving) / (first - last)
        predicted = predict_clean(network, noisy, first.flatten(), states, mask).float()
        return ((predicted - target) ** 2 / (first**2 + 0.02)).mean()

    return loss


def train_denoiser(run: Run, name: str) -> None:
    plan = run.budget.denoisers[name]
    torch.manual_seed(len(name))
    network = build_denoiser(plan, run.budget)
    quick_attention(network)
    _denoiser_stage(run, name, network, plan, matching_loss(run, plan.batch, plan.sides), guided=True).train()


def train_turbo(run: Run) -> None:
    plan = run.budget.turbo
    teacher, student = (_trained(run, name) for name in (plan.teacher, plan.student))
    student.train().requires_grad_(True)
    _denoiser_stage(run, "turbo", student, plan, landing_loss(run, teacher, plan.batch), guided=False).train()


def _trained(run: Run, name: str) -> nn.Module:
    network = load_denoiser(run.weights / name)
    quick_attention(network)
    return network.to(run.budget.device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _denoiser_stage(run: Run, name: str, network: nn.Module, plan: Effort, loss: Loss, guided: bool) -> Stage:
    def publish(average: nn.Module) -> None:
        save_denoiser(average, run.weights / name, run.budget.shift, guided)
        sheet(run, name, average, guided)

    return Stage(run, name, network, plan, loss, publish)


def sheet(run: Run, name: str, network: nn.Module, guided: bool, count: int = 40) -> None:
    """A page of samples for fixed prompts and seeds, `runs/<budget>/<name>.png`."""
    scenes = held_out(run.budget, min(count, 4 * len(run.budget.names)), seed=5)
    text = shared_encoder(run.budget.device).tokens([scene.prompt for scene in scenes])
    side, channels = run.budget.pixels // run.budget.patch, 3 * run.budget.patch**2
    noise = noise_of(range(len(scenes)), (channels, side, side)).to(run.budget.device)
    steps, guidance = (SHEET_STEPS, run.budget.guidance) if guided else (run.budget.turbo.jumps, 1.0)
    with run.half():
        latents = sample(network, noise, text, run.empty, steps, run.budget.shift, guidance).float().cpu()
    save_sheet(F.pixel_shuffle(latents, run.budget.patch), run.folder / f"{name}.png")


def save_sheet(pictures: Tensor, path: Path, columns: int = 10) -> None:
    """Pictures (B, 3, H, W) in −1…1 as one PNG, doubled in size."""
    rows = [torch.cat(list(part), dim=2) for part in pictures.split(columns) if len(part) == columns]
    page = torch.cat(rows or [torch.cat(list(pictures), dim=2)], dim=1)
    pixels = ((page.clamp(-1, 1) + 1) * 127.5).byte().permute(1, 2, 0).numpy()
    image = Image.fromarray(pixels)
    image.resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST).save(path)


# --- codec and scorer ------------------------------------------------------------------------------------------------------


def train_upsampler(run: Run) -> None:
    """Charbonnier loss between the drawn-out small picture and the large one; the small one a little disturbed."""
    plan, budget = run.budget.upsampler, run.budget
    torch.manual_seed(1)
    codec = PatchCodec(pixels=budget.pixels, patch=budget.patch, scale=plan.scale, width=plan.width, depth=plan.depth)

    def loss(network: nn.Module, rng: random.Random) -> Tensor:
        large = run.pool.draw(plan.batch, rng, side=codec.size).pictures
        small = F.avg_pool2d(large, plan.scale)
        small = small + 0.06 * rng.random() * torch.randn_like(small)
        large, small = run.to_device(large, small)
        return ((network.enlarge(small).float() - large) ** 2 + 1e-4).sqrt().mean()  # type: ignore[operator]

    def publish(average: nn.Module) -> None:
        average.save_pretrained(run.weights / "codec")  # type: ignore[operator]
        small = run.pool.draw(20, random.Random(3)).pictures
        save_sheet(average.enlarge(small.to(budget.device)).cpu(), run.folder / "codec.png")  # type: ignore[operator]

    Stage(run, "codec", codec, plan, loss, publish).train()


def disturb(pictures: Tensor, rng: random.Random) -> Tensor:
    """The scorer's own augmentations: shift, brightness, contrast, tint; blur in every other batch; noise."""
    pad = F.pad(pictures, (4, 4, 4, 4), mode="replicate")
    top, left = rng.randrange(9), rng.randrange(9)
    moved = pad[..., top : top + pictures.shape[-1], left : left + pictures.shape[-1]]
    count = len(moved)
    moved = moved * (1 + 0.15 * torch.randn(count, 1, 1, 1)) + 0.08 * torch.randn(count, 3, 1, 1)
    if rng.random() < 0.5:
        moved = F.interpolate(F.avg_pool2d(moved, 2), scale_factor=2, mode="bilinear")
    return moved + 0.08 * rng.random() * torch.randn_like(moved)


def train_scorer(run: Run) -> None:
    """Contrastive learning, with the scorer's own data order and augmentations."""
    plan = run.budget.scorer
    torch.manual_seed(9)
    judge = Judge(width=plan.width)

    def loss(network: nn.Module, rng: random.Random) -> Tensor:
        batch = run.pool.draw(plan.batch, rng, jitter=0.04, side=judge.side)
        return network.contrast(*run.to_device(disturb(batch.pictures, rng), batch.states, batch.mask))  # type: ignore[operator]

    def publish(average: nn.Module) -> None:
        half = Judge.from_config(average.config)
        half.load_state_dict(average.state_dict())
        half.half().save_pretrained(run.weights / "scorer")

    Stage(run, "scorer", judge, plan, loss, publish).train()


# --- command ---------------------------------------------------------------------------------------------------------------


def stages(budget: Budget) -> dict[str, Callable[[Run], None]]:
    """Stage name → what trains it, in order."""
    denoisers = {name: (lambda run, name=name: train_denoiser(run, name)) for name in budget.denoisers}
    return {"scorer": train_scorer, "codec": train_upsampler, **denoisers, "turbo": train_turbo}


def prepare(name: str, weights: Path = WEIGHTS, runs: Path = HERE / "runs", resume: bool = False) -> Run:
    """Fetch pictures, make the pool of prompts, set up folders."""
    emoji.fetch()
    budget = load_budget(name)
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    weights.mkdir(parents=True, exist_ok=True)
    return Run(budget, folder, weights, load_pool(budget, folder / "pool"), resume)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the embedded family.")
    parser.add_argument("--budget", default="cpu", choices=("cpu", "accelerator", "toy"))
    parser.add_argument("--stage", action="append", help="only this stage (may be repeated)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints in runs/")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    run = prepare(arguments.budget, arguments.weights, resume=arguments.resume)
    for name, train in stages(run.budget).items():
        if not arguments.stage or name in arguments.stage:
            train(run)


if __name__ == "__main__":
    main()
