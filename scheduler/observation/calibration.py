"""Profiles that learn: live timings correct the profile in force, within bounds and visibly.

A profile is measured on an idle device, request by request, without claims and stores. A device that is shared, hot or
simply another one of its kind is slower, and a worker has more to do than steps; a plan at the measured speed would
fill its queue. Learned from recent requests (docs/decisions/0037) are, by model:

- `factors`: the device's work on steps over what the profile gives them, in batches as full as they really were. The
  median of recent requests (a page fault is no trend).
- `p90_ratios`: what nine of ten steps take, whatever else their core did meanwhile, over that. Deadlines are checked
  with it.
- `overhead_s`: seconds of a full worker that each request takes outside all steps. Where a device steps on while others
  are claimed, encoded, decoded and stored this is next to nothing; where all share a core it can be most.

and, for all, `fetch_s`: what fetching a cached latent takes. Each moves by `GAIN` of the gap a tick and stays within
`BOUNDS`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median, quantiles
from typing import Any

from core.profiles import LevelProfile, Profile

BOUNDS = (0.5, 4.0)  # a device may be twice as fast as measured, or four times as slow
GAIN = 0.5
P90_RATIO_MAX = 2.0
FULL = 0.8  # share of the time in which a worker has requests, from which it counts as full
FORGET = 0.1  # of the gap a tick, for what nobody measures any more
MIN_TIMINGS = 5  # of a level before they count


@dataclass(frozen=True)
class Timing:
    """What one finished request took.

    `step_s` mean seconds of its forwards, `work_s` of the device's work on them, `rows` their mean rows; `share_s`
    seconds of the work on all its steps, each shared by the rows that took it; `started` and `ended`, Unix seconds, are
    from claim to stored image on `worker`. One that is not `as_profiled` (of another size, with LoRAs, begun with an
    image) tells nothing of its level.
    """

    level: str
    step_s: float
    work_s: float
    steps: int
    rows: float
    share_s: float
    worker: str = ""
    started: float = 0.0
    ended: float = 0.0
    as_profiled: bool = True


@dataclass(frozen=True)
class Correction:
    """How a type of device differs now from its profile; see above. Empty: as measured."""

    factors: Mapping[str, float] = field(default_factory=dict)
    p90_ratios: Mapping[str, float] = field(default_factory=dict)
    overhead_s: Mapping[str, float] = field(default_factory=dict)
    fetch_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def learned(
    profile: Profile,
    timings: Sequence[Timing],
    prepared: tuple[Sequence[float], Sequence[float]],
    probed_s: float | None,
    before: Correction,
) -> Correction:
    """The correction of the coming tick, from that of the tick before and what recent requests took.

    Args:
        prepared: seconds that requests took to prepare: those that found a cached latent, and the others.
        probed_s: what a fetch takes by the workers' own probes of the cache; None: not known.
    """
    return Correction(
        factors(profile, timings, before.factors),
        p90_ratios(profile, timings, before.p90_ratios),
        overheads(profile, timings, before.overhead_s),
        fetch_time(profile, *prepared, probed_s, before.fetch_s),
    )


def corrected(profile: Profile, now: Correction) -> Profile:
    """The profile as the device and its cache behave now."""
    slowed = tuple(_slowed(level, now) for level in profile.levels)
    new = profile.model_copy(update={"levels": slowed})
    return new if now.fetch_s is None else with_fetch_time(new, now.fetch_s)


# --- steps -----------------------------------------------------------------------------------------------------------


def factors(profile: Profile, timings: Sequence[Timing], before: Mapping[str, float]) -> dict[str, float]:
    """Cost factor of steps by model (1: as measured; 2: twice as slow).

    Levels of a model share its weights and batches, so they share its factor. A model nobody runs drifts to the factor
    of those that run: one that was slow on a busy day is not given up for ever.
    """
    now = {model: before.get(model, 1.0) for model in {level.holds for level in profile.levels}}
    known = {model: median(work) for model, (work, _) in _ratios(profile, timings).items()}
    for model, ratio in known.items():
        now[model] += GAIN * (_bounded(ratio) - now[model])
    for model in now.keys() - known.keys() if known else ():
        now[model] += FORGET * (median(now[m] for m in known) - now[model])
    return {model: _bounded(factor) for model, factor in now.items()}


def p90_ratios(profile: Profile, timings: Sequence[Timing], before: Mapping[str, float]) -> dict[str, float]:
    """Ninth decile of the steps' times over the median of the work on them by model, from 1 to `P90_RATIO_MAX`; models
    not run stay."""
    now = {level.holds: before.get(level.holds, 1.0) for level in profile.levels}
    for model, (work, times) in _ratios(profile, timings).items():
        decile = quantiles(times, n=10, method="inclusive")[-1]
        now[model] += GAIN * (min(max(decile / median(work), 1.0), P90_RATIO_MAX) - now[model])
    return now


def _ratios(profile: Profile, timings: Sequence[Timing]) -> dict[str, tuple[list[float], list[float]]]:
    """By model, of each request: the work on its steps, and their time, over what the profile gives them; few timings
    tell nothing."""
    found: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for model, timing in _known(profile, timings):
        if timing.as_profiled and timing.steps:
            step_s = expected_s(profile.level(timing.level), timing) / timing.steps
            work, times = found[model]
            work.append(timing.work_s / step_s)
            times.append(timing.step_s / step_s)
    return {model: ratios for model, ratios in found.items() if len(ratios[0]) >= MIN_TIMINGS}


def expected_s(level: LevelProfile, timing: Timing) -> float:
    """Seconds the profile gives this request's steps, in batches as full as they were."""
    if level.batch:
        return level.curve.step_s(max(1.0, timing.rows)) * timing.steps
    return max(level.latency_s - level.encode_s - level.decode_s, 1e-6)


# --- overhead --------------------------------------------------------------------------------------------------------


def overheads(profile: Profile, timings: Sequence[Timing], before: Mapping[str, float]) -> dict[str, float]:
    """Worker-seconds of a request outside its steps, by model; as measured where nothing has been observed.

    The seconds in which a worker had any request, between the first and the last of them to end, less the work on their
    shares of the forwards, are what it spent outside steps. Models take turns, so no request shows its own: what is
    more than encoding and decoding in the profile (claims, storing, a core that others use) falls on all alike; where
    it is less, each has as much less. A worker that is not full has nothing to step on with meanwhile, so it can only
    show that less is taken. At most what `BOUNDS` makes of the model's fastest request alone.
    """
    measured = {level.holds: level.encode_s + level.decode_s for level in profile.levels}
    now = {model: before.get(model, seconds) for model, seconds in measured.items()}
    runs: dict[str, list[tuple[str, Timing]]] = defaultdict(list)
    for model, timing in _known(profile, timings):
        if timing.ended > timing.started:
            runs[timing.worker].append((model, timing))
    observed: dict[str, list[float]] = defaultdict(list)
    for run in runs.values():
        if len(run) > MIN_TIMINGS:
            full, each = _outside(run, measured)
            for model, seconds in each.items():
                observed[model].append(seconds if full else min(seconds, now[model]))
    for model, values in observed.items():
        most = BOUNDS[1] * min(level.latency_s for level in profile.levels if level.holds == model)
        now[model] += GAIN * (min(max(fmean(values), 0.0), most) - now[model])
    return now


def _outside(run: Sequence[tuple[str, Timing]], measured: Mapping[str, float]) -> tuple[bool, dict[str, float]]:
    """Of one worker's requests: whether it was full, and its busy seconds outside steps a request of each model that
    has enough of them."""
    first, *counted = sorted((timing for _, timing in run), key=lambda timing: timing.ended)
    busy, reached = 0.0, first.ended
    for timing in sorted(counted, key=lambda timing: timing.started):
        busy += max(0.0, timing.ended - max(timing.started, reached))
        reached = max(reached, timing.ended)
    mean_s = busy / len(counted) - fmean(timing.share_s for timing in counted)
    counts = Counter(model for model, _ in run)
    usual_s = sum(measured[model] * count for model, count in counts.items()) / len(run)
    more_s, share = max(0.0, mean_s - usual_s), min(1.0, mean_s / usual_s) if usual_s else 0.0
    each = {model: share * measured[model] + more_s for model, count in counts.items() if count >= MIN_TIMINGS}
    return busy >= FULL * (reached - first.ended), each


# --- fetching --------------------------------------------------------------------------------------------------------


def fetch_time(
    profile: Profile, hits: Sequence[float], misses: Sequence[float], probed_s: float | None, before: float | None
) -> float:
    """Seconds that fetching a cached latent takes now: how much longer hits took to prepare than other requests.

    Too few hits say nothing. What workers' probes took stands in then, so that a cache which has become fast again is
    used again; without either nothing is learned, and nothing forgotten.
    """
    known = max((level.fetch_s for level in profile.levels), default=0.0) if before is None else before
    if len(hits) >= MIN_TIMINGS and len(misses) >= MIN_TIMINGS:
        return known + GAIN * (max(0.0, median(hits) - median(misses)) - known)
    return known if probed_s is None else known + GAIN * (probed_s - known)


def with_fetch_time(profile: Profile, fetch_s: float) -> Profile:
    """The profile when fetching takes this long. This is what moves load from caching to smaller models (Argus, §4.4).

    A request holds its slot in the worker while its latent is fetched. With n slots, a level that carries r requests a
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


# --- parts -----------------------------------------------------------------------------------------------------------


def _known(profile: Profile, timings: Sequence[Timing]) -> list[tuple[str, Timing]]:
    """Timings of the profile's levels, with the model each holds."""
    return [(profile.level(t.level).holds, t) for t in timings if t.level in profile.ids]


def _slowed(level: LevelProfile, now: Correction) -> LevelProfile:
    """Steps slowed by the model's factor; the overhead as observed, else as measured."""
    factor, measured = now.factors.get(level.holds, 1.0), level.encode_s + level.decode_s
    overhead_s = now.overhead_s.get(level.holds, measured)
    steps_s = max(60 / level.requests_per_minute - measured, 1e-6)
    alone_s = max(level.latency_s - measured - level.fetch_s, 0.0)
    change = {
        "latency_s": level.fetch_s + max(overhead_s, measured) + alone_s * factor,
        "requests_per_minute": 60 / (steps_s * factor + overhead_s),
        "batch": [{"size": point.size, "step_s": point.step_s * factor} for point in level.batch],
        "p90_ratio": now.p90_ratios.get(level.holds, 1.0),
    }
    return LevelProfile.model_validate({**level.model_dump(), **change})


def _bounded(factor: float) -> float:
    return min(max(factor, BOUNDS[0]), BOUNDS[1])
