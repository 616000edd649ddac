"""A recorded run, simulated again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.scheduler.setup import Setup
from bench.scheduler.validate import show_validate, validate
from scheduler.observation.recording import Kept, read_record
from scheduler.simulate import SimConfig, simulate
from scheduler.simulate.recorded import config, work
from tests.scheduler.policies.small_cluster import SLO, profile
from tests.scheduler.simulate.small_runs import steady

LOSSES = {"hand_over_s": 0.5, "overhead_s": 0.0, "snapshot_age_s": 1.0, "spread": 0.1}


@pytest.fixture
def kept() -> Kept:
    """Sixteen requests, each 5 s after the one before, drawn at exact in 5 s; the last is late."""
    n = 16
    at = [5.0 * i for i in range(n)]
    about = {
        **{"family": "f", "policy": "argus", "tick_s": 10.0, "levels": list(profile().ids), "slo_s": SLO},
        **{
            "workers": {"a100": 2},
            "profiles": [profile().model_dump(mode="json")],
            "history": [0, 1, 0],
            "losses": LOSSES,
        },
    }
    requests = {
        **{"at": at, "prompt": [f"p{i}" for i in range(n)], "qualities": [[1.0, 0.9, 0.8]] * n},
        **{"similarity": [0.0] * n, "level": ["exact"] * n, "started": [t + 0.5 for t in at]},
        **{"stored": [t + 5.0 for t in at], "late": [False] * (n - 1) + [True]},
    }
    return Kept(about, requests)


def test_a_record_is_read_as_it_was_written(kept: Kept, tmp_path: Path) -> None:
    kept.write(tmp_path / "runs" / "argus.json.gz")
    assert read_record(tmp_path / "runs" / "argus.json.gz") == kept


def test_live_and_simulated_stand_side_by_side(kept: Kept, tmp_path: Path) -> None:
    kept.write(tmp_path / "argus.json.gz")
    found = validate(Setup(Path(), 1, records=tmp_path))
    (run,) = found["runs"]
    assert run["live"] == {"late": pytest.approx(1 / 16), "p50": 5.0, "p95": 5.0, "p99": 5.0}
    assert run["without losses"]["p50"] == pytest.approx(4.2)
    assert run["service"] == (pytest.approx(4.5), pytest.approx(4.2))
    assert run["simulated"]["p50"] == pytest.approx(4.7, rel=0.1)  # half a second more to be claimed
    shown = show_validate(found)
    assert "| argus | `argus` | 16 | 6.25, 0.00 (0.00); -6.25 |" in shown
    assert shown.count("**not reached**") == 1  # 6 points of lateness; the p99 is near enough
    assert "No run was recorded" in show_validate(validate(Setup(Path(), 1, records=tmp_path / "none")))


def test_losses_of_a_live_system_are_in_the_simulator_where_asked_for() -> None:
    requests = steady(0.9, 120.0)

    def run(**losses: float) -> dict:
        system = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO, any_hit=True, **losses)  # type: ignore[arg-type]
        return simulate(system, requests).figures

    none, later, stale, spread = run(), run(hand_over_s=1.0), run(snapshot_age_s=2.0), run(spread=0.3)
    assert none == run(hand_over_s=0.0, snapshot_age_s=0.0, spread=0.0)
    assert later["latency_p50_s"] > none["latency_p50_s"] + 0.3
    assert run(overhead_s=0.5)["latency_p50_s"] == pytest.approx(none["latency_p50_s"] + 0.5)
    assert later["served"] == spread["served"] == none["served"]
    assert stale != none
    assert spread["latency_p99_s"] > none["latency_p99_s"]
    assert run(spread=0.3) == spread
    assert np.isfinite(spread["quality_mean"])


def test_a_policy_knows_of_a_device_what_was_learned_by_then() -> None:
    requests = steady(0.5, 120.0)
    slow = profile().model_copy(
        update={
            "levels": tuple(
                level.model_copy(
                    update={"latency_s": 3 * level.latency_s, "requests_per_minute": level.requests_per_minute / 3}
                )
                for level in profile().levels
            )
        }
    )

    def quality(*believed: Any) -> float:
        system = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO, any_hit=True, believed=believed)
        return float(simulate(system, requests).figures["quality_mean"])

    as_it_is = quality((0.0, {"a100": profile()}))
    never, later = quality((0.0, {"a100": slow})), quality((0.0, {"a100": slow}), (60.0, {"a100": profile()}))
    assert as_it_is == quality()
    assert never < later < as_it_is


def test_a_request_takes_as_long_as_it_took_where_that_is_known() -> None:
    requests, system = steady(0.2, 120.0), SimConfig("clipper-ha", {"a100": profile()}, {"a100": 8}, SLO)

    def p50_s(*paces: float) -> float:
        known = np.resize(np.array(paces), len(requests.times)) if paces else None
        return float(simulate(system, replace(requests, paces=known)).figures["latency_p50_s"])

    assert p50_s(float("nan")) == p50_s()
    assert p50_s(1.5) == pytest.approx(1.5 * p50_s())


def test_a_record_says_what_was_known_when(kept: Kept) -> None:
    measured = profile().model_dump(mode="json")
    twice = {"factors": {level.holds: 2.0 for level in profile().levels}}
    known = {"measured": [measured], "corrections": [(-5.0, {}), (10.0, {"a100": twice})]}
    newer = Kept({**kept.about, **known}, {**kept.requests, "pace": [None, 1.5] * 8})
    (at, before), (later, after) = config(newer, 1).believed
    assert (at, later) == (-5.0, 10.0)
    assert after["a100"].level("exact").latency_s == pytest.approx(2 * before["a100"].level("exact").latency_s)
    assert config(newer, 1, losses=False).believed == config(kept, 1).believed == ()
    paces = work(newer).paces
    assert paces is not None
    assert paces[1] == 1.5
    assert np.isnan(paces[0])
    assert work(newer, losses=False).paces is work(kept).paces is None
