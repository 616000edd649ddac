"""The characteristic decision of each rival that was added for comparison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.profiles import parse_profile
from scheduler.policies import Cluster, LoadState, make_policy
from scheduler.policies.cascades import Stage
from scheduler.policies.diffserve import DiffServe
from scheduler.policies.hadis import Configuration, Hadis
from scheduler.policies.modm import MoDM, hit_share
from tests.scheduler.policies.small_cluster import SLO, WORKER, cluster, load_state, observed, profile, request

HITS = (1.0, 0.96, 0.92)


def test_diffserve_escalates_as_much_as_leaves_the_light_model_its_workers() -> None:
    policy = DiffServe(cluster())
    light, heavy = Stage(((2.1, 1 / 2.1),)), Stage(((4.2, 1 / 4.2),))
    share, k = policy._most_escalated(light, heavy, 2.0, 8)  # five light ones carry 2 a second, three heavy ones 0.71
    assert (share, k) == (pytest.approx(3 / 4.2 / 2.0), 5)


def test_diffserve_escalates_nothing_when_both_stages_take_longer_than_the_target() -> None:
    policy = DiffServe(cluster())
    heavy = Stage(((4.2, 1 / 4.2),))
    assert policy._most_escalated(Stage(((2.1, 1 / 2.1),), wait_s=6.4), heavy, 1.0, 8) == (0.0, 8)
    assert policy._most_escalated(Stage(((2.1, 1 / 2.1),), wait_s=6.2), heavy, 1.0, 8)[0] > 0


def test_diffserve_takes_the_largest_batches_that_are_in_time() -> None:
    policy = DiffServe(cluster())
    light = Stage(((2.0, 0.5), (4.0, 1.0)))
    heavy = Stage(((4.0, 0.25), (10.0, 0.8)))
    assert policy._most_escalated(light, heavy, 2.0, 4)[1] == 2  # 4 s and 4 s; 4 s and 10 s are too long


@pytest.mark.parametrize("name", ["diffserve", "hadis"])
def test_cascades_judge_what_began_at_the_light_model_whatever_the_cache_had_for_it(name: str) -> None:
    policy = make_policy(name, cluster())
    epoch = policy.plan(observed(2.0, scores={"ac-10": np.linspace(0.5, 1.0, 101), "ac-25": np.full(9, 0.9)}))
    assert policy.finished(request(), "ac-10", 0.4, epoch, load_state()) == "exact"
    assert policy.finished(replace(request(), attempt=1), "ac-10", 0.4, epoch, load_state()) is None


def test_hadis_sends_the_hardest_prompts_past_the_light_model() -> None:
    policy = make_policy("hadis", cluster())
    epoch = policy.plan(observed(2.6))
    light, heavy = epoch.extra["light"], epoch.extra["heavy"]
    assert (light, heavy) == ("ac-25", "exact")
    state = LoadState(0.0, 2.6, {}, dict(epoch.workers))
    assert policy.route(request((1.0, 0.96, 1.0)), epoch, state) == light
    assert policy.route(request((1.0, 0.5, 0.2)), epoch, state) == heavy


def test_hadis_draws_unsure_images_again_while_there_is_time() -> None:
    policy = make_policy("hadis", cluster())
    epoch = policy.plan(observed(2.0, scores={"ac-25": np.linspace(0.5, 1.0, 101)}))
    assert 0.5 < epoch.extra["unsure"] < 1.0
    assert policy.finished(request(), "ac-25", 0.4, epoch, load_state()) == epoch.extra["heavy"]
    assert policy.finished(request(), "ac-25", 1.0, epoch, load_state()) is None
    assert policy.finished(request(), "ac-25", 0.4, epoch, load_state(now=SLO - 4.0)) is None


def test_hadis_picks_the_best_configuration_that_carries_the_demand() -> None:
    policy = Hadis(cluster())
    idle = policy.plan(observed(0.5))
    assert idle.plan.workers["a100"] == {"exact": 8}
    assert policy.route(request((1.0, 1.0, 1.0)), idle, load_state()) == "exact"
    crowded = policy.plan(observed(8 / 2.1)).plan.workers["a100"]
    assert crowded == {"ac-25": 8}
    stages = {"ac-25": Stage(((2.1, 1 / 2.1),)), "exact": Stage(((4.2, 1 / 4.2),))}
    asked = Configuration("ac-25", "exact", hard=0.5, unsure=0.2)  # heavy: half, and a fifth of the other half
    assert asked.heavy_share == pytest.approx(0.6)
    assert policy._allocated(asked, stages, 2.0, 8) is None
    assert policy._allocated(asked, stages, 2.0, 9) == {"ac-25": 3, "exact": 6}


def mixed() -> Cluster:
    """A large model with its ladder, and a small one in full."""
    data = profile(exact="big", ac_10="big", ac_25="big").model_dump()
    small = {"id": "sm", "strategy": "sm", "requests_per_minute": 60.0, "latency_s": 1.0, "quality": 0.9}
    return Cluster({"a100": parse_profile({**data, "levels": [*data["levels"], {**small, "model": "small"}]})}, SLO)


def test_modm_skips_by_its_own_table() -> None:
    assert [hit_share(s) for s in (0.6, 0.7, 0.8, 0.87, 0.92, 0.97)] == [0.0, 0.1, 0.2, 0.3, 0.5, 0.6]
    policy = make_policy("modm", cluster())
    epoch = policy.plan(observed(2.0))
    got = [policy.route(request(HITS, similarity=s), epoch, load_state()) for s in (0.6, 0.8, 0.92)]
    assert got == ["exact", "ac-10", "ac-25"]


def test_modm_sends_hits_to_the_small_model_when_the_large_one_has_a_queue_and_misses_never() -> None:
    policy = MoDM(mixed())
    sample = np.tile([1.0, 0.96, 0.92, 0.9], (20, 1))
    sample[10:, 1:3] = 0.0  # half of them find nothing
    for _ in range(20):  # until the controller has settled
        epoch = policy.plan(replace(observed(2.5), sample=sample, floors=np.zeros(20)))
    workers = dict(epoch.workers)
    assert workers["big"] >= 6  # 1.25 misses a second are 5.25 workers' worth
    assert workers["small"] >= 1
    idle, busy = (LoadState(0.0, 2.5, {"big": n, "small": 0}, workers) for n in (0, 5))
    hit, miss = request((*HITS, 0.9), similarity=0.97), request((1.0, 0.0, 0.0, 0.9), similarity=0.3)
    assert policy.route(hit, epoch, idle) == "ac-25"
    assert policy.route(hit, epoch, busy) == "sm"
    assert policy.route(miss, epoch, busy) == "exact"


def test_genserve_pauses_the_running_request_with_most_slack_for_one_that_cannot_wait() -> None:
    policy = make_policy("genserve", cluster())
    tight, calm = replace(request(), deadline=5.0), replace(request(), deadline=40.0)
    half_done, patient = replace(calm, deadline=30.0, done=0.5), (replace(calm, deadline=60.0), "exact")
    state = load_state()  # `tight` needs 4.2 s and has 5; the first of the running ones ends in 2.1 s
    assert policy.gives_way([(tight, "exact")], [(half_done, "exact"), (calm, "exact")], state) == 1
    assert policy.gives_way([patient], [(half_done, "exact"), (calm, "exact")], state) is None
    busy = replace(request(), deadline=6.0)
    assert policy.gives_way([(tight, "exact")], [(busy, "exact")], state) is None


def test_genserve_knows_what_a_paused_request_still_needs() -> None:
    policy = make_policy("genserve", cluster())
    epoch = policy.plan(observed(1.0))
    paused = replace(request(), deadline=2.5, done=0.5)  # 2.1 s are left to do
    assert policy.admit(WORKER, [(paused, "exact")], epoch, load_state()).start == 0
    assert policy.admit(WORKER, [(replace(paused, done=0.2), "exact")], epoch, load_state()).unreachable == (0,)


@pytest.mark.parametrize("name", ["clockwork", "clipper-ha"])
def test_clockwork_starts_nothing_that_cannot_end_in_time_whatever_the_run_allows(name: str) -> None:
    policy = make_policy(name, cluster())
    policy.admission_control = False
    waiting = [(request(arrived=-9.0), "exact"), (request(arrived=-1.0), "exact")]
    admission = policy.admit(WORKER, waiting, policy.plan(observed(1.0)), load_state())
    assert (admission.start, admission.unreachable) == ((1, (0,)) if name == "clockwork" else (0, ()))


def test_tetriserve_saves_the_request_that_is_lost_next_round_and_takes_least() -> None:
    policy = make_policy("tetriserve", cluster())
    epoch = policy.plan(observed(1.0))
    lost = (request(arrived=-8.5), "exact")  # 4.1 s left, 4.2 needed
    long = (request(arrived=-8.1), "exact")  # 4.5 s left: lost unless it starts within 0.42 s
    short = (request(HITS, arrived=-10.1), "ac-25")  # 2.5 s left, 2.1 needed: so is this
    calm = (request(arrived=-1.0), "exact")
    admission = policy.admit(WORKER, [short, lost, long, calm], epoch, load_state())
    assert (admission.start, admission.level) == (0, "ac-25")
    assert admission.unreachable == (1,)
    assert policy.admit(WORKER, [calm, long], epoch, load_state()).start == 1
    assert policy.admit(WORKER, [calm, (request(), "exact")], epoch, load_state()).start == 0
