"""The sampler of each row, on diffusers' own schedulers.

A deterministic first-order sampler is linear: x' = a·x + b·prediction, with coefficients that depend on the step alone.
They are read off diffusers' scheduler by stepping it on (1, 0) and (0, 1), so the two agree by construction, and a
whole batch advances in one operation (`StepTable`). Every other sampler keeps a scheduler object of its own for each
row.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

import diffusers
import torch
from torch import Tensor

from workers.kinds.diffusion import Level
from workers.pipelines.clean_latent import clean_weights, noised_weights
from workers.pipelines.step_table import LINEAR, StepTable, bridge, set_timesteps, step_table

log = logging.getLogger(__name__)

#: May continue at step K from another request's latent: x_K is all the state they have.
RESUMABLE = (
    *LINEAR,
    "DDPMScheduler",
    "EulerAncestralDiscreteScheduler",
    "LCMScheduler",
    "TCDScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
)

#: Right from start to end in shared batches, but with a history of several steps: no continuing across requests.
MULTISTEP = ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler")

SAFE = (*RESUMABLE, *MULTISTEP)
REPLACEMENT = "EulerDiscreteScheduler"


def safe_scheduler(scheduler: Any, wanted: str | None = None, **config: Any) -> Any:
    """The scheduler to use: `wanted` by name, else the checkpoint's own, replaced where it is not safe.

    `config` is what of its configuration is to be other than the checkpoint's.

    PNDM and DPMSolverSDE keep more state than a row carries: resumed at K they miss by 2.5 to 300 times the error of
    the others. SD-1.x checkpoints ship PNDM; Euler reads the same configuration.
    """
    name = wanted or type(scheduler).__name__
    if name in SAFE and name == type(scheduler).__name__ and not config:
        return scheduler
    if name not in SAFE:
        log.warning("scheduler %s is not safe for shared batches: using %s instead", name, REPLACEMENT)
        name = REPLACEMENT
    return getattr(diffusers, name).from_config(scheduler.config, **config)


class SamplerState:
    """The sampler of one row: the step it is at, and all the state it keeps.

    Args:
        scheduler: the model's; copied, never changed.
        steps: of the schedule.
        begin: steps skipped; the row starts at `begin` of `steps` (times the scheduler's order).
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
        self.table = step_table(scheduler, steps, **timing)
        self._timing = timing
        self.template = scheduler
        if self.table is None:
            self._copy_scheduler(scheduler, begin)
        else:
            self.noise_scale = self.table.noise_scale
            self.table = self.table.after(begin)
        self.index = 0  # forwards done

    def _copy_scheduler(self, scheduler: Any, begin: int) -> None:
        self.scheduler = copy.deepcopy(scheduler)
        set_timesteps(self.scheduler, self.steps, self._timing)
        first = begin * self.scheduler.order
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(first)
        self.noise_scale = float(getattr(self.scheduler, "init_noise_sigma", 1.0))
        self.times = self.scheduler.timesteps[first:]

    def __len__(self) -> int:
        """Forwards from start to end."""
        return len(self.times if self.table is None else self.table)

    @property
    def remaining(self) -> int:
        """Forwards still to run."""
        return len(self) - self.index

    @property
    def done(self) -> bool:
        return self.remaining <= 0

    @property
    def linear(self) -> bool:
        """Whether its steps are coefficients of a table, so that a batch advances in one operation."""
        return self.table is not None

    def coefficient(self, name: str) -> float:
        """`input_scale`, `latent_weight` or `prediction_weight` of the next step."""
        return float(getattr(self.table, name)[self.index])

    @property
    def time(self) -> Tensor:
        """The model's time at the next forward, a tensor without axes."""
        return (self.times if self.table is None else self.table.times)[self.index]

    @property
    def steps_done(self) -> int:
        """Whole steps of the schedule done or skipped; forwards of a second-order step count together."""
        order = 1 if self.table is not None else self.scheduler.order
        return self.steps - -(-self.remaining // order)

    def clean_weights(self) -> tuple[float, float] | None:
        """(c, d) of the clean latent x̂₀ = c·x + d·prediction at the next forward; None in the middle of a step."""
        if self.table is None and not getattr(self.scheduler, "state_in_first_order", True):
            return None
        return clean_weights(self.template, self._noise_level)

    @property
    def _noise_level(self) -> float:
        """Where the next step begins: a sigma, or a timestep of the training's for schedulers without sigmas."""
        if self.table is not None:
            return float(self.table.noise_levels[self.index])
        if not hasattr(self.scheduler, "sigmas"):
            return float(self.time)
        at = self.scheduler.step_index  # None before the first step
        return float(self.scheduler.sigmas[self.scheduler.begin_index if at is None else at])

    def scale_input(self, latent: Tensor) -> Tensor:
        """The model's input for this latent, for samplers without a table."""
        scaled: Tensor = self.scheduler.scale_model_input(latent, self.time)
        return scaled

    def step(self, prediction: Tensor, latent: Tensor) -> Tensor:
        """The next latent, for samplers without a table. Where it raises the sampler is as before."""
        draws = self.generator is not None and _draws(self.scheduler)
        extra = {"generator": self.generator} if draws else {}
        before = {name: list(v) if isinstance(v, list) else v for name, v in vars(self.scheduler).items()}
        drawn = self.generator.get_state() if draws and self.generator is not None else None
        try:
            stepped: Tensor = self.scheduler.step(prediction, self.time, latent, return_dict=False, **extra)[0]
            return stepped
        except Exception:
            vars(self.scheduler).update(before)
            if drawn is not None and self.generator is not None:
                self.generator.set_state(drawn)
            raise

    def history(self) -> list[Tensor]:
        """What the sampler keeps of earlier steps, where it has no table."""
        return [] if self.table is not None else _latents(list(vars(self.scheduler).values()))

    def move_to(self, device: torch.device) -> None:
        """Bring the history to a device; the schedule stays where it is."""
        if self.table is None:
            for name, value in list(vars(self.scheduler).items()):
                setattr(self.scheduler, name, _moved(value, device))

    def add_noise(self, clean: Tensor, noise: Tensor) -> Tensor:
        """A clean latent noised as far as this row's is now."""
        if self.done:
            return clean
        signal, rest = noised_weights(self.template, self._noise_level)
        return signal * clean + rest * noise

    def remaining_on(self, steps: int) -> int | None:
        """Forwards that would remain on the schedule of fewer steps; None where that would save nothing."""
        rest = self._rest_of(steps)
        return None if rest is None else 1 + len(rest)

    def shorten(self, steps: int) -> bool:
        """Continue on the schedule of fewer steps: one bridging step to its next time, then its own.

        False where that would save nothing.
        """
        rest = self._rest_of(steps)
        if self.table is None or rest is None:
            return False
        bridging = bridge(self.template, self.table.after(self.index), float(rest.noise_levels[0]))
        self.table, self.index, self.steps = bridging.then(rest), 0, steps
        return True

    def _rest_of(self, steps: int) -> StepTable | None:
        """The steps of a shorter schedule that lie ahead; None where they save nothing, or the sampler has no table."""
        shorter = None if self.done else step_table(self.template, steps, **_retimed(self._timing, steps))
        if self.table is None or shorter is None:
            return None
        rest = shorter.after(int((shorter.times >= self.time).sum()))  # from the first of its times that lies ahead
        return rest if 1 + len(rest) < self.remaining else None


def place_of(sampler: SamplerState, ahead: int = 0) -> Level:
    """Where a linear sampler is, or will be so many steps later: x = signal·x₀ + noise·ε."""
    table, at = sampler.table, sampler.index + ahead
    assert table is not None, "not linear"
    if at >= len(sampler):
        return Level(0.0, 1.0, 0.0)
    return Level(float(table.times[at]), *noised_weights(sampler.template, float(table.noise_levels[at])))


def times_left(sampler: SamplerState) -> list[float]:
    """The model's times of the forwards still to run."""
    times = sampler.times if sampler.table is None else sampler.table.times
    return [float(time) for time in times[sampler.index :]]


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
