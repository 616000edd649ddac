"""The steps of a linear sampler as coefficients, read off diffusers' own scheduler."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

LINEAR = ("DDIMScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler")
PER_STEP = ("times", "input_scale", "latent_weight", "prediction_weight")


@dataclass(frozen=True)
class StepTable:
    """The n steps of a linear sampler: x' = latent_weight·x + prediction_weight·prediction for each.

    `times` are the model's, `input_scale` multiplies the latent before the forward. `noise_levels` are the n + 1 levels
    between which the steps lead: sigmas, or timesteps with -1 for a clean image (DDIM). `times` has the dtype of the
    scheduler's timesteps, the others are float64; all lie on the CPU.
    """

    times: Tensor
    input_scale: Tensor
    latent_weight: Tensor
    prediction_weight: Tensor
    noise_levels: Tensor
    noise_scale: float  # of standard normal noise before the first step

    def __len__(self) -> int:
        return len(self.times)

    def after(self, index: int) -> StepTable:
        """What remains when `index` steps are done."""
        rest = {name: getattr(self, name)[index:] for name in (*PER_STEP, "noise_levels")}
        return StepTable(**rest, noise_scale=self.noise_scale)

    def then(self, rest: StepTable) -> StepTable:
        """These steps, then those of `rest`, which begin at the noise level where these end, or what it is for them."""
        joined = {name: torch.cat([getattr(self, name), getattr(rest, name)]) for name in PER_STEP}
        levels = torch.cat([self.noise_levels[:-1], rest.noise_levels])
        return StepTable(**joined, noise_levels=levels, noise_scale=self.noise_scale)


def step_table(scheduler: Any, steps: int, **timing: Any) -> StepTable | None:
    """The table of a scheduler for so many steps, or None where its steps are not linear."""
    config = scheduler.config
    clipped = config.get("thresholding") or config.get("clip_sample") or config.get("stochastic_sampling")
    if type(scheduler).__name__ not in LINEAR or clipped:
        return None
    timing = {name: tuple(map(float, value)) if name == "sigmas" else value for name, value in timing.items()}
    key = json.dumps(dict(config), sort_keys=True, default=str)
    kind: Any = type(scheduler)
    return _cached_table(kind, key, steps, tuple(sorted(timing.items())))


@lru_cache(maxsize=512)
def _cached_table(kind: Any, config: str, steps: int, timing: tuple[tuple[str, Any], ...]) -> StepTable:
    scheduler = kind.from_config(json.loads(config))
    set_timesteps(scheduler, steps, dict(timing))
    return read_table(scheduler)


def set_timesteps(scheduler: Any, steps: int, timing: dict[str, Any]) -> None:
    if "sigmas" in timing:
        scheduler.set_timesteps(sigmas=list(timing["sigmas"]), **{k: v for k, v in timing.items() if k != "sigmas"})
    else:
        scheduler.set_timesteps(steps, **timing)


def read_table(scheduler: Any) -> StepTable:
    """The table of a scheduler with timesteps: it is stepped on (x, prediction) = (1, 0) and (0, 1) at each of them."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    ones, zeros = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 1.0]).double()
    scale, answers = [], []
    for time in scheduler.timesteps:
        scaled = scheduler.scale_model_input(ones, time) if hasattr(scheduler, "scale_model_input") else ones
        scale.append(scaled[0].double())
        answers.append(scheduler.step(zeros, time, ones, return_dict=False)[0].double())
    latent_weight, prediction_weight = torch.stack(answers).unbind(1)
    noise_scale = float(getattr(scheduler, "init_noise_sigma", 1.0))
    times, levels = scheduler.timesteps.clone(), _noise_levels(scheduler)
    return StepTable(times, torch.stack(scale), latent_weight, prediction_weight, levels, noise_scale)


def _noise_levels(scheduler: Any) -> Tensor:
    if hasattr(scheduler, "sigmas"):
        sigmas: Tensor = scheduler.sigmas.double()
        return sigmas
    return torch.cat([scheduler.timesteps.double(), torch.tensor([-1.0]).double()])


def bridge(template: Any, here: StepTable, to: float) -> StepTable:
    """One step from where `here` begins straight to noise level `to`, in the scheduler's own arithmetic."""
    scheduler = copy.deepcopy(template)
    scheduler.timesteps = here.times[:1]
    if hasattr(scheduler, "sigmas"):
        scheduler.sigmas = torch.tensor([float(here.noise_levels[0]), to])
        scheduler._step_index = None
    else:  # DDIM steps by (training steps / steps): one step of the wanted width
        scheduler.num_inference_steps = 1
        scheduler.register_to_config(num_train_timesteps=int(here.noise_levels[0] - to))
    return read_table(scheduler)
