"""The GPU's bench, at toy widths on the CPU: every part runs, one that fails spares the others, the page says all."""

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cuda.__main__ import main
from bench.cuda.boxed import Findings
from bench.cuda.page import page
from bench.cuda.setup import psnr
from core.profiles import read_profile


def test_parts_run_at_toy_widths_and_leave_a_page_figures_and_profiles_that_the_planner_reads(tmp_path: Path) -> None:
    wanted = ["steps-sd15", "goodput", "memory", "profile-sdxl"]
    options = [word for part in wanted for word in ("--part", part)]
    result = CliRunner().invoke(main, ["--device", "cpu:0", "--toy", "--out", str(tmp_path), *options])
    assert result.exit_code == 0, result.output
    assert "Toy widths" in (tmp_path / "cuda.md").read_text()
    (file,) = (tmp_path / "profiles").glob("*.json")
    assert file.name == "random-sdxl__cpu.json"
    assert read_profile(file).ids == ("exact", "fs-10", "ac-4")


@pytest.fixture
def found(tmp_path: Path) -> Findings:
    about = {"measured": "now", "toy": False, "hardware": {"name": "a GPU", "torch": "2", "diffusers": "0"}}
    return Findings(tmp_path / "cuda.json", 60.0, about=about)


def test_a_part_that_fails_or_takes_too_long_is_named_and_the_next_one_runs(found: Findings) -> None:
    found.run("fails", 10, lambda: 1 / 0)
    found.run("sleeps", 3, lambda: time.sleep(30))
    found.run("runs", 10, lambda: found.expect(True, "something holds"))
    assert found.parts["fails"].startswith("failed: ZeroDivisionError")
    assert found.parts["sleeps"] == "cut after 3 s"
    text = page(found.as_dict())
    assert "- holds: something holds" in text
    assert "Part `sleeps`: cut after 3 s." in text


def test_a_part_for_which_no_time_is_left_is_skipped(found: Findings) -> None:
    found.seconds = 0.0
    found.run("late", 10, lambda: found.expect(False, "never looked at"))
    assert found.parts["late"].startswith("skipped")
    assert not found.checks


def test_pictures_agree_by_their_peak_signal_to_noise_ratio() -> None:
    import numpy as np

    one = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(one, one + 1) == pytest.approx(48.13, abs=0.01)
