"""The simulator against queues that can be worked out by hand, and the goals it exists to check, in small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli.simulate import simulate as simulate_command
from cli.solve import solve as solve_command
from core.errors import BadInput, BadInstance, BadProfile
from core.profiles import Profile, QualityTable, parse_profile, read_profile, read_quality
from core.settings import ROOT
from scheduler.policies import NAMES, Cluster, Epoch, Observation, Request
from scheduler.policies.argus import Argus
from scheduler.policies.clipper_ha import ClipperHA
from scheduler.simulate import Report, SimConfig, Workload, simulate, synthetic_quality, workload
from scheduler.simulate.bound import bound, fewest_late
from scheduler.simulate.report import as_json, rows
from tests.measured_files import write_profile, write_quality
from tests.scheduler.planning.test_milp import CONTRACT
from tests.scheduler.policies.test_policies import SLO, profile
from traces.reader import Trace

SECONDS = np.array([4.2, 3.36, 2.1])


def steady(load: float, seconds: float = 300.0, seed: int = 1, noise: float = 0.2, **rest: object) -> Workload:
    """Poisson arrivals at a share of what 8 workers carry at the cheapest level."""
    count = load * 8 / 2.1 * seconds
    trace = Trace("steady", seconds, np.zeros(1), np.full(1, seconds), np.full(1, count))
    return workload(trace, synthetic_quality(profile(), seed), profile().ids, seed, noise, **rest)  # type: ignore[arg-type]


def run(policy: str, work: Workload, workers: int = 8, **rest: object) -> Report:
    config = SimConfig(policy, {"a100": profile()}, {"a100": workers}, SLO, **rest)  # type: ignore[arg-type]
    return simulate(config, work)


def at(times: list[float], duration_s: float = 60.0) -> Workload:
    n = len(times)
    ones = np.ones((1, 3))
    return Workload(np.array(times), np.zeros(n, int), ones, ones, ("p",), np.zeros(n), np.zeros(n, bool), duration_s)


def test_one_worker_serves_first_come_first_served_as_worked_out_by_hand() -> None:
    figures = run("clipper-ha", at([0.0, 1.0, 2.0, 40.0]), workers=1).figures
    # 0→4.2, 1→8.4 (7.4), 2→12.6 (10.6), 40→44.2
    assert figures["served"] == 4
    assert figures["violations"] == 0
    assert figures["latency_p50_s"] == pytest.approx((4.2 + 7.4) / 2)
    assert figures["levels"]["exact"] == 1


def test_what_finishes_after_the_target_is_a_violation() -> None:
    figures = run("clipper-ha", at([0.0, 0.0, 0.0, 0.0]), workers=1).figures
    assert figures["violations"] == 1  # 16.8 s > 12.6 s
    assert figures["violation_rate"] == pytest.approx(0.25)
    assert figures["goodput_per_minute"] == pytest.approx(3.0)


def test_rows_that_share_a_worker_go_at_the_speed_of_its_batch() -> None:
    batch = [{"size": 1, "step_s": 1.0}, {"size": 2, "step_s": 1.25}]
    level = {"id": "exact", "requests_per_minute": 60 * 1.6 / 4, "latency_s": 4.0, "batch": batch}
    device = parse_profile({"family": "f", "device": "cpu", "levels": [level]})
    work = replace(at([0.0, 2.0]), truth=np.ones((1, 1)), predicted=np.ones((1, 1)))
    figures = simulate(SimConfig("clipper-ha", {"cpu": device}, {"cpu": 1}, 20.0), work).figures
    # alone until 2 (2 s of work left), then both at 0.8: first at 2 + 2/.8 = 4.5, second has 2 s left: 6.5
    assert figures["latency_p50_s"] == pytest.approx((4.5 + 4.5) / 2)


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (run("argus", steady(0.9, 120.0)) for _ in range(2))
    assert first.figures == second.figures
    assert first.timeline == second.timeline


@pytest.mark.parametrize("policy", ["argus", "pac", "diffserve", "nirvana"])
def test_every_request_has_one_outcome(policy: str) -> None:
    work = steady(0.7, 120.0)
    report = run(policy, work)
    assert report.figures["requests"] == len(work.times)
    assert report.figures["served"] == len(work.times)
    assert sum(report.figures["levels"].values()) == pytest.approx(1)
    assert sum(report.timeline["demand"]) == len(work.times)


def test_argus_meets_the_target_at_90_percent_and_loses_less_than_the_cheapest_level() -> None:
    work = steady(0.9, 300.0)
    argus, cheapest, exact = (run(name, work).figures for name in ("argus", "clipper-ht", "clipper-ha"))
    assert argus["violation_rate"] <= 0.001
    assert argus["quality_lost"] < 0.85 * cheapest["quality_lost"]
    assert exact["violation_rate"] > 0.4


def test_above_capacity_deferring_unreachable_deadlines_is_near_the_fewest_possible() -> None:
    work = steady(1.3, 180.0)
    least = fewest_late(work.times, 8, 2.1, SLO)
    for name in ("argus", "clipper-ht", "pac"):  # fairly: all of them may
        late, queueing = (run(name, work, admission_control=may).figures["violations"] for may in (True, False))
        assert least <= late <= 1.1 * least
        assert queueing > 2 * late


def test_demand_seen_before_the_run_is_known_at_its_first_second() -> None:
    rates: list[float] = []

    class Listening(Argus):
        def arrival_rate(self, state):
            rates.append(state.rate)
            return super().arrival_rate(state)

    work = steady(0.9, 20.0)
    config = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO, history=(3,) * 900)
    simulate(config, work, Listening(Cluster(config.profiles, SLO)))
    assert rates[0] == pytest.approx(3.0, rel=0.01)


def test_no_policy_loses_less_than_the_bound() -> None:
    work = steady(0.85, 150.0, noise=0.0)
    least = bound(work.times, work.truth[work.rows], SECONDS, 8, SLO)
    oracle, argus = run("oracle", work).figures, run("argus", work).figures
    assert least.late == 0
    assert least.quality_lost < oracle["quality_lost"]
    assert least.quality_lost < argus["quality_lost"]


def test_the_bound_is_exact_where_it_is_plain() -> None:
    # two requests at once on one worker, slo 6: 4 + 2 or 3 + 3 or 2 + 4; the dearer prompt gets the better level
    quality = np.array([[1.0, 0.9, 0.8], [1.0, 0.6, 0.4]])
    found = bound(np.zeros(2), quality, np.array([4.0, 3.0, 2.0]), 1, 6.0)
    assert (found.late, found.quality_lost) == (0, pytest.approx(0.1))
    assert fewest_late(np.zeros(5), 1, 2.0, 6.0) == 2


def several_models() -> Profile:
    """Three models on CPUs that gain by batching: exact and two cheaper levels on `large`, one on `turbo`."""

    def level(name: str, model: str, steps: int, quality: float) -> dict:
        batch = [{"size": n, "step_s": s} for n, s in ((1, 0.05), (2, 0.08), (4, 0.14))]
        return {
            "id": name,
            "strategy": "fs",
            "model": model,
            "requests_per_minute": 60 * 4 / (0.14 * steps + 0.1),
            "latency_s": 0.05 * steps + 0.1,
            "quality": quality,
            "batch": batch,
            "load_s": 0.3,
        }

    levels = [level("exact", "large", 24, 1.0), level("fs-12", "large", 12, 0.97), level("fs-8", "large", 8, 0.93)]
    return parse_profile({"family": "f", "device": "cpu", "levels": [*levels, level("fs-4", "turbo", 4, 0.94)]})


@pytest.mark.parametrize("load", [1.2, 2.5])
def test_two_batching_workers_with_several_models_meet_the_target_above_exact_capacity(load: float) -> None:
    device = several_models()
    rate = load * 2 * device.level("exact").requests_per_minute / 60
    trace = Trace("step", 240.0, np.array([0.0, 60.0]), np.array([60.0, 180.0]), np.array([15.0, 180 * rate]))
    work = workload(trace, synthetic_quality(device, 1), device.ids, 1, 0.2)
    base = SimConfig("argus", {"cpu": device}, {"cpu": 2}, 3 * device.reference.latency_s)
    argus, exact, pac = (simulate(replace(base, policy=name), work).figures for name in ("argus", "clipper-ha", "pac"))
    assert argus["violation_rate"] < 0.01
    assert argus["violation_rate"] < min(exact["violation_rate"], pac["violation_rate"])
    assert argus["quality_mean"] > pac["quality_mean"]


def test_batch_work_fills_idle_time_at_the_best_level_and_takes_none_from_interactive_work() -> None:
    alone = steady(0.6, 150.0, batch_share=0.0)
    extra = np.linspace(0, 149, 75)
    times = np.concatenate([alone.times, extra])
    order = np.argsort(times, kind="stable")
    both = replace(
        alone,
        times=times[order],
        rows=np.concatenate([alone.rows, np.zeros(75, int)])[order],
        similarity=np.zeros(len(times)),
        batch=np.concatenate([np.zeros(len(alone.times), bool), np.ones(75, bool)])[order],
    )
    plain, mixed = run("argus", alone), run("argus", both)
    assert mixed.figures == plain.figures
    assert mixed.batch["served"] == 75
    assert mixed.batch["quality_mean"] == 1
    assert mixed.ticks["evictions"] > 0


@pytest.mark.parametrize(("load", "exact"), [(0.1, 0.99), (0.3, 0.97), (0.6, 0.9)])
def test_a_lightly_loaded_cpu_draws_nearly_everything_exactly(load: float, exact: float) -> None:
    """The embedded family by its own profile and quality table, one worker, the least target for people who wait."""
    device = read_profile(ROOT / "profiles" / "embedded" / "cpu.json")
    table = read_quality(ROOT / "profiles" / "embedded" / "quality.csv").select(device.ids)
    requests = load * device.reference.requests_per_minute * 5
    trace = Trace("steady", 300.0, np.zeros(1), np.full(1, 300.0), np.full(1, requests))
    work = workload(trace, table, device.ids, 3, 0.3)
    figures = simulate(SimConfig("argus", {"cpu": device}, {"cpu": 1}, 2.0), work).figures
    assert figures["levels"]["exact"] >= exact
    assert figures["violation_rate"] <= 0.005


def test_a_batch_window_is_a_deadline_also_when_there_is_no_idle_capacity() -> None:
    """85 % interactive and 8 % batch work on top, all of it at the cheapest level: nobody need be late."""
    work = steady(0.93, 900.0, batch_share=0.08 / 0.93)
    report = run("argus", work, batch_window_s=200.0)
    assert report.batch["requests"] > 200
    assert report.batch["late"] <= 0.01 * report.batch["requests"]
    assert report.figures["violation_rate"] <= 0.005
    patient = run("argus", work, batch_window_s=86_400.0)
    assert patient.batch["quality_mean"] > report.batch["quality_mean"]  # with time, batch work gets the best level


def test_in_an_overload_that_lasts_what_missed_its_deadline_is_served_all_the_same() -> None:
    """At 130 % for half an hour there is never an idle worker; the first to be set apart are served before the end."""
    work = steady(1.3, 1800.0)
    finished: list[tuple[float, float]] = []

    class Watched(Argus):
        def finished(self, request: Request, level: str, *rest: object) -> None:
            finished.append((request.arrived, rest[2].now))  # type: ignore[attr-defined]

    config = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO)
    simulate(config, work, Watched(Cluster(config.profiles, SLO)))
    long_late = [now - arrived for arrived, now in finished if now < 1800.0 and now - arrived > 5 * SLO]
    assert len(long_late) > 10
    assert min(long_late) > 10 * SLO


def test_a_worker_that_dies_loses_no_request_and_comes_back() -> None:
    work = steady(0.5, 240.0)
    report = run("argus", work, failures=((60.0, 0, 60.0), (61.0, 3, 30.0)))
    assert report.figures["served"] == len(work.times)
    assert report.figures["violations"] > 0  # what they ran is only missed when it is stale


def test_changing_models_takes_the_time_to_load_them() -> None:
    heavy = profile(exact="big", ac_10="big", ac_25="small").model_dump()
    for level in heavy["levels"]:
        level["load_s"] = 20.0

    class Switching(ClipperHA):
        """`exact` in its first epoch, `ac-25` ever after."""

        def level(self) -> str:
            return "ac-25" if self.epochs else "exact"

        def plan(self, observed: Observation) -> Epoch:
            model = self.cluster.holds(self.level())
            epoch = super().plan(observed)
            return replace(epoch, plan=replace(epoch.plan, workers={"a100": {model: 1}}))

    config = SimConfig("clipper-ha", {"a100": parse_profile(heavy)}, {"a100": 1}, SLO)
    report = simulate(config, at([11.0]), Switching(Cluster(config.profiles, SLO)))
    # the tick at 10 has the worker load `small` until 30; then 2.1 s
    assert report.figures["latency_p50_s"] == pytest.approx(30 + 2.1 - 11)
    assert report.ticks["switches"] == 1


def test_the_report_is_the_contract_of_the_design() -> None:
    report = run("argus", steady(0.5, 60.0))
    data = json.loads(json.dumps(as_json([report], {"seed": 1})))
    keys = {"requests", "served", "violations", "violation_rate", "goodput_per_minute", "quality_mean", "quality_lost"}
    keys |= {"latency_p50_s", "latency_p95_s", "latency_p99_s", "levels"}
    assert keys <= data["policies"]["argus"].keys()
    assert data["simulated"] is True
    header, body = rows([report])
    assert len(header) == len(body[0])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "oracle"])
def test_a_level_that_one_type_of_device_cannot_run_costs_no_request(name: str) -> None:
    small = profile().model_dump()
    small["device"], small["levels"] = "l4", [level for level in small["levels"] if level["id"] != "ac-25"]
    profiles = {"a100": profile(), "l4": parse_profile(small)}
    work = steady(0.4, 120.0)
    report = simulate(SimConfig(name, profiles, {"a100": 4, "l4": 4}, SLO), work)
    assert report.figures["served"] == len(work.times)
    if name in ("argus", "pac", "clipper-ht"):
        assert report.figures["violation_rate"] < 0.01


@pytest.mark.parametrize(
    ("change", "field"), [({"workers": {}}, "workers"), ({"slo_s": 0.0}, "slo"), ({"tick_s": -1}, "tick")]
)
def test_a_run_that_makes_no_sense_is_refused(change: dict, field: str) -> None:
    config = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO)
    with pytest.raises(BadInput) as caught:
        replace(config, **change)
    assert caught.value.field == field


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_profile(profile(), tmp_path / "profile.json")
    (tmp_path / "trace.csv").write_text("start_s,requests\n0,60\n60,90\n")
    write_quality(synthetic_quality(profile(), 0, 50), tmp_path / "quality.csv")
    (tmp_path / "instance.json").write_text(json.dumps(CONTRACT))
    return tmp_path


def simulate_with(folder: Path, *more: str) -> list[str]:
    base = ["--trace", str(folder / "trace.csv"), "--profile", str(folder / "profile.json"), "--seed", "1"]
    return [*base, "--plot", str(folder / "run.png"), *more]


def test_argus_simulate_prints_a_table_and_writes_json_and_a_plot(files: Path) -> None:
    out = files / "out.json"
    more = ("--policy", "pac,argus", "--scale-to", "120", "--quality", str(files / "quality.csv"), "--json", str(out))
    result = CliRunner().invoke(simulate_command, simulate_with(files, *more), catch_exceptions=False)
    assert result.exit_code == 0
    assert "argus" in result.output
    data = json.loads(out.read_text())
    assert list(data["policies"]) == ["pac", "argus"]
    assert data["slo_s"] == pytest.approx(12.6)
    assert (files / "run.png").stat().st_size > 10_000


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
def test_argus_simulate_names_the_option_that_is_wrong(files: Path, more: tuple[str, ...], field: str) -> None:
    result = CliRunner().invoke(simulate_command, simulate_with(files, *more))
    assert isinstance(result.exception, BadInput)
    assert result.exception.field == field


def test_a_quality_table_without_a_level_of_the_profile_is_refused(files: Path) -> None:
    write_quality(QualityTable(("exact",), ("p",), np.ones((1, 1))), files / "short.csv")
    result = CliRunner().invoke(simulate_command, simulate_with(files, "--quality", str(files / "short.csv")))
    assert isinstance(result.exception, BadProfile)
    assert result.exception.field == "ac-10"


def test_argus_solve_prints_the_plan_and_writes_it(files: Path) -> None:
    out = files / "plan.json"
    result = CliRunner().invoke(
        solve_command, [str(files / "instance.json"), "--json", str(out)], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "108.64" in result.output
    assert json.loads(out.read_text())["served_total"] == pytest.approx(120.0)


def test_argus_solve_refuses_a_broken_instance_and_a_missing_file(files: Path) -> None:
    (files / "broken.json").write_text(json.dumps({**CONTRACT, "devices": {"a100": 0}}))
    result = CliRunner().invoke(solve_command, [str(files / "broken.json")])
    assert isinstance(result.exception, BadInstance)
    assert CliRunner().invoke(solve_command, [str(files / "none.json")]).exit_code == 2
