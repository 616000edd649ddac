"""The modelled speed-up at its limits: links that cost nothing, nothing to send, one rank, ever faster links."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest

from core.profiles import LevelProfile, read_profile
from core.settings import ROOT
from workers.measure.speed_up import NVLINK, PCIE, Compute, Link, RankedMode, Traffic, modelled, speed_up

COMPUTE = Compute(0.01, 0.09)
FREE = Link("free", math.inf, 0.0)
BUSY = {"awaited": Traffic(4, 1e6), "hidden": Traffic(100, 5e8)}


def way(ranks: int = 4, **traffic: Traffic) -> RankedMode:
    return RankedMode("m", "distrifusion", ranks, warm_up=4, **traffic)


def test_one_rank_is_as_fast_as_one_gpu_whatever_is_sent():
    mode = modelled(way(1, **BUSY), COMPUTE, PCIE, 0.5)
    assert (mode.step_s, mode.meet_s) == (COMPUTE.step_s(1), 0.0)
    assert speed_up(mode, 20) == 1.0


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_on_a_link_that_costs_nothing_a_step_is_the_split_computation(ranks: int):
    mode = modelled(way(ranks, **BUSY), COMPUTE, FREE, 0.0)
    assert mode.step_s == pytest.approx(0.01 + 0.09 / ranks)
    assert mode.meet_s == pytest.approx(0)
    assert speed_up(mode, 20) < ranks  # what is fixed is not divided
    assert speed_up(modelled(way(ranks), Compute(0.0, 0.1), PCIE, 0.0), 20) == pytest.approx(ranks)


def test_nothing_to_send_costs_nothing_on_any_link():
    assert modelled(way(), COMPUTE, PCIE, 0.0) == modelled(way(), COMPUTE, FREE, 0.0)


def test_the_faster_the_link_the_faster_the_step():
    for traffic in (BUSY, {"awaited": Traffic(4, 1e9)}, {"hidden": Traffic(0, 1e9)}):
        links = [Link("", bandwidth, 1e-5) for bandwidth in (1e8, 1e9, 1e10, 1e11, math.inf)]
        steps = [modelled(way(**traffic), COMPUTE, link, 0.1) for link in links]
        assert all(speed_up(a, 20) <= speed_up(b, 20) for a, b in pairwise(steps))
        assert speed_up(steps[0], 20) < speed_up(steps[-1], 20)
        slower = [modelled(way(**traffic), COMPUTE, Link("", 1e10, each), 0.1).step_s for each in (0, 1e-4, 1e-2)]
        assert slower == sorted(slower)


def test_what_is_hidden_costs_only_what_is_longer_than_the_computation():
    own_s = COMPUTE.step_s(1 / 4)
    short = modelled(way(hidden=Traffic(0, 0.5 * own_s * PCIE.bandwidth)), COMPUTE, PCIE, 0.0)
    assert short.step_s == pytest.approx(own_s)
    assert short.meet_s == pytest.approx(4 * 0.5 * own_s)  # in the warm-up it is awaited
    long = modelled(way(hidden=Traffic(0, 2 * own_s * PCIE.bandwidth)), COMPUTE, PCIE, 0.0)
    assert long.step_s == pytest.approx(2 * own_s)
    awaited = modelled(way(awaited=Traffic(10, own_s * PCIE.bandwidth)), COMPUTE, PCIE, 0.0)
    assert awaited.step_s == pytest.approx(2 * own_s + 10 * PCIE.latency_s)


def test_the_line_goes_through_the_smallest_and_the_fullest_batch():
    batch = [{"size": 1, "step_s": 0.1}, {"size": 2, "step_s": 0.5}, {"size": 5, "step_s": 0.46}]
    level = LevelProfile.model_validate({"id": "exact", "requests_per_minute": 1, "latency_s": 1, "batch": batch})
    compute = Compute.of(level)
    assert (compute.fixed_s, compute.row_s) == (pytest.approx(0.01), pytest.approx(0.09))
    alone = level.model_copy(update={"batch": level.batch[:1]})
    assert Compute.of(alone) == Compute(0.0, 0.1)


def test_a_quarter_of_sdxl_s_tokens_took_what_the_line_says():
    compute = Compute.of(read_profile(ROOT / "profiles/random-sdxl/nvidia-h200.json").level("exact"))
    steps = json.loads((ROOT / "docs/results/cuda.json").read_text())["figures"]["steps-sdxl"]
    (small,) = [one for one in steps if one["case"] == "sdxl 512" and one["rows"] == 1]
    assert compute.step_s(1 / 4) == pytest.approx(small["graphed_ms"] / 1000, rel=0.05)


def test_nvlink_is_ahead_of_pcie():
    assert modelled(way(**BUSY), COMPUTE, NVLINK, 0.0).step_s < modelled(way(**BUSY), COMPUTE, PCIE, 0.0).step_s
