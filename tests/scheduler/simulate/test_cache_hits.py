"""A level that starts from a cached latent is what the request's similarity allows, for whichever policy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.policies import Cluster, Epoch, LoadState, Observation, Request, Worker, make_policy
from scheduler.policies.clipper_ht import ClipperHT
from scheduler.policies.hits import averaged
from scheduler.simulate import Report, SimConfig, Workload, simulate
from tests.scheduler.policies.small_cluster import SLO, cluster, load_state, observed, profile, request

QUALITY = np.array([[1.0, 0.9, 0.8]])


def alone(similarity: float) -> Workload:
    """One request on an idle worker."""
    one = np.zeros(1)
    return Workload(one, np.zeros(1, int), QUALITY, QUALITY, ("p",), np.full(1, similarity), np.zeros(1, bool), 60.0)


def run(similarity: float, **rest: object) -> Report:
    config = SimConfig("clipper-ht", {"a100": profile()}, {"a100": 1}, SLO, **rest)  # type: ignore[arg-type]
    return simulate(config, alone(similarity))


@pytest.mark.parametrize(
    ("similarity", "drawn", "seconds", "quality"),
    [(0.5, "exact", 4.2, 1.0), (0.8, "ac-10", 3.36, 0.9), (0.97, "ac-25", 2.1, 0.8)],
)
def test_a_request_takes_the_time_and_keeps_the_quality_of_what_its_similarity_allows(
    similarity: float, drawn: str, seconds: float, quality: float
) -> None:
    figures = run(similarity).figures
    assert figures["levels"][drawn] == 1
    assert figures["latency_p50_s"] == pytest.approx(seconds)
    assert figures["quality_mean"] == pytest.approx(quality)


def test_where_any_latent_will_do_similarity_stands_in_nobodys_way() -> None:
    assert run(0.0, any_hit=True).figures["levels"]["ac-25"] == 1


def test_the_world_decides_whatever_a_policy_believes() -> None:
    class Blind(ClipperHT):
        def _as_drawn(self, request: Request, options: object, worker: Worker) -> object:  # type: ignore[override]
            return options

    config = SimConfig("clipper-ht", {"a100": profile()}, {"a100": 1}, SLO)
    figures = simulate(config, alone(0.5), Blind(Cluster(config.profiles, SLO))).figures
    assert figures["latency_p50_s"] == pytest.approx(4.2)
    assert figures["quality_mean"] == 1


def test_policies_are_shown_misses_as_live_shows_them() -> None:
    shown: list[tuple[float, ...]] = []

    class Listening(ClipperHT):
        def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
            shown.append((*request.quality, request.similarity))
            return super().route(request, epoch, state)

    config = SimConfig("clipper-ht", {"a100": profile()}, {"a100": 1}, SLO)
    simulate(config, alone(0.8), Listening(Cluster(config.profiles, SLO)))
    assert shown == [(1.0, 0.9, 0.0, 0.8)]


def sampled(hits: float) -> Observation:
    """Ten recent requests, of which this share finds a latent."""
    sample = np.tile(QUALITY, (10, 1))
    sample[round(10 * hits) :, 1:] = 0.0
    return replace(observed(2.5), sample=sample, floors=np.zeros(10))


def test_a_caching_level_costs_and_keeps_on_average_what_its_hits_and_misses_do() -> None:
    half = averaged(cluster(), sampled(0.5).sample)
    assert half.seconds("a100") == pytest.approx((4.2, (4.2 + 3.36) / 2, (4.2 + 2.1) / 2))
    assert half.quality == pytest.approx((1.0, (1 + 0.958) / 2, (1 + 0.915) / 2))
    assert averaged(cluster(), sampled(1.0).sample) == cluster()


def test_a_planner_that_does_not_know_prompts_counts_on_the_misses() -> None:
    policy = make_policy("pac", cluster())
    all_hit, half = (policy.plan(sampled(hits)).plan for hits in (1.0, 0.5))
    assert all_hit.served_total == pytest.approx(150.0)
    assert half.served_total == pytest.approx(150.0)
    assert half.load.get("ac-25", 0.0) > all_hit.load.get("ac-25", 0.0)


def test_a_request_that_finds_no_latent_is_admitted_as_what_it_is() -> None:
    policy = make_policy("clipper-ht", cluster())
    epoch = policy.plan(observed(1.0))
    worker, missed = Worker("w", "a100", "sdxl"), request((1.0, 0.0, 0.0))
    admitted = policy.admit(worker, [(missed, "ac-25")], epoch, load_state())
    assert admitted.level == "exact"
    late = policy.admit(worker, [(missed, "ac-25")], epoch, load_state(now=SLO - 3.0))  # 2.1 s would do, 4.2 s do not
    assert late.unreachable == (0,)
