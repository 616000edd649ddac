"""A live run (`scheduler.observation.recording`) as the simulator takes it: the same arrivals, predictions, devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.profiles import parse_profile
from scheduler.observation.recording import Kept
from scheduler.simulate.config import SimConfig
from scheduler.simulate.workload import Workload


def config(kept: Kept, seed: int, losses: bool = True, **instead: Any) -> SimConfig:
    """The system as it was; `instead` takes the place of what it had (`policy`, `workers`), `losses` are of a live
    system."""
    about = kept.about
    had: dict[str, Any] = {
        "policy": about["policy"],
        "profiles": {profile.device: profile for profile in map(parse_profile, about["profiles"])},
        **{name: about[name] for name in ("workers", "slo_s", "tick_s")},
        "history": tuple(about["history"]),
        "seed": seed,
        **(about["losses"] if losses else {}),
    }
    return SimConfig(**{**had, **instead})


def work(kept: Kept) -> Workload:
    """Each request is a prompt of its own; what it was predicted stands for the truth."""
    requests = kept.requests
    quality, n = np.array(requests["qualities"], float), len(requests["at"])
    return Workload(
        times=np.array(requests["at"], float),
        rows=np.arange(n),
        truth=quality,
        predicted=quality,
        prompts=tuple(requests["prompt"]),
        similarity=np.array(requests["similarity"], float),
        batch=np.array(requests.get("batch", [False] * n), bool),
        duration_s=float(requests["at"][-1]) + 1.0,
        **_own(requests, quality.shape[1]),
    )


def _own(requests: Mapping[str, list[Any]], levels: int) -> dict[str, Any]:
    """What each request has of its own; records of before have none of it."""
    if "target_s" not in requests:
        return {}
    lengths = np.array(requests["length"], float)
    tenants = requests["tenant"]
    return {
        "target_s": np.array(requests["target_s"], float),
        "floors": np.array(requests["floor"], float),
        "lengths": None if np.all(lengths == 1) else np.repeat(lengths[:, None], levels, axis=1),
        "tenants": tuple(tenants) if len(set(tenants)) > 1 else (),
    }
