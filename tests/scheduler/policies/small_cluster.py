"""Eight workers, three levels and a request, for the tests of policies and of what asks them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.profiles import Profile, parse_profile
from scheduler.policies import Cluster, Epoch, LoadState, Observation, Policy, Request, Worker, make_policy

SLO = 12.6


WORKER = Worker("w", "a100", "sdxl")


def profile(**models: str) -> Profile:
    """exact 4.2 s, ac-10 3.36 s, ac-25 2.1 s; `models` names what each runs on (default: one model for all)."""
    costs = {"exact": (4.2, 1.0), "ac-10": (3.36, 0.958), "ac-25": (2.1, 0.915)}
    levels = [
        {
            "id": name,
            "strategy": name.partition("-")[0],
            "requests_per_minute": 60 / seconds,
            "latency_s": seconds,
            "quality": quality,
            "model": models.get(name.replace("-", "_")),
        }
        for name, (seconds, quality) in costs.items()
    ]
    return parse_profile({"family": "sdxl", "device": "a100", "levels": levels})


def cluster(**models: str) -> Cluster:
    return Cluster({"a100": profile(**models)}, SLO)


def observed(rate: float, current: dict[str, int] | None = None, n: int = 64, **rest: object) -> Observation:
    tolerance = np.random.default_rng(0).exponential(size=n)
    sample = 1 - tolerance[:, None] * np.array([0.0, 0.042, 0.085])
    base = Observation(0.0, rate, 0.0, sample, np.zeros(n), {}, {"a100": 8}, {"a100": current or {}})
    return replace(base, **rest)  # type: ignore[arg-type]


def request(quality: tuple[float, ...] = (1.0, 0.96, 0.92), arrived: float = 0.0, **rest: object) -> Request:
    return Request("r", "a cat", arrived, arrived + SLO, quality, **rest)  # type: ignore[arg-type]


def load_state(rate: float = 1.0, waiting: int = 0, now: float = 0.0, models: tuple[str, ...] = ("sdxl",)) -> LoadState:
    return LoadState(now, rate, dict.fromkeys(models, waiting), dict.fromkeys(models, 8 // len(models)))


def argus(rate: float = 1.0, **models: str) -> tuple[Policy, Epoch]:
    policy = make_policy("argus", cluster(**models))
    return policy, policy.plan(observed(rate))


def sized(**memory_mb: float) -> Cluster:
    """Models `big` (exact, ac-10) and `small` (ac-25) that take so much memory."""
    data = profile(exact="big", ac_10="big", ac_25="small").model_dump()
    for level in data["levels"]:
        level["memory_mb"] = memory_mb.get(level["model"], 0.0)
    return Cluster({"a100": parse_profile(data)}, SLO)
