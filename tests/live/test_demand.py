"""What counts as demand, read from real rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.database import transaction
from core.kinds import OWN, RESTORATION
from core.tables import Plan, State
from scheduler.control.tick import Scheduler
from scheduler.observation import queries
from scheduler.observation.demand import Demand
from scheduler.observation.snapshot import SnapshotReader
from tests.live.rows import join, submit

PREDICTED = {"exact": 1.0, "fs-4": 0.9, "sm-small": 0.8}


def test_batch_work_and_named_levels_are_no_demand_whose_level_may_be_lowered(family: Any) -> None:
    join()
    ago = datetime.now(UTC) - timedelta(seconds=30)
    kept = {"state": State.QUEUED, "epoch": 0, "accepted_at": ago}
    submit(6, level="exact", qualities=PREDICTED, **kept)
    submit(12, level="sm-small", level_asked="sm-small", qualities={**PREDICTED, "fs-4": 0.1}, **kept)
    submit(50, level="exact", service_class="batch", qualities={**PREDICTED, "fs-4": 0.2}, **kept)
    observed = Scheduler(family).observe()
    assert observed.situation is not None
    assert observed.policy is not None
    assert observed.situation.queued == {"exact": 6}
    assert observed.situation.sample.tolist() == [list(PREDICTED.values())] * 6
    asked = 12 / 60 + 12 / observed.policy.cluster.slo_s  # as they came, and what waits within a target
    assert observed.situation.named == {"sm-small": pytest.approx(asked)}
    with transaction() as session:
        forecast = Demand(family).ahead(session, 10.0)
    assert 0 < forecast.rate * 5 <= 6.5  # six, and none of the others


def test_a_request_of_a_kind_of_its_own_is_demand_as_long_as_it_takes(family: Any) -> None:
    def asked() -> float:
        with transaction() as session:
            return queries.named_rates(session, family).get("exact", 0.0)

    submit(10, level_asked="exact")
    usual = asked()
    submit(10, level_asked="exact", own_kind=RESTORATION)
    assert asked() == pytest.approx((1 + OWN[RESTORATION].length) * usual)


def test_a_job_that_commits_after_its_bin_was_counted_is_counted_all_the_same(family: Any) -> None:
    observed: list[float] = []
    demand = Demand(family)
    demand.forecaster.observe = lambda start, seconds, requests: observed.append(requests)  # type: ignore[method-assign]
    with transaction() as session:
        demand.rate(session)
    observed.clear()
    demand.forecaster.now = 0.0
    bins, counted = Demand.BIN_S, demand._until or 0.0
    submit(7, accepted_at=datetime.fromtimestamp(counted - 2 * bins, UTC))  # its transaction began a while ago
    with transaction() as session:
        session.scalar = lambda *_: counted + bins  # type: ignore[method-assign]
        demand.rate(session)
    assert observed == [7]
    with transaction() as session:
        session.scalar = lambda *_: counted + 2 * bins  # type: ignore[method-assign]
        demand.rate(session)
    assert observed == [7, 0]


def test_one_family_s_tick_leaves_another_s_plan_in_force(family: Any) -> None:
    with transaction() as session:
        shared = {"policy": "argus", "status": "optimal", "observed": {}, "decided": {}, "reason": "r", "seconds": 0.1}
        session.add(Plan(**shared, family="other", in_force=True))
        session.add(Plan(**shared, family="", in_force=True))  # by a scheduler of the version before
    join()
    scheduler = Scheduler(family)
    epoch = scheduler.tick()
    with transaction() as session:
        in_force = session.execute(select(Plan.family, Plan.epoch).where(Plan.in_force)).all()
        assert {row.family for row in in_force} == {"other", "toy"}
        snapshot = SnapshotReader(family).snapshot(session)
    assert snapshot.epoch is not None
    assert snapshot.epoch.number == epoch


def test_a_plan_stored_by_the_version_before_is_still_read(family: Any) -> None:
    """Its names of the price curve and of the corrections were others (`scheduler.observation.stored_plan`)."""
    join()
    scheduler = Scheduler(family)
    epoch = scheduler.tick()
    with transaction() as session:
        row = session.get_one(Plan, epoch)
        curves = {
            model: {("worth" if name == "price" else name): values for name, values in curve.items()}
            for model, curve in row.decided["curves"].items()
        }
        row.decided = {**row.decided, "curves": curves}
        old = {"factors": {"large": 2.0}, "slips": {"large": 1.5}, "beside_s": {"large": 0.1}}
        row.observed = {**row.observed, "corrections": {"cpu": old}}
    with transaction() as session:
        reader = SnapshotReader(family)
        snapshot = reader.snapshot(session)
        corrections = reader.corrections(session)
    assert snapshot.epoch is not None
    assert set(snapshot.epoch.curves) == {"large"}
    assert corrections["cpu"].p90_ratios == {"large": 1.5}
    assert corrections["cpu"].overhead_s == {"large": 0.1}
