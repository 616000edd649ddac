"""The rule of each published policy, on a small cluster."""

from __future__ import annotations

import numpy as np
import pytest

from core.profiles import parse_profile
from scheduler.policies import Cluster, LoadState, make_policy
from scheduler.policies.argus_paper import oda
from tests.scheduler.policies.small_cluster import (
    SLO,
    cluster,
    load_state,
    observed,
    request,
)


def test_clipper_takes_the_exact_and_the_cheapest_level() -> None:
    for name, level in (("clipper-ha", "exact"), ("clipper-ht", "ac-25")):
        policy = make_policy(name, cluster())
        assert policy.route(request(), policy.plan(observed(9.0)), load_state()) == level


def test_nirvana_goes_by_similarity_alone() -> None:
    policy = make_policy("nirvana", cluster())
    epoch = policy.plan(observed(9.0))
    got = [policy.route(request(similarity=s), epoch, load_state()) for s in (0.5, 0.7, 0.8, 0.92, 0.97)]
    assert got == ["exact", "exact", "ac-10", "ac-10", "ac-25"]


def test_pac_is_the_prompt_agnostic_ceiling_of_the_methods() -> None:
    # docs/methods.md: 250 requests a minute at the artefact's 1.65 throughput → 95.8 %
    costs = [("exact", 14.29, 1.0), ("ac-5", 15.87, 0.97046), ("ac-10", 17.86, 0.95808), ("ac-15", 20.41, 0.94378)]
    costs += [("ac-20", 23.81, 0.93235), ("ac-25", 28.57, 0.9152)]
    levels = [
        {"id": i, "strategy": "ac", "requests_per_minute": 1.65 * rpm, "latency_s": 60 / rpm, "quality": q}
        for i, rpm, q in costs
    ]
    published = parse_profile({"family": "sdxl", "device": "a100", "levels": levels})
    policy = make_policy("pac", Cluster({"a100": published}, SLO))
    curve = {220: 97.6, 250: 95.8, 280: 94.4, 320: 93.0, 340: 92.4, 370: 91.52}
    for rate, quality in curve.items():
        assert 100 * policy.plan(observed(rate / 60)).plan.quality == pytest.approx(quality, abs=0.05)


def test_pac_spreads_requests_by_their_planned_shares() -> None:
    policy = make_policy("pac", cluster())
    epoch = policy.plan(observed(2.5))
    done: dict[str, int] = {}
    for _ in range(200):
        level = policy.route(request(), epoch, LoadState(0.0, 2.5, {}, {}, {}, done))
        done[level] = done.get(level, 0) + 1
    assert {lv: n / 200 for lv, n in done.items()} == pytest.approx(epoch.shares, abs=0.02)


def test_proteus_lowers_its_over_provisioning_when_demand_does_not_fit() -> None:
    policy = make_policy("proteus", cluster())
    capacity = 8 / 2.1
    assert policy.plan(observed(capacity * 0.99)).plan.shed["all"] == pytest.approx(0.0, abs=0.01)


def test_sommelier_workers_step_down_in_turn_as_their_queues_grow() -> None:
    policy = make_policy("sommelier", cluster())
    held, fast = {"exact": 8}, []
    for _ in range(8):
        held = dict(policy.plan(observed(3.5, held, waiting={"exact": 60})).plan.workers["a100"])
        fast.append(held.get("ac-25", 0))
    assert fast == sorted(fast)
    assert fast[0] == 2
    assert fast[-1] >= 7


def test_diffserve_escalates_what_scores_below_its_threshold_once() -> None:
    policy = make_policy("diffserve", cluster())
    scores = np.linspace(0.5, 1.0, 101)
    epoch = policy.plan(observed(2.6, scores={"ac-25": scores, "exact": np.full(500, 1.0)}))  # of the light model alone
    assert 0 < epoch.extra["share"] < 1
    assert epoch.extra["threshold"] == pytest.approx(np.quantile(scores, epoch.extra["share"]))
    assert policy.route(request(), epoch, load_state()) == "ac-25"
    assert policy.finished(request(), "ac-25", 0.5, epoch, load_state()) == "exact"
    assert policy.finished(request(), "ac-25", 1.0, epoch, load_state()) is None
    assert policy.finished(request(), "exact", 0.1, epoch, load_state()) is None
    assert policy.finished(request(), "ac-25", 0.5, epoch, load_state(now=SLO - 4.0)) is None  # exact takes 4.2 s


def test_oda_moves_surplus_up_and_pulls_shortage_from_the_shallower() -> None:
    surplus = oda(np.array([0.2, 0.2, 0.6]), np.array([0.3, 0.3, 0.4]))
    assert surplus.sum(axis=1) == pytest.approx(1)
    assert np.array([0.2, 0.2, 0.6]) @ surplus == pytest.approx([0.3, 0.3, 0.4])
    shortage = oda(np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5]))
    assert np.array([0.7, 0.2, 0.1]) @ shortage == pytest.approx([0.2, 0.3, 0.5])
