"""Each policy's rule on a small cluster, and what all of them owe the interface."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from core.errors import BadInput
from core.profiles import Profile, parse_profile
from scheduler.policies import NAMES, Cluster, Epoch, LoadState, Observation, Policy, Request, Worker, make_policy
from scheduler.policies.argus_paper import oda

SLO = 12.6


def profile(**models: str) -> Profile:
    """exact 4.2 s, ac-10 3.36 s, ac-25 2.1 s; `models` names what each runs on (default: one model for all)."""
    costs = {"exact": (4.2, 1.0), "ac-10": (3.36, 0.958), "ac-25": (2.1, 0.915)}
    levels = [
        {
            "id": name,
            "strategy": name.partition("-")[0],
            "requests_per_minute": 60 / seconds,
            "latency_s": seconds,
            "quality": quality,
            "model": models.get(name.replace("-", "_")),
        }
        for name, (seconds, quality) in costs.items()
    ]
    return parse_profile({"family": "sdxl", "device": "a100", "levels": levels})


def cluster(**models: str) -> Cluster:
    return Cluster({"a100": profile(**models)}, SLO)


def observed(rate: float, current: dict[str, int] | None = None, n: int = 64, **rest: object) -> Observation:
    tolerance = np.random.default_rng(0).exponential(size=n)
    sample = 1 - tolerance[:, None] * np.array([0.0, 0.042, 0.085])
    base = Observation(0.0, rate, 0.0, sample, np.zeros(n), {}, {"a100": 8}, {"a100": current or {}})
    return replace(base, **rest)  # type: ignore[arg-type]


def request(quality: tuple[float, ...] = (1.0, 0.96, 0.92), arrived: float = 0.0, **rest: object) -> Request:
    return Request("r", "a cat", arrived, arrived + SLO, quality, **rest)  # type: ignore[arg-type]


def load_state(rate: float = 1.0, waiting: int = 0, now: float = 0.0, models: tuple[str, ...] = ("sdxl",)) -> LoadState:
    return LoadState(now, rate, dict.fromkeys(models, waiting), dict.fromkeys(models, 8 // len(models)))


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_names_its_source_and_its_epoch_survives_json(name: str) -> None:
    policy = make_policy(name, cluster())
    assert policy.name == name
    assert policy.source
    epoch = policy.plan(observed(2.5))
    copy = Epoch.from_json(json.loads(json.dumps(epoch.to_json())))
    assert copy.to_json() == epoch.to_json()
    assert sum(epoch.plan.workers["a100"].values()) == 8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [0.0, 2.5, 9.0])
def test_every_policy_routes_to_a_level_that_a_worker_serves_at_any_load(name: str, rate: float) -> None:
    policy = make_policy(name, cluster())
    epoch = policy.plan(observed(rate))
    held = policy.cluster.models
    state = LoadState(0.0, rate, dict.fromkeys(held, 0), {m: epoch.workers.get(m, 0) for m in held})
    for similarity in (0.0, 0.8, 0.99):
        level = policy.route(request(similarity=similarity), epoch, state)
        assert epoch.workers.get(policy.cluster.holds(level)), (name, level)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_prompt_in_the_same_epoch_is_routed_the_same(name: str) -> None:
    policy = make_policy(name, cluster())
    epoch = policy.plan(observed(3.0))
    state = LoadState(0.0, 3.0, dict.fromkeys(policy.cluster.models, 0), dict.fromkeys(policy.cluster.models, 8))
    assert policy.route(request(), epoch, state) == policy.route(request(), epoch, state)


def test_an_unknown_policy_lists_those_there_are() -> None:
    with pytest.raises(BadInput, match="argus-paper"):
        make_policy("argos", cluster())


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


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_remembers_what_it_knew_when_profiles_are_corrected(name: str) -> None:
    slower = parse_profile(
        {
            **profile().model_dump(),
            "levels": [{**lv, "latency_s": 2 * lv["latency_s"]} for lv in profile().model_dump()["levels"]],
        }
    )
    policy = make_policy(name, cluster())
    for _ in range(3):
        policy.plan(observed(4.0))
    renewed = policy.renewed(Cluster({"a100": slower}, 2 * SLO))
    assert renewed.epochs == 3  # Sommelier's turn
    assert renewed.latencies.alone["a100"][0] == pytest.approx(8.4)
    assert policy.latencies.alone["a100"][0] == pytest.approx(4.2)  # whoever is asking it is not disturbed
    if name == "proteus":
        assert renewed.ewma == pytest.approx(4.0)  # type: ignore[attr-defined]


def test_oda_moves_surplus_up_and_pulls_shortage_from_the_shallower() -> None:
    surplus = oda(np.array([0.2, 0.2, 0.6]), np.array([0.3, 0.3, 0.4]))
    assert surplus.sum(axis=1) == pytest.approx(1)
    assert np.array([0.2, 0.2, 0.6]) @ surplus == pytest.approx([0.3, 0.3, 0.4])
    shortage = oda(np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5]))
    assert np.array([0.7, 0.2, 0.1]) @ shortage == pytest.approx([0.2, 0.3, 0.5])


def argus(rate: float = 1.0, **models: str) -> tuple[Policy, Epoch]:
    policy = make_policy("argus", cluster(**models))
    return policy, policy.plan(observed(rate))


WORKER = Worker("w", "a100", "sdxl")


def test_argus_serves_everyone_exactly_while_demand_fits() -> None:
    policy, epoch = argus(1.0)
    assert policy.route(request(), epoch, load_state(1.0)) == "exact"
    assert policy.admit(WORKER, [(request(), "exact")], epoch, load_state(1.0)).level == "exact"


def test_argus_lowers_the_prompts_that_lose_least_and_keeps_the_others() -> None:
    policy, epoch = argus(3.2)
    crowded = load_state(3.2, waiting=14)
    tough, delicate = request((1.0, 0.999, 0.998)), request((1.0, 0.8, 0.5))
    assert policy.admit(WORKER, [(tough, "exact")], epoch, crowded).level == "ac-25"
    assert policy.admit(WORKER, [(delicate, "exact")], epoch, crowded).level == "exact"


def test_argus_rebinds_by_the_time_left() -> None:
    policy, epoch = argus(1.0)
    for now, level in ((8.0, "exact"), (8.8, "ac-10"), (10.0, "ac-25")):
        assert policy.admit(WORKER, [(request(), "exact")], epoch, load_state(1.0, now=now)).level == level


def test_argus_sets_the_hopeless_aside_and_serves_the_next() -> None:
    policy, epoch = argus(1.0)
    waiting = [(request(arrived=-11.0), "exact"), (request(arrived=-10.9), "exact"), (request(arrived=-1.0), "exact")]
    admission = policy.admit(WORKER, waiting, epoch, load_state(1.0))
    assert (admission.unreachable, admission.start) == ((0, 1), 2)
    assert sorted(admission.removed) == [0, 1, 2]


def test_argus_hurries_when_those_behind_would_be_late() -> None:
    policy, epoch = argus(1.0)
    delicate = (1.0, 0.8, 0.5)
    crowd = [(request(delicate, arrived=-9.0), "exact") for _ in range(12)]
    first = [(request(delicate, arrived=-0.1), "exact"), *crowd]
    assert policy.admit(WORKER, first, epoch, load_state(1.0, waiting=13)).level == "ac-25"


def test_a_model_that_had_its_share_costs_what_the_plan_says_and_one_that_lags_only_what_waits() -> None:
    policy, _ = argus(3.0, exact="big", ac_10="big", ac_25="small")
    epoch = policy.plan(observed(3.0, {"big": 4, "small": 4}))
    dearer = epoch.plan.prices["exact"] - epoch.plan.prices.get("ac-25", 0.0)
    assert dearer > 0
    torn = request((1.0, 0.0, 1.0 - dearer / 2))
    state = load_state(3.0, models=("big", "small"))
    assert policy.route(torn, epoch, replace(state, routed={"exact": 10})) == "ac-25"
    assert policy.route(torn, epoch, replace(state, routed={"ac-25": 10})) == "exact"


def test_argus_expects_the_batch_there_is_and_not_the_fullest() -> None:
    batch = [{"size": size, "step_s": seconds} for size, seconds in ((1, 0.4), (2, 0.6), (4, 1.0), (8, 1.8))]
    exact = {"id": "exact", "requests_per_minute": 26.7, "latency_s": 4.0, "batch": batch, "model": "m"}
    quick = {"id": "quick", "requests_per_minute": 80, "latency_s": 1.0, "quality": 0.9, "batch": batch, "model": "m"}
    shared = parse_profile({"family": "f", "device": "a100", "levels": [exact, quick]})
    policy = make_policy("argus", Cluster({"a100": shared}, SLO))
    assert shared.level("exact").latency_full_s > SLO
    sampled = np.tile([1.0, 0.9], (8, 1))
    epoch = policy.plan(Observation(0.0, 0.1, 0.0, sampled, np.zeros(8), {}, {"a100": 1}, {"a100": {"m": 1}}))
    state = LoadState(0.0, 0.1, {"m": 0}, {"m": 1})
    for rows, level in ((0, "exact"), (5, "quick")):
        worker = Worker("w", "a100", "m", rows)
        assert policy.admit(worker, [(request((1.0, 0.9)), "exact")], epoch, state).level == level


def test_argus_keeps_a_floor_whatever_the_price() -> None:
    policy, epoch = argus(3.7)
    crowded = load_state(3.7, waiting=30)
    assert policy.admit(WORKER, [(request(floor=1.0), "exact")], epoch, crowded).level == "exact"
    assert policy.route(request(floor=0.95), epoch, crowded) == "ac-10"


def test_argus_realigns_the_backlog_over_models_that_somebody_serves() -> None:
    policy, _ = argus(3.0, exact="big", ac_10="big", ac_25="small")
    epoch = policy.plan(observed(3.0, {"big": 4, "small": 4}))
    state = load_state(3.0, waiting=20, models=("big", "small"))
    waiting = [(request(tuple(q)), "exact") for q in observed(1.0, n=40).sample.tolist()]
    levels = policy.realign(waiting, epoch, state)
    assert all(epoch.workers.get(policy.cluster.holds(level)) for level in levels)
    assert len(set(levels)) > 1
    loss = {
        name: [1 - r.quality[2] for (r, _), lv in zip(waiting, levels, strict=True) if lv == name] for name in levels
    }
    assert np.mean(loss["ac-25"]) < np.mean(loss["exact"])


def test_argus_regenerates_a_score_under_the_floor_once_and_only_with_workers_to_spare() -> None:
    policy, epoch = argus(1.0)
    low = request((1.0, 0.96, 0.92), floor=0.9)
    assert policy.finished(low, "ac-25", 0.7, epoch, load_state(1.0, now=2.0)) == "exact"
    assert policy.finished(low, "ac-25", 0.95, epoch, load_state(1.0, now=2.0)) is None
    assert policy.finished(replace(low, attempt=1), "ac-25", 0.7, epoch, load_state(1.0, now=2.0)) is None
    assert policy.finished(low, "ac-25", 0.7, epoch, load_state(1.0, now=11.0)) is None
    busy_policy, busy = argus(3.7)
    assert busy_policy.finished(low, "ac-25", 0.7, busy, load_state(3.7, now=2.0)) is None


def sized(**memory_mb: float) -> Cluster:
    """Models `big` (exact, ac-10) and `small` (ac-25) that take so much memory."""
    data = profile(exact="big", ac_10="big", ac_25="small").model_dump()
    for level in data["levels"]:
        level["memory_mb"] = memory_mb.get(level["model"], 0.0)
    return Cluster({"a100": parse_profile(data)}, SLO)


def test_a_model_that_does_not_fit_the_workers_memory_is_not_planned_there() -> None:
    policy = make_policy("argus", sized(big=9000, small=3000))
    assert policy.plan(observed(1.0)).workers == {"big": 8}
    assert policy.plan(observed(1.0, memory={"a100": 8000.0})).workers == {"small": 8}


def test_where_no_model_fits_the_limit_is_wrong_and_planning_goes_on() -> None:
    policy = make_policy("argus", sized(big=9000, small=3000))
    assert sum(policy.plan(observed(1.0, memory={"a100": 100.0})).workers.values()) == 8


@pytest.mark.parametrize("name", NAMES)
def test_workers_pinned_to_a_model_that_is_gone_are_free_to_change(name: str) -> None:
    policy = make_policy(name, cluster())
    epoch = policy.plan(observed(1.0, {"gone": 8}, pinned={"a100": {"gone": 8}}))
    assert sum(epoch.plan.workers["a100"].values()) == 8
    assert "gone" not in epoch.workers


def test_a_level_much_asked_for_by_name_is_a_class_with_that_level_only() -> None:
    policy = make_policy("argus", cluster(exact="big", ac_10="big", ac_25="small"))
    epoch = policy.plan(observed(0.5, {"big": 8}, named={"ac-25": 0.9}))
    assert epoch.plan.served["named/ac-25"] == {"ac-25": pytest.approx(54.0)}
    assert epoch.workers == {"big": 6, "small": 2}  # 0.9 · 2.1 s
    assert epoch.shares == {"exact": pytest.approx(1.0)}  # of what the policy chooses, all is exact


def test_a_level_now_and_then_asked_for_by_name_lowers_nobody_else() -> None:
    policy = make_policy("argus", cluster(exact="big", ac_10="big", ac_25="small"))
    one = observed(0.1, {"big": 1}, workers={"a100": 1}, named={"ac-25": 0.1})
    assert policy.plan(one).workers == {"big": 1}
    assert policy.plan(one).shares == {"exact": pytest.approx(1.0)}


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_plans_beside_named_levels_and_levels_that_are_gone(name: str) -> None:
    policy = make_policy(name, cluster())
    epoch = policy.plan(observed(2.5, named={"exact": 0.3, "gone": 1.0}))
    assert sum(epoch.plan.workers["a100"].values()) == 8
    assert name == "oracle" or sum(epoch.shares.values()) == pytest.approx(1.0)  # it was told that nothing comes


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.5, 1.7])
def test_while_demand_fits_exact_everything_is_exact_and_nothing_has_a_price(rate: float) -> None:
    """Also for prompts that are predicted to lose nothing, or to gain, at the cheaper levels."""
    policy = make_policy("argus", cluster(exact="big", ac_10="big", ac_25="small"))
    optimistic = np.tile([1.0, 1.02, 1.01], (32, 1))
    epoch = policy.plan(observed(rate, {"big": 4, "small": 4}, sample=optimistic, floors=np.zeros(32)))
    assert epoch.workers["big"] >= min(8, math.ceil(max(rate, 1 / 60) * 4.2))
    assert epoch.shares == {"exact": pytest.approx(1.0)}
    assert max(epoch.plan.prices.values()) == pytest.approx(0.0, abs=1e-9)
    state = LoadState(0.0, rate, {"big": 0, "small": 0}, epoch.workers)
    hopeful = request((1.0, 1.02, 1.01))
    assert policy.route(hopeful, epoch, state) == "exact"
    assert policy.admit(Worker("w", "a100", "big"), [(hopeful, "ac-10")], epoch, state).level == "exact"
