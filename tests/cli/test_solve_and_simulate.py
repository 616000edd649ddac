"""`argus solve` and `argus simulate`: tables for people, JSON for programs, exit status 2 for what cannot be done."""

import json

import pytest
from click.testing import CliRunner

from cli.main import argus

INSTANCE = {
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
PROFILE = {
    "family": "toy",
    "device": "gpu",
    "levels": [
        {"id": "exact", "requests_per_minute": 20, "latency_s": 3.0, "model": "m"},
        {"id": "fast", "requests_per_minute": 40, "latency_s": 1.5, "quality": 0.9, "model": "m"},
    ],
}


def run(*words: object):
    return CliRunner().invoke(argus, [str(word) for word in words])


@pytest.fixture
def files(tmp_path):
    (tmp_path / "instance.json").write_text(json.dumps(INSTANCE))
    (tmp_path / "profile.json").write_text(json.dumps(PROFILE))
    (tmp_path / "trace.csv").write_text("start_s,requests\n0,30\n60,70\n120,30\n")
    return tmp_path


def test_solve_answers_the_contract(files):
    done = run("solve", files / "instance.json", "--json", files / "plan.json")
    assert done.exit_code == 0, done.output
    plan = json.loads((files / "plan.json").read_text())
    assert plan["status"] == "optimal"
    assert plan["served_total"] == pytest.approx(120.0)
    assert plan["workers"] == {"a100": {"sdxl": 8}}
    # by hand: x at exact, 120 - x at ac-25, x/14.29 + (120 - x)/28.57 = 8
    exact = (8 - 120 / 28.57) / (1 / 14.29 - 1 / 28.57)
    assert plan["served"]["c0"]["exact"] == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"devices": []}, "devices"),
        ({"headroom": float("nan")}, "headroom"),
        ({"classes": [{"id": "c0", "demand": -1, "quality": {}}]}, "demand"),
    ],
)
def test_a_bad_instance_is_wrong_use_and_names_the_field(files, change, place):
    (files / "bad.json").write_text(json.dumps({**INSTANCE, **change}))
    done = run("solve", files / "bad.json")
    assert done.exit_code == 2
    assert place in done.output


def test_simulate_writes_the_contract_and_plots(files):
    done = run(
        "simulate", "--trace", files / "trace.csv", "--profile", files / "profile.json", "--policy", "argus,clipper-ha",
        "--workers", 2, "--slo", 9, "--seed", 1, "--json", files / "out.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    answer = json.loads((files / "out.json").read_text())
    assert answer["simulated"] is True
    figures = answer["policies"]["argus"]
    assert figures["requests"] == answer["policies"]["clipper-ha"]["requests"] > 0
    assert figures["violation_rate"] <= answer["policies"]["clipper-ha"]["violation_rate"]
    assert sum(figures["levels"].values()) == pytest.approx(1.0)
    assert (files / "out.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("--policy", "luck"), "luck"),
        (("--workers", 0), "worker"),
        (("--slo", -1), "slo"),
    ],
)
def test_a_simulation_that_cannot_be_is_wrong_use(files, words, place):
    done = run("simulate", "--trace", files / "trace.csv", "--profile", files / "profile.json", *words)
    assert done.exit_code == 2
    assert place in done.output


def test_an_unsorted_trace_names_its_line(files):
    (files / "bad.csv").write_text("start_s,requests\n60,3\n0,4\n")
    done = run("simulate", "--trace", files / "bad.csv", "--profile", files / "profile.json")
    assert done.exit_code == 2
    assert "line 3" in done.output
