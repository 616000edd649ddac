"""A live run (`scheduler.observation.recording`) as the simulator takes it: the same arrivals, predictions, devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from core.profiles import Profile, parse_profile
from scheduler.observation.calibration import Correction, corrected
from scheduler.observation.recording import Kept, hand_over, likeness
from scheduler.observation.stored_plan import corrections_of
from scheduler.policies import Cluster
from scheduler.simulate.config import SimConfig
from scheduler.simulate.workload import Workload


def config(kept: Kept, seed: int, losses: bool = True, **instead: Any) -> SimConfig:
    """The system as it was; `instead` takes the place of what it had (`policy`, `workers`), `losses` are of a live
    system."""
    about = kept.about
    had: dict[str, Any] = {
        "policy": about["policy"],
        "profiles": _profiles(about["profiles"]),
        **{name: about[name] for name in ("workers", "slo_s", "tick_s")},
        "history": tuple(about["history"]),
        "seed": seed,
        **(losses_of(kept) | {"believed": _believed(about)} if losses else {}),
    }
    return SimConfig(**{**had, **instead})


def losses_of(kept: Kept) -> dict[str, float]:
    """What live lost; records of before counted the hand-over of those, too, who found others waiting."""
    found: dict[str, float] = kept.about["losses"]
    return {**found, "hand_over_s": hand_over(kept.requests["at"], kept.requests["started"])}


def _believed(about: Mapping[str, Any]) -> tuple[tuple[float, Mapping[str, Profile]], ...]:
    """What each plan took the profiles for; records of before do not say."""
    measured = _profiles(about.get("measured", ()))
    return tuple(
        (at, {d: corrected(profile, known.get(d, Correction())) for d, profile in measured.items()})
        for at, known in ((at, corrections_of({"corrections": these})) for at, these in about.get("corrections", ()))
    )


def _profiles(found: Iterable[Mapping[str, Any]]) -> dict[str, Profile]:
    return {profile.device: profile for profile in map(parse_profile, found)}


def _cluster(about: Mapping[str, Any]) -> Cluster:
    return Cluster(_profiles(about["profiles"]), about["slo_s"])


def work(kept: Kept, losses: bool = True) -> Workload:
    """Each request is a prompt of its own; what it was predicted stands for the truth."""
    requests, cluster = kept.requests, _cluster(kept.about)
    quality, n = np.array(requests["qualities"], float), len(requests["at"])
    alike = [likeness(row, cluster) for row in requests["qualities"]]  # records of before have that of hits only
    return Workload(
        times=np.array(requests["at"], float),
        rows=np.arange(n),
        truth=quality,
        predicted=quality,
        prompts=tuple(requests["prompt"]),
        similarity=np.maximum(np.array(requests["similarity"], float), alike),
        batch=np.array(requests.get("batch", [False] * n), bool),
        duration_s=float(requests["at"][-1]) + 1.0,
        **_own(requests, quality.shape[1]),
        paces=np.array(requests["pace"], float) if losses and "pace" in requests else None,
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
