"""What was measured of modes, as a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import BadProfile
from core.parallel_profiles import ModeProfile, read_modes
from core.settings import settings

MODE = {"model": "large", "mode": "distrifusion", "ranks": 2, "step_s": 0.06, "serial_s": 0.1, "meet_s": 0.2}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARGUS_HOME", str(tmp_path))
    settings.cache_clear()
    path = tmp_path / "profiles" / "none" / "parallel" / "cpu.json"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture(autouse=True)
def _afterwards():
    yield
    settings.cache_clear()


def test_what_was_measured_is_read_and_nothing_where_nothing_was(file: Path):
    assert read_modes("none", "cpu") == ()
    file.write_text(json.dumps({"version": 1, "measured": "today", "modes": [MODE]}))
    (mode,) = read_modes("none", "cpu")
    assert (mode.ranks, mode.bytes, mode.saves_s(10)) == (2, 0.0, pytest.approx(0.2))


def test_a_file_that_is_none_says_where(file: Path):
    file.write_text(json.dumps({"modes": [{**MODE, "step_s": -1}]}))
    with pytest.raises(BadProfile, match=r"modes\.0\.step_s: .*more than 0"):
        read_modes("none", "cpu")


def test_two_halves_of_guidance_and_ulysses_keep_the_image():
    pairs = [(name, ranks) for name in ("distrifusion", "ulysses", "asyncdiff") for ranks in (2, 4)]
    kept = [pair for pair in pairs if ModeProfile(**{**MODE, "mode": pair[0], "ranks": pair[1]}).is_lossless]
    assert kept == [("distrifusion", 2), ("ulysses", 2), ("ulysses", 4)]
