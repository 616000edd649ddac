"""The planner against instances solved by hand, brute force, and its own claims about prices."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from scipy.optimize import linprog

import scheduler.planning.milp as planner
from core.errors import BadInstance
from scheduler.planning.milp import Instance, Level, Plan, PromptClass, greedy_plan, solve

CONTRACT = {
    "devices": {"a100": 8},
    "levels": [
        {"id": "exact", "model": "sdxl", "throughput": {"a100": 14.29}},
        {"id": "ac-25", "model": "sdxl", "throughput": {"a100": 28.57}},
        {"id": "sm-tiny", "model": "tiny-sd", "throughput": {"a100": 60.0}},
    ],
    "classes": [{"id": "c0", "demand": 120.0, "quality": {"exact": 1.0, "ac-25": 0.93, "sm-tiny": 0.85}, "floor": 0.0}],
    "current": {"a100": {"sdxl": 8}},
    "switch_cost": 0.0,
    "headroom": 1.0,
}


def contract(**changes: object) -> Instance:
    return Instance.from_json({**CONTRACT, **changes})


def one_class(demand: float, floor: float = 0.0, **changes: object) -> Instance:
    return contract(classes=[{**CONTRACT["classes"][0], "demand": demand, "floor": floor}], **changes)


@pytest.mark.parametrize("demand", [10.0, 120.0, 200.0, 260.0])
def test_a_level_that_another_of_its_model_beats_takes_nothing(demand: float) -> None:
    """As quick as ac-25 and worse, or slower and as good: whatever the demand."""
    worse = {"id": "worse", "model": "sdxl", "throughput": {"a100": 28.57}}
    slower = {"id": "slower", "model": "sdxl", "throughput": {"a100": 20.0}}
    quality = {**CONTRACT["classes"][0]["quality"], "worse": 0.9, "slower": 0.93}
    classes = [{**CONTRACT["classes"][0], "demand": demand, "quality": quality}]
    plan = solve(contract(levels=[*CONTRACT["levels"], worse, slower], classes=classes))
    assert plan.served_total == pytest.approx(min(demand, plan.served_total))
    assert not {"worse", "slower"} & {level for level, rate in plan.served["c0"].items() if rate > 1e-6}


def random_instance(rng: np.random.Generator) -> Instance:
    """Small enough to enumerate: up to 2 device types × 4 workers, 3 models, 4 levels, 3 classes."""
    devices = {f"d{k}": int(rng.integers(1, 5)) for k in range(rng.integers(1, 3))}
    levels = []
    for i in range(rng.integers(1, 5)):
        throughput = {d: float(rng.uniform(2, 20)) for d in devices if rng.random() < 0.85}
        levels.append(Level(f"l{i}", throughput or {"d0": 5.0}, f"m{rng.integers(3)}" if rng.random() < 0.7 else ""))
    classes = []
    for j in range(rng.integers(1, 4)):
        quality = {level.id: float(rng.uniform(0.5, 1)) for level in levels}
        floor = 0.0 if rng.random() < 0.6 else float(rng.uniform(0.5, max(quality.values())))
        weight = float(rng.choice([1.0, 1.0, 3.0]))
        classes.append(PromptClass(f"c{j}", float(rng.uniform(0, 40)), quality, floor, weight))
    current = {d: {levels[0].holds: int(rng.integers(0, n + 1))} for d, n in devices.items()}
    cost, headroom = float(rng.choice([0.0, 0.3])), float(rng.choice([1.0, 1.1]))
    return Instance(devices, tuple(levels), tuple(classes), current, cost, headroom)


def brute_force(inst: Instance) -> tuple[float, float]:
    """(served, quality − switch cost), both weighted, by trying every assignment of workers, each with two LPs."""
    groups = list(dict.fromkeys((d, lv.holds) for lv, d in inst.placements))
    per_device = []
    for device in dict.fromkeys(d for d, _ in groups):
        mine = [g for g in groups if g[0] == device]
        ways = itertools.product(range(inst.devices[device] + 1), repeat=len(mine))
        per_device.append([list(zip(mine, w, strict=True)) for w in ways if sum(w) == inst.devices[device]])
    best = (-1.0, -np.inf)
    for choice in itertools.product(*per_device):
        counts = dict(itertools.chain(*choice))
        moves = sum(max(0, n - inst.holding(*key)) for key, n in counts.items())
        served, quality = _lp(inst, counts)
        best = max(best, (round(served, 5), quality - inst.switch_cost * moves))
    return best


def _lp(inst: Instance, counts: dict[tuple[str, str], int]) -> tuple[float, float]:
    """Written differently from the planner: a variable a class, level and device, no balance rows."""
    x = [(c, lv, d) for c in inst.classes for lv, d in inst.placements if c.allows(lv.id)]
    if not x:
        return 0.0, 0.0
    rows = [[float(c is k) for c, _, _ in x] for k in inst.classes]
    rows += [[inst.headroom / lv.throughput[d] * ((d, lv.holds) == g) for _, lv, d in x] for g in counts]
    limits = [c.demand for c in inst.classes] + [float(n) for n in counts.values()]
    weights = [-c.weight for c, _, _ in x]
    served = -linprog(weights, A_ub=rows, b_ub=limits).fun
    rows.append(weights)
    quality = linprog([-c.weight * c.quality[lv.id] for c, lv, _ in x], A_ub=rows, b_ub=[*limits, -served + 1e-7])
    return served, -quality.fun


def weighted(inst: Instance, plan: Plan) -> float:
    """What is served, each request by the weight of its class."""
    return sum(c.weight * sum(plan.served[c.id].values()) for c in inst.classes)


def test_the_contract_of_the_design_goes_in_and_comes_out_unchanged() -> None:
    assert Instance.from_json(json.dumps(CONTRACT)).to_json() == CONTRACT
    answer = json.loads(json.dumps(solve(contract()).to_json()))
    keys = {"status", "objective", "served_total", "quality_total", "workers", "served", "shed", "prices", "seconds"}
    assert keys <= answer.keys()
    assert Plan.from_json(answer).to_json() == answer


def test_two_levels_of_a_model_share_its_workers_as_worked_out_by_hand() -> None:
    # 120 = exact + ac;  exact/14.29 + ac/28.57 = 8  →  exact = (8 − 120/28.57)/(1/14.29 − 1/28.57) = 108.64
    plan = solve(contract())
    assert plan.status == "optimal"
    assert plan.served["c0"]["exact"] == pytest.approx(108.636, abs=1e-3)
    assert plan.served["c0"]["ac-25"] == pytest.approx(11.364, abs=1e-3)
    assert plan.moves == 0
    assert plan.spare == pytest.approx(0, abs=1e-6)


def test_a_worker_second_has_one_price_for_all_levels_of_a_model() -> None:
    # 0.07 quality buys 1/14.29 − 1/28.57 worker minutes: 2.0009 a worker minute
    prices = solve(contract()).prices
    assert prices["exact"] * 14.29 == pytest.approx(prices["ac-25"] * 28.57)
    assert prices["exact"] - prices["ac-25"] == pytest.approx(0.07)


def test_spare_capacity_costs_nothing() -> None:
    plan = solve(one_class(50.0))
    assert plan.served["c0"] == {"exact": pytest.approx(50.0)}
    assert plan.prices["exact"] == 0
    assert plan.spare == pytest.approx(8 - 50 / 14.29)


def test_serving_comes_before_quality_and_quality_before_staying() -> None:
    plan = solve(one_class(300.0))  # sdxl alone carries 228.56
    assert plan.served_total == pytest.approx(300.0, rel=1e-6)
    assert plan.workers == {"a100": {"sdxl": 5, "tiny-sd": 3}}
    assert solve(one_class(1000.0)).shed["c0"] == pytest.approx(520.0)


def test_workers_stay_where_they_are_when_moving_gains_nothing() -> None:
    plan = solve(one_class(20.0, current={"a100": {"sdxl": 3, "tiny-sd": 5}}))
    assert plan.workers == {"a100": {"sdxl": 3, "tiny-sd": 5}}
    assert plan.moves == 0


def test_a_switch_must_gain_what_it_costs() -> None:
    held = {"a100": {"sdxl": 1, "tiny-sd": 7}}
    free = solve(one_class(28.0, current=held))
    assert free.workers["a100"]["sdxl"] == 2
    assert free.objective == pytest.approx(28.0)
    dear = solve(one_class(28.0, current=held, switch_cost=2.0))
    assert dear.workers == held
    gained = free.quality_total - dear.quality_total
    assert 0 < gained < 2.0  # less than the switch costs
    assert solve(one_class(28.0, current=held, switch_cost=0.9 * gained)).workers == free.workers


def test_workers_inside_their_dwell_time_stay() -> None:
    held = {"a100": {"tiny-sd": 8}}
    plan = solve(one_class(28.0, current=held, pinned={"a100": {"tiny-sd": 7}}))
    assert plan.workers["a100"]["tiny-sd"] == 7


def test_a_worker_that_loads_serves_nothing_of_the_time_that_takes() -> None:
    """All of `exact` fits eight workers of `sdxl`; four are there, four would load for half of the time."""
    held = {"a100": {"sdxl": 4, "tiny-sd": 4}}
    plan = solve(one_class(8 * 14.29, current=held, load_share={"a100": {"sdxl": 0.5}}))
    assert plan.served["c0"].get("exact", 0.0) <= 6 * 14.29 + 1e-6  # 4 + 4/2 at most
    assert plan.served_total == pytest.approx(8 * 14.29)  # what that leaves, others serve
    held = {"a100": {"sdxl": 8}}
    loading = solve(one_class(8 * 14.29, current=held, pinned=held, loading={"a100": {"sdxl": 3}}, floor=1.0))
    assert loading.served_total == pytest.approx(5 * 14.29)


def test_no_more_begin_to_load_than_may() -> None:
    held = {"a100": {"sdxl": 8}}
    assert solve(one_class(300.0, current=held)).moves == 3
    few = solve(one_class(300.0, current=held, max_moves={"a100": 1}))
    assert (few.moves, few.workers) == (1, {"a100": {"sdxl": 7, "tiny-sd": 1}})
    assert solve(one_class(300.0, current={}, max_moves={"a100": 1})).served_total == pytest.approx(
        300.0
    )  # all must load


def test_a_floor_is_never_served_below() -> None:
    plan = solve(one_class(200.0, floor=0.9))
    assert set(plan.served["c0"]) <= {"exact", "ac-25"}
    assert solve(one_class(200.0, floor=1.0)).served["c0"] == {"exact": pytest.approx(8 * 14.29)}


def test_headroom_divides_capacity() -> None:
    plan = solve(one_class(1000.0, headroom=1.25))
    assert plan.served_total == pytest.approx(480 / 1.25)


def test_a_model_that_does_not_fit_the_memory_is_not_planned() -> None:
    plan = solve(one_class(1000.0, memory={"a100": 16000}, model_memory={"tiny-sd": 20000}))
    assert plan.workers == {"a100": {"sdxl": 8}}


def test_each_of_two_device_types_takes_what_it_is_better_at() -> None:
    levels = (Level("big", {"fast": 10.0, "slow": 1.0}), Level("small", {"fast": 12.0, "slow": 10.0}))
    plan = solve(Instance({"fast": 1, "slow": 1}, levels, (PromptClass("c", 20.0, {"big": 1.0, "small": 0.8}),)))
    assert plan.workers == {"fast": {"big": 1}, "slow": {"small": 1}}
    assert plan.served["c"] == {"big": pytest.approx(10.0), "small": pytest.approx(10.0)}


def test_200_random_instances_equal_brute_force() -> None:
    rng = np.random.default_rng(5)
    for i in range(200):
        inst = random_instance(rng)
        served, objective = brute_force(inst)
        plan = solve(inst, time_limit=10.0)
        assert plan.status == "optimal", i
        assert weighted(inst, plan) == pytest.approx(served, abs=1e-3), i
        assert plan.objective == pytest.approx(objective, abs=1e-3), i
        _assert_feasible(inst, plan)


def _assert_feasible(inst: Instance, plan: Plan) -> None:
    for device, n in inst.devices.items():
        if any(d == device for _, d in inst.placements):
            assert sum(plan.workers[device].values()) == n
    for c in inst.classes:
        assert sum(plan.served[c.id].values()) + plan.shed[c.id] == pytest.approx(c.demand, abs=1e-5)
        assert all(c.quality[level] >= c.floor - 1e-9 for level in plan.served[c.id])


def test_every_planned_share_attains_the_highest_quality_minus_price() -> None:
    rng = np.random.default_rng(6)
    for _ in range(60):
        inst = random_instance(rng)
        plan = solve(inst)
        for c in inst.classes:
            value = {
                level: c.weight * c.quality[level] - plan.prices[level] for level in plan.prices if c.allows(level)
            }
            for level, rate in plan.served[c.id].items():
                assert rate < 1e-4 or value[level] >= max(value.values()) - 1e-6


def test_the_greedy_plan_is_feasible_and_near() -> None:
    rng = np.random.default_rng(7)
    ratios = []
    for _ in range(60):
        inst = random_instance(rng)
        plan, best = greedy_plan(inst), solve(inst)
        _assert_feasible(inst, plan)
        assert plan.status == "greedy"
        assert weighted(inst, plan) <= weighted(inst, best) + 1e-4
        ratios.append(weighted(inst, plan) / weighted(inst, best) if best.served_total else 1.0)
    assert np.mean(ratios) > 0.97


def test_a_solver_that_crashes_or_finds_nothing_is_stood_in_for_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(planner, "milp", crash)
    plan = solve(contract())
    assert (plan.status, plan.reason) == ("greedy", "solver raised ValueError: broken")
    assert plan.served_total == pytest.approx(120.0)


def test_no_time_still_gives_a_plan() -> None:
    rng = np.random.default_rng(8)
    levels = tuple(Level(f"l{i}", {"a": float(rng.uniform(5, 30))}, f"m{i % 6}") for i in range(16))
    classes = tuple(
        PromptClass(f"c{j}", 150.0, {lv.id: float(rng.uniform(0.5, 1)) for lv in levels}) for j in range(32)
    )
    instance = Instance({"a": 333}, levels, classes)
    plan, best = solve(instance, time_limit=0.0, gap=1e-12), solve(instance, time_limit=10.0)
    _assert_feasible(instance, plan)
    assert plan.status != "optimal"
    assert plan.reason
    assert plan.served_total == pytest.approx(best.served_total, rel=0.01)
    assert plan.quality_total >= 0.8 * best.quality_total


def test_no_demand_leaves_every_worker_in_place() -> None:
    plan = solve(contract(classes=[]))
    assert plan.workers == {"a100": {"sdxl": 8}}
    assert plan.served_total == 0
    assert plan.quality == 1


BAD = [
    ({"devices": {"a100": 0}}, "devices"),
    ({"devices": {}}, "devices"),
    ({"devices": {"a100": -1}}, "devices.a100"),
    ({"devices": {"a100": 1.5}}, "devices.a100"),
    ({"devices": {"a100": 10**400}}, "devices.a100"),
    ({"headroom": 10**400}, "headroom"),
    ({"classes": [{"id": "c", "demand": 1e300, "quality": {"exact": 1.0}}]}, "classes[0].demand"),
    ({"levels": [{"id": "exact", "throughput": {"a100": 1e-300}}]}, "levels[0].throughput.a100"),
    ({"levels": []}, "levels"),
    ({"levels": [{"id": "exact", "throughput": {"a100": float("nan")}}]}, "levels[0].throughput.a100"),
    ({"levels": [{"id": "exact", "throughput": {"a100": 0}}]}, "levels[0].throughput.a100"),
    ({"levels": [{"id": "exact"}]}, "levels[0].throughput"),
    ({"levels": [{"id": "exact", "throughput": {"h100": 4.0}}], "classes": [], "current": {}}, "levels"),
    ({"levels": CONTRACT["levels"] * 2}, "levels[3].id"),
    ({"classes": [{"id": "c", "demand": -1, "quality": {"exact": 1.0}}]}, "classes[0].demand"),
    ({"classes": [{"id": "c", "demand": 1, "quality": {"exakt": 1.0}}]}, "classes[0].quality.exakt"),
    ({"classes": [{"id": "c", "demand": 1, "quality": {"exact": float("inf")}}]}, "classes[0].quality.exact"),
    ({"classes": [{"id": "c", "demand": 1, "quality": {"exact": 0.9}, "floor": 0.95}]}, "classes[0].floor"),
    ({"classes": [{"id": "c", "demands": 1, "quality": {}}]}, "classes[0].demands"),
    ({"classes": [{"id": "c", "demand": 1, "quality": {"exact": 1.0}, "weight": 0}]}, "classes[0].weight"),
    ({"current": {"h100": {"sdxl": 1}}}, "current.h100"),
    ({"current": {"a100": {"sdxl": 9}}}, "current.a100"),
    ({"pinned": {"a100": {"other": 1}}}, "pinned.a100.other"),
    ({"headroom": 0}, "headroom"),
    ({"switch_cost": -0.1}, "switch_cost"),
    ({"switchcost": 0.1}, "switchcost"),
]


@pytest.mark.parametrize(("change", "field"), BAD, ids=[f"{field}-{i}" for i, (_, field) in enumerate(BAD)])
def test_a_bad_instance_is_refused_with_its_field(change: dict, field: str) -> None:
    with pytest.raises(BadInstance) as caught:
        contract(**change)
    assert caught.value.field == field


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "{}"])
def test_what_is_not_an_instance_is_refused(text: str) -> None:
    with pytest.raises(BadInstance):
        Instance.from_json(text)
