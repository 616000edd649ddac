"""What people call a sampler: diffusers' classes in the words of AUTOMATIC1111's web UI (modules/sd_samplers*.py)."""

from __future__ import annotations

from typing import Any

NAMES = {
    "DDIMScheduler": "DDIM",
    "DDPMScheduler": "DDPM",
    "EulerAncestralDiscreteScheduler": "Euler a",
    "EulerDiscreteScheduler": "Euler",
    "FlowMatchEulerDiscreteScheduler": "Euler",
    "HeunDiscreteScheduler": "Heun",
    "KDPM2DiscreteScheduler": "DPM2",
    "LCMScheduler": "LCM",
    "UniPCMultistepScheduler": "UniPC",
}
NOISES = (("use_karras_sigmas", "Karras"), ("use_exponential_sigmas", "Exponential"), ("use_beta_sigmas", "Beta"))


def common_name(scheduler: Any) -> str:
    """The name of a diffusers scheduler; of a class that the web UI does not have, what the class is called."""
    kind = type(scheduler).__name__
    if kind == "DPMSolverMultistepScheduler":
        return _dpm(scheduler.config)
    return NAMES.get(kind, kind.removesuffix("Scheduler").removesuffix("Multistep"))


def schedule_name(scheduler: Any) -> str | None:
    """The name of its noise schedule; none where it is the usual one."""
    return next((name for option, name in NOISES if scheduler.config.get(option)), None)


def _dpm(config: Any) -> str:
    """`DPM++ 2M`, `DPM++ 3M SDE`, …: the formulation, the order, and whether noise is added on the way."""
    kind = config["algorithm_type"]
    family = "DPM++" if "++" in kind else "DPM"
    return f"{family} {config['solver_order']}M{' SDE' if kind.startswith('sde') else ''}"
