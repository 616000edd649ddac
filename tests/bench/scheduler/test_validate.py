"""A recorded run, simulated again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.scheduler.setup import Setup
from bench.scheduler.validate import show_validate, validate
from scheduler.observation.recording import Kept, read_record
from scheduler.simulate import SimConfig, simulate
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
    work = steady(0.9, 120.0)

    def run(**losses: float) -> dict:
        config = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO, any_hit=True, **losses)  # type: ignore[arg-type]
        return simulate(config, work).figures

    none, later, stale, spread = run(), run(hand_over_s=1.0), run(snapshot_age_s=2.0), run(spread=0.3)
    assert none == run(hand_over_s=0.0, snapshot_age_s=0.0, spread=0.0)
    assert later["latency_p50_s"] > none["latency_p50_s"] + 0.3
    assert run(overhead_s=0.5)["latency_p50_s"] == pytest.approx(none["latency_p50_s"] + 0.5)
    assert later["served"] == spread["served"] == none["served"]
    assert stale != none
    assert spread["latency_p99_s"] > none["latency_p99_s"]
    assert run(spread=0.3) == spread
    assert np.isfinite(spread["quality_mean"])
