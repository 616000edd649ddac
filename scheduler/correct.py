"""Profiles that learn: live timings correct the profile in force, within bounds and visibly.

A profile is measured on an idle device. A device that is shared, hot or simply another one of its kind is slower;
planning it at the measured speed fills its queue. So the ratio of what a request took to what the profile says it should
have taken, in batches of the size it really ran in, multiplies the level's cost. The correction is the median of recent
requests (a page fault is no trend), moves by `GAIN` of the gap a tick, and stays in `BOUNDS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from core.profiles import LevelProfile, Profile

BOUNDS = (0.5, 4.0)  # a device may be twice as fast as measured, or four times as slow
GAIN = 0.5
FORGET = 0.05  # of the gap a tick, for what nobody measures any more
FETCH = "fetch_s"  # among a device's factors: seconds, not a factor
LEAST = 5  # timings of a level before they count


@dataclass(frozen=True)
class Timing:
    """What one finished request took. `denoise_s` seconds from first to last step, `rows` mean rows a forward."""

    level: str
    denoise_s: float
    steps: int
    rows: float


def expected_s(level: LevelProfile, timing: Timing) -> float:
    """Seconds the profile gives this request's steps, in batches as full as they were."""
    if level.batch:
        return level.curve.step_s(max(1, round(timing.rows))) * timing.steps
    return max(level.latency_s - level.encode_s - level.decode_s, 1e-6)


def corrections(profile: Profile, timings: Sequence[Timing], before: Mapping[str, float]) -> dict[str, float]:
    """Cost factor by model (1: as measured; 2: twice as slow), from recent timings and the factors of the tick before.

    Levels of a model share its weights and batches, so they share its factor. What nobody runs drifts to the factor of
    what is run: a model that was slow on a busy day is not given up for ever.
    """
    ratios: dict[str, list[float]] = {}
    for timing in timings:
        if timing.level in profile.ids and timing.steps > 0 and timing.denoise_s > 0:
            level = profile.level(timing.level)
            ratios.setdefault(level.holds, []).append(timing.denoise_s / expected_s(level, timing))
    factors = {model: before.get(model, 1.0) for model in {level.holds for level in profile.levels}}
    known = {model: median(seen) for model, seen in ratios.items() if len(seen) >= LEAST}
    for model, ratio in known.items():
        factors[model] += GAIN * (_bounded(ratio) - factors[model])
    for model in factors.keys() - known.keys() if known else ():
        factors[model] += FORGET * (median(factors[m] for m in known) - factors[model])
    return {model: _bounded(factor) for model, factor in factors.items()}


def corrected(profile: Profile, factors: Mapping[str, float]) -> Profile:
    """The profile with each level's steps slowed by its model's factor; what is outside the loop stays as measured."""
    return profile.model_copy(
        update={"levels": tuple(_slowed(level, factors.get(level.holds, 1.0)) for level in profile.levels)}
    )


def fetching(profile: Profile, seen: Sequence[float], plain: Sequence[float], before: float | None) -> float:
    """Seconds that fetching a cached latent takes now: how much longer hits (`seen`) took to prepare than others (`plain`).

    Without hits to go by it drifts back to what the profile measured: a cache that was slow is tried again.
    """
    measured = max((level.fetch_s for level in profile.levels), default=0.0)
    known = measured if before is None else before
    if len(seen) < LEAST or len(plain) < LEAST:
        return known + FORGET * (measured - known)
    return known + GAIN * (max(0.0, median(seen) - median(plain)) - known)


def with_fetching(profile: Profile, fetch_s: float) -> Profile:
    """The profile when fetching takes this long. This is what moves load from caching to smaller models (Argus, §4.4).

    A request holds its place in the worker while its latent is fetched. With n places, a level that carries r requests a
    second when nothing is fetched carries n / (fetch + n/r).
    """
    return profile.model_copy(update={"levels": tuple(_fetched(level, fetch_s) for level in profile.levels)})


def _fetched(level: LevelProfile, fetch_s: float) -> LevelProfile:
    if level.strategy != "ac":
        return level
    minutes = level.rows / level.requests_per_minute
    change = {
        "fetch_s": fetch_s,
        "latency_s": max(level.latency_s + fetch_s - level.fetch_s, 1e-6),
        "requests_per_minute": level.rows / (minutes + fetch_s / 60),
    }
    return LevelProfile.model_validate({**level.model_dump(), **change})


def _slowed(level: LevelProfile, factor: float) -> LevelProfile:
    outside = min(level.encode_s + level.decode_s + level.fetch_s, level.latency_s)
    latency = outside + (level.latency_s - outside) * factor
    change = {
        "latency_s": latency,
        "requests_per_minute": level.requests_per_minute * level.latency_s / latency,
        "batch": [{"size": point.size, "step_s": point.step_s * factor} for point in level.batch],
    }
    return LevelProfile.model_validate({**level.model_dump(), **change})


def _bounded(factor: float) -> float:
    return min(max(factor, BOUNDS[0]), BOUNDS[1])
