"""What a simulated run reports."""

from __future__ import annotations

import json

from scheduler.simulate.report import as_json, rows
from tests.scheduler.simulate.small_runs import run, steady


def test_the_report_is_the_contract_of_the_design() -> None:
    report = run("argus", steady(0.5, 60.0))
    data = json.loads(json.dumps(as_json([report], {"seed": 1})))
    keys = {"requests", "served", "violations", "violation_rate", "goodput_per_minute", "quality_mean", "quality_lost"}
    keys |= {"quality_in_time"}
    keys |= {"latency_p50_s", "latency_p95_s", "latency_p99_s", "levels"}
    assert keys <= data["policies"]["argus"].keys()
    assert data["simulated"] is True
    header, body = rows([report])
    assert len(header) == len(body[0])
