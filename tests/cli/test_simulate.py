"""`argus simulate`: a table for people, JSON for programs, exit status 2 for what cannot be done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli.main import argus
from cli.simulate import simulate as simulate_command
from core.errors import BadInput, BadProfile
from core.profiles import QualityTable
from scheduler.simulate import synthetic_quality
from tests.measured_files import write_profile, write_quality
from tests.scheduler.policies.small_cluster import profile

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
    (tmp_path / "profile.json").write_text(json.dumps(PROFILE))
    (tmp_path / "trace.csv").write_text("start_s,requests\n0,30\n60,70\n120,30\n")
    return tmp_path


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


def test_simulate_writes_a_trace_for_each_policy(files):
    done = run(
        "simulate", "--trace", files / "trace.csv", "--profile", files / "profile.json", "--policy", "argus,clipper-ha",
        "--workers", 2, "--slo", 9, "--plot", files / "run.png", "--trace-json", files / "run.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    for policy in ("argus", "clipper-ha"):
        events = json.loads((files / f"run-{policy}.json").read_text())
        assert {event["ph"] for event in events} == {"M", "X", "i", "C"}


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


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_profile(profile(), tmp_path / "profile.json")
    (tmp_path / "trace.csv").write_text("start_s,requests\n0,60\n60,90\n")
    write_quality(synthetic_quality(profile(), 0, 50), tmp_path / "quality.csv")
    return tmp_path


def simulate_with(folder: Path, *more: str) -> list[str]:
    base = ["--trace", str(folder / "trace.csv"), "--profile", str(folder / "profile.json"), "--seed", "1"]
    return [*base, "--plot", str(folder / "run.png"), *more]


def test_argus_simulate_prints_a_table_and_writes_json_and_a_plot(written: Path) -> None:
    out = written / "out.json"
    more = ("--policy", "pac,argus", "--scale-to", "120", "--quality", str(written / "quality.csv"), "--json", str(out))
    result = CliRunner().invoke(simulate_command, simulate_with(written, *more), catch_exceptions=False)
    assert result.exit_code == 0
    assert "argus" in result.output
    data = json.loads(out.read_text())
    assert list(data["policies"]) == ["pac", "argus"]
    assert data["slo_s"] == pytest.approx(12.6)
    assert (written / "run.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (("--policy", "best"), "policy"),
        (("--workers", "0"), "workers"),
        (("--workers", "h100=4"), "workers"),
        (("--workers", "many"), "workers"),
        (("--slo", "-1"), "slo"),
        (("--scale-to", "0"), "scale-to"),
        (("--start", "900"), "start"),
    ],
)
def test_argus_simulate_names_the_option_that_is_wrong(written: Path, more: tuple[str, ...], field: str) -> None:
    result = CliRunner().invoke(simulate_command, simulate_with(written, *more))
    assert isinstance(result.exception, BadInput)
    assert result.exception.field == field


def test_a_quality_table_without_a_level_of_the_profile_is_refused(written: Path) -> None:
    write_quality(QualityTable(("exact",), ("p",), np.ones((1, 1))), written / "short.csv")
    result = CliRunner().invoke(simulate_command, simulate_with(written, "--quality", str(written / "short.csv")))
    assert isinstance(result.exception, BadProfile)
    assert result.exception.field == "ac-10"


def modes_of(folder: Path, device: str) -> Path:
    ulysses = {"model": "m", "mode": "ulysses", "ranks": 2, "step_s": 0.06, "serial_s": 0.1}
    path = folder / "modes.json"
    path.write_text(json.dumps({"device": device, "modes": [ulysses]}))
    return path


def test_argus_simulate_says_what_gangs_drew(files):
    level = {"id": "exact", "requests_per_minute": 20, "latency_s": 3.0, "model": "m", "steps": 20}
    (files / "profile.json").write_text(json.dumps({**PROFILE, "levels": [level]}))
    words = ["--trace", files / "trace.csv", "--profile", files / "profile.json", "--scale-to", 10]
    words += ["--workers", 4, "--json", files / "out.json", "--modes", modes_of(files, "gpu")]
    done = run("simulate", *words)
    assert done.exit_code == 0, done.output
    gangs = json.loads((files / "out.json").read_text())["policies"]["argus"]["gangs"]
    assert gangs["requests"] == gangs["modes"]["ulysses, 2 ranks"] > 0
    assert "by gangs" in done.output
    off = run("simulate", *words, "--parallel", "off")
    assert json.loads((files / "out.json").read_text())["policies"]["argus"]["gangs"]["requests"] == 0, off.output


def test_modes_of_a_device_without_workers_are_wrong_use(files):
    words = ("--trace", files / "trace.csv", "--profile", files / "profile.json")
    done = run("simulate", *words, "--modes", modes_of(files, "tpu"))
    assert done.exit_code == 2
    assert "tpu" in done.output
