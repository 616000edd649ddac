"""What every part shares: profile, prompts, predictions, where the traces are, and running a policy over them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.scheduler.prompts import EMBEDDED, TRAINING, learnt_from, out_of_fold, rescaled, told
from core.profiles import Profile, QualityTable, read_profile, read_quality
from core.settings import ROOT
from core.similarity import allows
from scheduler.policies import Policy
from scheduler.simulate import Report, SimConfig, Workload, simulate, synthetic_quality, workload
from scheduler.simulate.bound import bound
from scheduler.simulate.workload import SIMILARITY
from traces.reader import Trace, read_trace

RESULTS = ROOT / "docs" / "results"
IMAGES = RESULTS / "img"
WORKERS, SLO_FACTOR, NOISE = 8, 3.0, 0.3
BURST = (1740.0, 900.0)  # second of Twitter's hour, seconds
EXACT_CAPACITY = WORKERS * 14.29  # requests a minute of the published profile at `exact`


@dataclass(frozen=True)
class Setup:
    """What every part shares: the profile, the prompts, the predictions, where the traces are.

    `seeds` are those of the parts that have intervals, `seed` that of the others, and of the policies that run under
    one seed only; `jobs` processes run them.
    """

    shared: Path
    seed: int
    seeds: tuple[int, ...] = (1, 2, 3)
    records: Path = RESULTS / "live-runs"  # of live runs, for the part that simulates them again
    jobs: int = 1
    measured: bool = True  # prompts of the embedded family, where its table is there; else synthetic ones
    any_hit: bool = True  # the published ladder was measured with a cached latent for every prompt; False: as live

    @property
    def once(self) -> tuple[int, ...]:
        """The seed of what runs under one only; none where that is not among those that are run."""
        return (self.seed,) if self.seed in self.seeds else ()

    @property
    def from_table(self) -> bool:
        return self.measured and EMBEDDED.exists()

    @cached_property
    def profile(self) -> Profile:
        return read_profile(self.shared / "profiles" / "argus-paper-a100-sdxl.json")

    @cached_property
    def quality(self) -> QualityTable:
        """Measured qualities by prompt of the embedded family, rescaled to the profile's means; else synthetic ones."""
        if self.from_table:
            return rescaled(self.table, self.profile)
        return synthetic_quality(self.profile, self.seed)

    @cached_property
    def table(self) -> QualityTable:
        """The embedded family's table, with the levels that the predictor can learn."""
        table = read_quality(EMBEDDED)
        known = read_quality(TRAINING).levels if TRAINING.exists() else table.levels
        return table.select(tuple(level for level in table.levels if level in known))

    @property
    def predicted(self) -> QualityTable | None:
        """What the predictor says of prompts it was not trained on; None without measured qualities."""
        return _predicted(replace(self, seeds=(), jobs=1, any_hit=True))  # whatever these are

    @property
    def prompts(self) -> str:
        if not self.from_table:
            return (
                f"{len(self.quality)} synthetic prompts whose losses are the profile's means times a tolerance spread "
                f"exponentially; “predicted” is the truth with a log-normal error of {NOISE:g} on the loss"
            )
        return (
            f"{len(self.quality)} prompts measured on the embedded family, their losses rescaled to the profile's "
            f"means; “predicted” is our predictor, {learnt_from()}"
        )

    @property
    def seconds(self) -> np.ndarray:
        return np.array([60 / level.requests_per_minute for level in self.profile.levels])

    @property
    def capacity(self) -> float:
        """Requests a minute with every worker at its cheapest level, as far as prompts find cached latents."""
        bands = ((1.0, 1.0),) if self.any_hit else SIMILARITY
        return 60 * WORKERS / sum(share * self._least_seconds(cosine) for cosine, share in bands)

    def _least_seconds(self, cosine: float) -> float:
        """Worker-seconds of the cheapest level that a prompt just nearer than this to a cached one can be drawn at."""
        nearer, profile = cosine + 1e-9, self.profile
        usable = [lv for lv in profile.levels if lv.strategy != "ac" or allows(nearer, profile.skipped_share(lv.id))]
        return min(60 / level.requests_per_minute for level in usable)

    @property
    def slo_s(self) -> float:
        return SLO_FACTOR * self.profile.reference.latency_s

    def trace(self, name: str) -> Trace:
        return read_trace(self.shared / "traces" / f"{name}.csv")

    @property
    def burst(self) -> Trace:
        """The quarter of an hour around the burst of Twitter's hour; the rest of it is calm, at a fifth of the peak."""
        return self.trace("twitter-burst-hour").window(*BURST)

    def work(self, trace: Trace, seed: int, true: bool = False, **rest: Any) -> Workload:
        told = self.quality if true else self.predicted
        return workload(trace, self.quality, self.profile.ids, seed, NOISE, told, **rest)

    def config(self, policy: str, **rest: Any) -> SimConfig:
        base = SimConfig(policy, {"a100": self.profile}, {"a100": WORKERS}, self.slo_s, any_hit=self.any_hit)
        return replace(base, **rest)

    def run(self, policy: str, work: Workload, made: Policy | None = None, **rest: Any) -> Report:
        return simulate(self.config(policy, **rest), work, made)

    def prepare(self) -> None:
        """Work out what runs share, so that processes need not."""
        _ = self.profile, self.quality, self.predicted

    def least(self, work: Workload, late: int = 0) -> dict[str, float]:
        """The least loss of any schedule that is late so often (or as seldom as any can be), and how often that is."""
        found = bound(work.times, work.truth[work.rows], self.seconds, WORKERS, self.slo_s, late)
        return {
            "requests": len(work.times),
            "in_time": len(work.times) - found.late,
            "lost_in_time": found.quality_lost,
            "violation_rate": found.late / len(work.times),
        }


@lru_cache
def _predicted(setup: Setup) -> QualityTable | None:
    """Learning takes half a minute: once for all parts of a run."""
    if not setup.from_table:
        return None
    if not TRAINING.exists():
        return out_of_fold(setup.quality, setup.seed)
    learnt = rescaled(read_quality(TRAINING), setup.profile, like=setup.table)
    return told(learnt, setup.quality.prompts, setup.seed)
