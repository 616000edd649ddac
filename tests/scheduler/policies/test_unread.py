"""The level of a request whose prompt nobody has read."""

from __future__ import annotations

import itertools
from dataclasses import replace

from scheduler.policies import make_policy
from scheduler.policies.unread import route_unread
from tests.scheduler.policies.small_cluster import argus, cluster, load_state, observed, request


def test_argus_needs_no_prediction_while_demand_fits() -> None:
    policy, epoch = argus(1.0)
    assert route_unread(policy, request(), epoch, load_state(1.0)) == "exact"
    assert route_unread(policy, replace(request(), floor=0.999), epoch, load_state(1.0)) == "exact"


def test_what_is_routed_unread_is_routed_there_whatever_the_prompt() -> None:
    prompts = [(1.0, 0.999, 0.998), (1.0, 1.04, 1.02), (1.0, 0.8, 0.5), (1.0, 0.0, 0.99)]
    unread = []
    for rate, waiting in itertools.product((0.5, 1.5, 2.0, 2.5, 3.2, 4.5), range(0, 15, 2)):
        policy, epoch = argus(rate)
        state = load_state(rate, waiting=waiting)
        unread.append(route_unread(policy, request(), epoch, state))
        if unread[-1]:
            assert {policy.route(request(quality), epoch, state) for quality in prompts} == {unread[-1]}
    assert set(unread) == {"exact", None}


def test_of_other_policies_nothing_is_known_before_the_prompt_is_read() -> None:
    policy = make_policy("pac", cluster(exact="big", ac_10="big", ac_25="small"))
    epoch = policy.plan(observed(1.0, {"big": 4, "small": 4}))
    assert route_unread(policy, request(), epoch, load_state(1.0)) is None
