"""Requests of unequal length and target: the long give way to the short that would be late, and go on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.policies import Cluster
from scheduler.policies.argus import Argus
from scheduler.simulate import SimConfig, Workload, simulate
from tests.scheduler.policies.small_cluster import SLO, profile
from tests.scheduler.simulate.small_runs import at, run, steady


class WithoutGivingWay(Argus):
    pauses = False


def mixed(seed: int, load: float = 0.4) -> tuple[Workload, np.ndarray]:
    """Half the requests as usual, half a fifth as long; each is wanted in three times what it takes alone."""
    work = steady(load / 8 / 0.6, seconds=900.0, seed=seed)  # of one worker, and of the mean length
    short = np.random.default_rng(seed).random(len(work.times)) < 0.5
    length = np.where(short, 0.2, 1.0)
    return replace(work, lengths=np.repeat(length[:, None], 3, axis=1), target_s=SLO * length), short


def late(kind: type[Argus], seed: int, **rest: float) -> tuple[np.ndarray, int]:
    work, short = mixed(seed)
    config = SimConfig("argus", {"a100": profile()}, {"a100": 1}, SLO, any_hit=True, **rest)
    report = simulate(config, work, kind(Cluster(config.profiles, SLO)))
    return np.array([report.late[short].mean(), report.late[~short].mean()]), report.ticks["pauses"]


@pytest.mark.parametrize("look_s", [0.0, 0.25])
def test_fewer_of_the_short_are_late_and_no_more_of_the_long(look_s: float) -> None:
    without, with_it = (np.mean([late(kind, seed, look_s=look_s)[0] for seed in (1, 2, 3)], axis=0)
                        for kind in (WithoutGivingWay, Argus))  # fmt: skip
    assert without[0] > 0.05
    assert with_it[0] < without[0] / 3
    assert with_it[1] <= without[1] + 0.01


def test_where_all_are_alike_nobody_pauses() -> None:
    assert run("argus", steady(0.95), workers=8).ticks["pauses"] == 0


def test_a_request_of_twice_the_length_takes_twice_as_long() -> None:
    double = replace(at([0.0]), lengths=np.full((1, 3), 2.0), target_s=np.full(1, 60.0))
    assert run("clipper-ha", double, workers=1).figures["latency_p50_s"] == pytest.approx(8.4)


def test_who_stands_still_goes_on_as_soon_as_the_other_has_ended() -> None:
    lengths = np.array([[4.0] * 3, [0.2] * 3])  # 16.8 s and 0.84 s at exact
    work = replace(at([0.0, 1.0]), lengths=lengths, target_s=np.array([60.0, 3.0]))
    report = run("argus", work, workers=1)
    assert report.ticks["pauses"] == 1
    assert report.figures["latency_p99_s"] == pytest.approx(16.8 + 0.84, rel=0.01)
    assert not report.late.any()
