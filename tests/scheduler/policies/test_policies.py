"""What every policy owes the interface."""

from __future__ import annotations

import json

import pytest

from core.errors import BadInput
from core.profiles import parse_profile
from scheduler.policies import NAMES, Cluster, Epoch, LoadState, make_policy
from tests.scheduler.policies.small_cluster import (
    SLO,
    cluster,
    observed,
    profile,
    request,
)


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


@pytest.mark.parametrize("name", NAMES)
def test_workers_pinned_to_a_model_that_is_gone_are_free_to_change(name: str) -> None:
    policy = make_policy(name, cluster())
    epoch = policy.plan(observed(1.0, {"gone": 8}, pinned={"a100": {"gone": 8}}))
    assert sum(epoch.plan.workers["a100"].values()) == 8
    assert "gone" not in epoch.workers


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_plans_beside_named_levels_and_levels_that_are_gone(name: str) -> None:
    policy = make_policy(name, cluster())
    epoch = policy.plan(observed(2.5, named={"exact": 0.3, "gone": 1.0}))
    assert sum(epoch.plan.workers["a100"].values()) == 8
    assert name == "oracle" or sum(epoch.shares.values()) == pytest.approx(1.0)  # it was told that nothing comes
