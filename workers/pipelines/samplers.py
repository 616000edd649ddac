"""Walks from noise to image, on diffusers' own schedulers.

A deterministic first-order sampler is affine: x' = keep·x + move·prediction, with numbers that depend on the step
alone. Those numbers are read off diffusers' scheduler by stepping it on (1, 0) and (0, 1), so the two agree by
construction, and a whole batch advances in one operation (`Table`). Every other sampler keeps a scheduler object a
row (`Walk.scheduler`).
"""

from __future__ import annotations

import copy
import json
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import diffusers
import torch
from torch import Tensor

log = logging.getLogger(__name__)

AFFINE = ("DDIMScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler")

#: May be resumed at K by another request: x_K is all they remember (METHODS.md §2, tried).
RESUMABLE = (
    *AFFINE,
    "DDPMScheduler",
    "EulerAncestralDiscreteScheduler",
    "LCMScheduler",
    "TCDScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
)

#: Right from start to end in fused batches, but with a history of several steps: no resuming across requests.
MULTISTEP = ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler")

SAFE = (*RESUMABLE, *MULTISTEP)
REPLACEMENT = "EulerDiscreteScheduler"


def safe_scheduler(scheduler: Any, wanted: str | None = None) -> Any:
    """The scheduler to use: `wanted` by name, else the checkpoint's own, swapped where it is not safe.

    PNDM and DPMSolverSDE remember more than a row carries: resumed at K they miss by 2.5 to 300 times the error of
    the others (METHODS.md §2). SD-1.x checkpoints ship PNDM; Euler reads the same configuration.
    """
    name = wanted or type(scheduler).__name__
    if name in SAFE and name == type(scheduler).__name__:
        return scheduler
    if name not in SAFE:
        log.warning("scheduler %s is not safe for shared batches: using %s instead", name, REPLACEMENT)
        name = REPLACEMENT
    return getattr(diffusers, name).from_config(scheduler.config)


@dataclass(frozen=True)
class Table:
    """The n steps of an affine sampler: model time, input scale, and x' = keep·x + move·prediction for each.

    `levels` are the n + 1 noise levels between which the steps lead: sigmas, or timesteps with -1 for a clean image
    (DDIM). `times` has the dtype of the scheduler's timesteps, the others are float64; all lie on the CPU.
    """

    times: Tensor
    scale: Tensor
    keep: Tensor
    move: Tensor
    levels: Tensor
    noise: float  # what standard normal noise is multiplied with before the first step

    def __len__(self) -> int:
        return len(self.times)

    def after(self, index: int) -> Table:
        """What remains when `index` steps are done."""
        rest = {name: getattr(self, name)[index:] for name in ("times", "scale", "keep", "move", "levels")}
        return Table(**rest, noise=self.noise)

    def then(self, rest: Table) -> Table:
        """These steps, then those of `rest`, which must begin at the level where these end."""
        names = ("times", "scale", "keep", "move")
        joined = {name: torch.cat([getattr(self, name), getattr(rest, name)]) for name in names}
        return Table(**joined, levels=torch.cat([self.levels[:-1], rest.levels]), noise=self.noise)


def affine_table(scheduler: Any, steps: int, **timing: Any) -> Table | None:
    """The table of a scheduler for so many steps, or None where its steps are not affine."""
    config = scheduler.config
    clipped = config.get("thresholding") or config.get("clip_sample") or config.get("stochastic_sampling")
    if type(scheduler).__name__ not in AFFINE or clipped:
        return None
    timing = {name: tuple(map(float, value)) if name == "sigmas" else value for name, value in timing.items()}
    key = json.dumps(dict(config), sort_keys=True, default=str)
    kind: Any = type(scheduler)
    return _cached_table(kind, key, steps, tuple(sorted(timing.items())))


@lru_cache(maxsize=512)
def _cached_table(kind: Any, config: str, steps: int, timing: tuple[tuple[str, Any], ...]) -> Table:
    scheduler = kind.from_config(json.loads(config))
    _set_timesteps(scheduler, steps, dict(timing))
    return _read(scheduler)


def _set_timesteps(scheduler: Any, steps: int, timing: dict[str, Any]) -> None:
    if "sigmas" in timing:
        scheduler.set_timesteps(sigmas=list(timing["sigmas"]), **{k: v for k, v in timing.items() if k != "sigmas"})
    else:
        scheduler.set_timesteps(steps, **timing)


def _read(scheduler: Any) -> Table:
    """Step the scheduler on (x, prediction) = (1, 0) and (0, 1) at each of its timesteps."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    ones, zeros = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 1.0]).double()
    scale, answers = [], []
    for time in scheduler.timesteps:
        scaled = scheduler.scale_model_input(ones, time) if hasattr(scheduler, "scale_model_input") else ones
        scale.append(scaled[0].double())
        answers.append(scheduler.step(zeros, time, ones, return_dict=False)[0].double())
    keep, move = torch.stack(answers).unbind(1)
    noise = float(getattr(scheduler, "init_noise_sigma", 1.0))
    return Table(scheduler.timesteps.clone(), torch.stack(scale), keep, move, _levels(scheduler), noise)


def _levels(scheduler: Any) -> Tensor:
    if hasattr(scheduler, "sigmas"):
        return scheduler.sigmas.double()
    return torch.cat([scheduler.timesteps.double(), torch.tensor([-1.0]).double()])


def _bridge(template: Any, here: Table, to: float) -> Table:
    """One step from where `here` begins straight to noise level `to`, in the scheduler's own arithmetic."""
    scheduler = copy.deepcopy(template)
    scheduler.timesteps = here.times[:1]
    if hasattr(scheduler, "sigmas"):
        scheduler.sigmas = torch.tensor([float(here.levels[0]), to])
        scheduler._step_index = None
    else:  # DDIM steps by (training steps / steps): one step of the wanted width
        scheduler.num_inference_steps = 1
        scheduler.register_to_config(num_train_timesteps=int(here.levels[0] - to))
    return _read(scheduler)


class Walk:
    """One row's way from noise to image: where it stands, and all the state its sampler keeps.

    Args:
        scheduler: the model's; copied, never changed.
        steps: of the schedule.
        begin: steps skipped; the walk starts at `begin` of `steps` (times the scheduler's order).
        generator: the row's own; ancestral samplers draw from it.
        timing: what the pipeline passes to `set_timesteps` (`mu`, `sigmas`).
    """

    def __init__(
        self,
        scheduler: Any,
        steps: int,
        begin: int = 0,
        generator: torch.Generator | None = None,
        **timing: Any,
    ) -> None:
        self.steps = steps
        self.generator = generator
        self.table = affine_table(scheduler, steps, **timing)
        self._timing = timing
        self._template = scheduler
        if self.table is None:
            self._own(scheduler, begin)
        else:
            self.noise = self.table.noise
            self.table = self.table.after(begin)
        self.index = 0  # forwards done

    def _own(self, scheduler: Any, begin: int) -> None:
        self.scheduler = copy.deepcopy(scheduler)
        _set_timesteps(self.scheduler, self.steps, self._timing)
        first = begin * self.scheduler.order
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(first)
        self.noise = float(getattr(self.scheduler, "init_noise_sigma", 1.0))
        self.times = self.scheduler.timesteps[first:]

    def __len__(self) -> int:
        """Forwards from start to end."""
        return len(self.times if self.table is None else self.table)

    @property
    def left(self) -> int:
        return len(self) - self.index

    @property
    def done(self) -> bool:
        return self.left <= 0

    @property
    def affine(self) -> bool:
        """Whether its steps are numbers of a table, so that a batch advances in one operation."""
        return self.table is not None

    def now(self, what: str) -> float:
        """`scale`, `keep` or `move` of the next step."""
        return float(getattr(self.table, what)[self.index])

    @property
    def time(self) -> Tensor:
        """The model's time at the next forward, a tensor without axes."""
        return (self.times if self.table is None else self.table.times)[self.index]

    @property
    def step_of_schedule(self) -> int:
        """How many whole steps of the schedule lie behind; forwards of a second-order step count together."""
        order = 1 if self.table is not None else self.scheduler.order
        return self.steps - -(-self.left // order)

    def scale(self, latent: Tensor) -> Tensor:
        """The model's input for this latent, for samplers without a table."""
        return self.scheduler.scale_model_input(latent, self.time)

    def step(self, prediction: Tensor, latent: Tensor) -> Tensor:
        """The next latent, for samplers without a table."""
        extra = {} if self.generator is None or not _draws(self.scheduler) else {"generator": self.generator}
        return self.scheduler.step(prediction, self.time, latent, return_dict=False, **extra)[0]

    def memory(self) -> list[Tensor]:
        """What the sampler remembers of earlier steps, where it has no table."""
        return [] if self.table is not None else _latents(list(vars(self.scheduler).values()))

    def move(self, device: torch.device) -> None:
        """Bring that memory to a device; the schedule stays where it is."""
        if self.table is None:
            for name, value in list(vars(self.scheduler).items()):
                setattr(self.scheduler, name, _moved(value, device))

    def noised(self, clean: Tensor, noise: Tensor) -> Tensor:
        """A finished latent as it would look where this walk begins."""
        scheduler = copy.deepcopy(self._template)
        _set_timesteps(scheduler, self.steps, self._timing)
        add = scheduler.add_noise if hasattr(scheduler, "add_noise") else None
        time = self.time[None]
        noisy = add(clean[None], noise[None], time) if add else scheduler.scale_noise(clean[None], time, noise[None])
        return noisy[0]

    def left_of(self, steps: int) -> int | None:
        """Forwards that would remain on the schedule of fewer steps; None where that would save nothing."""
        rest = self._rest_of(steps)
        return None if rest is None else 1 + len(rest)

    def _rest_of(self, steps: int) -> Table | None:
        """The steps of a shorter schedule that lie ahead; None where they save nothing, or the sampler has no table."""
        shorter = None if self.done else affine_table(self._template, steps, **_retimed(self._timing, steps))
        if self.table is None or shorter is None:
            return None
        rest = shorter.after(int((shorter.times >= self.time).sum()))  # from the first of its times that lies ahead
        return rest if 1 + len(rest) < self.left else None

    def shorten(self, steps: int) -> bool:
        """Go on along the schedule of fewer steps: one bridging step to its next time, then its own.

        False where that would save nothing.
        """
        rest = self._rest_of(steps)
        if self.table is None or rest is None:
            return False
        bridge = _bridge(self._template, self.table.after(self.index), float(rest.levels[0]))
        self.table, self.index, self.steps = bridge.then(rest), 0, steps
        return True


def _latents(value: Any) -> list[Tensor]:
    """The tensors of several axes in a value or list: a scheduler's other tensors are its schedule."""
    if isinstance(value, list):
        return [tensor for one in value for tensor in _latents(one)]
    return [value] if isinstance(value, Tensor) and value.dim() > 1 else []


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [_moved(one, device) for one in value]
    return value.to(device) if _latents(value) else value


def _draws(scheduler: Any) -> bool:
    return "generator" in scheduler.step.__code__.co_varnames


def _retimed(timing: dict[str, Any], steps: int) -> dict[str, Any]:
    """Flux names its sigmas itself: 1 down to 1/steps."""
    if "sigmas" not in timing:
        return timing
    return {**timing, "sigmas": torch.linspace(1.0, 1 / steps, steps).tolist()}
