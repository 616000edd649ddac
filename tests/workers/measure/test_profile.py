"""Profiles: measured, complete, readable by the planner, and honest about what they are."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from core.levels import Level
from core.profiles import Profile, read_profile
from core.settings import Settings
from tests.workers.pencil import Pencil, pencil_family
from tests.workers.toy_loras import save_lora, with_loras
from tests.workers.toys import with_reuse, with_subspace
from workers.engine.loading import configured_dtype
from workers.measure.model_cost import measure_model
from workers.measure.profile import added_to, mean_quality, measure, profile_of


@pytest.fixture(scope="module")
def measured(toys):
    seen = []
    family = toys.family("sd15")
    profile = measure(family, "cpu", sizes=(1, 2), repeats=1, progress=lambda *what: seen.append(what))
    return profile, seen


def test_a_profile_says_what_each_level_costs_and_is_one_the_planner_reads(measured):
    profile, _ = measured
    read = Profile(**profile)
    assert read.ids == ("exact", "fs-10", "ac-4")
    exact, fewer, cached = read.levels
    assert (exact.steps, fewer.steps, cached.skipped_steps) == (20, 10, 4)
    assert exact.latency_s > fewer.latency_s > fewer.encode_s + fewer.decode_s
    assert cached.fetch_s > 0
    assert exact.fetch_s == 0
    assert [point.size for point in exact.batch] == [1, 2]
    assert exact.memory_mb == pytest.approx(0.46, rel=0.2)


def test_a_profile_names_device_versions_and_date_and_claims_no_quality_it_did_not_measure(measured):
    profile, _ = measured
    assert profile["device"] == "cpu"
    assert profile["hardware"]["torch"] == torch.__version__
    assert profile["hardware"]["dtype"] == "float32"
    assert "UTC" in profile["measured"]
    assert profile["quality_measured"] is False
    assert all("quality" not in level for level in profile["levels"])


def test_what_a_lora_costs_is_measured_where_the_family_has_one(toys, tmp_path, measured):
    family = with_loras(toys.family("sd15"), "random", ink=save_lora(toys.adapter("sd15"), tmp_path, 1))
    read = Profile(**measure(family, "cpu", sizes=(1,), repeats=3))
    assert {level.lora_ratio for level in read.levels} == {read.levels[0].lora_ratio}
    assert 0.5 < read.levels[0].lora_ratio < 20, "a step with a LoRA over one without"
    assert all("lora_ratio" not in level for level in measured[0]["levels"])


def test_a_level_that_is_drawn_by_name_alone_is_measured_and_stands_apart(toys):
    family = toys.family("sd15")
    named = family.level("fs-10").model_copy(update={"by_name": True})
    changed = family.model_copy(update={"levels": {**family.levels, "fs-10": named}})
    read = Profile(**measure(changed, "cpu", sizes=(1,), repeats=1))
    assert (read.ids, [level.id for level in read.by_name]) == (("exact", "ac-4"), ["fs-10"])


def test_levels_are_measured_into_the_profile_that_is_there_and_leave_the_others_alone(measured):
    before, _ = measured
    again = {**before, "measured": "later", "levels": [{**before["levels"][1], "latency_s": 9.0}], "by_name": []}
    after = added_to(before, again)
    assert [level["id"] for level in after["levels"]] == ["exact", "ac-4", "fs-10"]
    assert after["levels"][0] == before["levels"][0]
    assert (after["levels"][2]["latency_s"], after["levels"][2]["measured"]) == (9.0, "later")
    moved = added_to(before, {**again, "levels": [], "by_name": again["levels"]})
    assert [level.id for level in Profile(**moved).by_name] == ["fs-10"]


@pytest.mark.parametrize("name", ["cq", "sub"])
def test_a_level_whose_steps_are_not_all_alike_costs_what_a_whole_run_of_it_does(toys, tmp_path, name):
    member = toys.member("unet")
    family = with_reuse(member, tmp_path) if name == "cq" else with_subspace(member)
    read = Profile(**measure(family, "cpu", sizes=(1, 2), repeats=1))
    exact, other = read.level("exact"), read.level(name)
    assert (exact.steps, other.steps) == (7, 7)
    assert [point.size for point in other.batch] == [1, 2]
    assert other.batch != exact.batch


def test_a_level_that_may_start_from_the_cache_and_reuses_features_is_measured_from_its_start(toys, tmp_path):
    family = with_reuse(toys.member("unet"), tmp_path)
    cq = family.level("cq").model_dump()
    both = Level(**{**cq, "id": "ac+cq", "strategy": "ac+cq", "skip": 3, "by_name": True})
    read = Profile(**measure(family.model_copy(update={"levels": {**family.levels, "ac+cq": both}}), sizes=(1,)))
    (joined,) = read.by_name
    assert (joined.steps, joined.skipped_steps) == (7, 3)
    assert joined.latency_s == pytest.approx(
        joined.encode_s + joined.fetch_s + 4 * joined.batch[0].step_s + joined.decode_s
    )


def test_progress_is_told_before_each_model(measured):
    assert measured[1] == [(0, 1, "random"), (1, 1, "done")]


def test_mean_quality_comes_from_the_table_where_there_is_one(toys, tmp_path, monkeypatch):
    monkeypatch.setattr("core.measured.SHIPPED", tmp_path)
    family = toys.family("sd15")
    assert mean_quality(family) == {}
    (tmp_path / family.id).mkdir()
    (tmp_path / family.id / "quality.csv").write_text("prompt,exact,fs-10\na fox,1.0,0.9\nan owl,1.0,0.7\n")
    assert mean_quality(family) == {"exact": 1.0, "fs-10": pytest.approx(0.8)}


def test_the_command_writes_the_profile_and_prints_a_table(toys, tmp_path):
    from cli.profile import profile

    family = toys.family("sd15")
    file = tmp_path / "toy.toml"
    file.write_text(
        'id = "toy"\ntitle = "Toy"\nversion = "1"\nreference = "exact"\n'
        "[defaults]\nsteps = 4\nguidance = 2.0\nwidth = 64\nheight = 64\n"
        "[limits]\nsteps = [1, 9]\nguidance = [0.0, 9.0]\nsizes = [[64, 64]]\n"
        f'[models.m]\npipeline = "stable-diffusion"\npath = "{family.models["random"].path}"\n'
        '[levels.exact]\nstrategy = "exact"\nmodel = "m"\n[scorer]\nkind = "hf-clip"\npath = "x"\n'
    )
    out, copy = tmp_path / "out.json", tmp_path / "copy.json"
    arguments = [
        "--family",
        str(file),
        "--sizes",
        "1",
        "--repeats",
        "1",
        "--out",
        str(out),
        "--json",
        str(copy),
    ]
    result = CliRunner().invoke(profile, arguments)
    assert result.exit_code == 0, result.output
    assert read_profile(out).ids == ("exact",)
    assert json.loads(copy.read_text())["random_weights"] is False
    assert "exact" in result.output


def test_what_was_measured_before_memory_ran_out_is_kept_and_the_size_that_did_not_fit_is_named():
    family = pencil_family()
    adapter = Pencil(family.models["large"], "cpu", torch.float64)
    adapter.most_rows = 5  # two guided rows
    cost = measure_model(family, "large", "cpu", torch.float64, (1, 2, 4, 8), 1, lambda: adapter)
    assert list(cost.step_s) == [1, 2]
    assert cost.out_of_memory_at == 4
    assert cost.activation_mb_per_row == 0.0, "nobody counts on the CPU"
    profile = profile_of(family, {"large": cost}, "cpu", torch.float64)
    assert profile["out_of_memory"] == {"large": 4}
    assert Profile(**profile).level("exact").curve.max_size == 2
    adapter.most_rows = 1
    with pytest.raises(torch.OutOfMemoryError):
        measure_model(family, "large", "cpu", torch.float64, (1, 2), 1, lambda: adapter)


@pytest.mark.parametrize("name", ["bfloat16", "auto"])
def test_the_dtype_that_is_set_is_the_one_that_is_measured(toys, name, monkeypatch):
    monkeypatch.setattr("workers.engine.loading.settings", lambda: Settings(dtype=name))
    assert configured_dtype("cpu") == (torch.bfloat16 if name == "bfloat16" else torch.float32)
    assert configured_dtype("cuda:0") == torch.bfloat16
    measured = measure(toys.family("sd15"), "cpu", sizes=(1,), repeats=1)
    assert measured["hardware"]["dtype"] == ("bfloat16" if name == "bfloat16" else "float32")


def test_random_weights_build_the_architecture_when_the_model_is_loaded():
    from workers.pipelines.random_weights import random_family

    family = random_family("sdxl")
    assert family.models["random"].path == "random:sdxl"
    assert family.defaults.width == 1024
