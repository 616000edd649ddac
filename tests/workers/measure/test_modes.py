"""Modes measured by processes that meet: what the file says, and that who accepts requests can read it."""

from __future__ import annotations

from pathlib import Path

from core.families import load_family
from core.parallel_profiles import ParallelProfile
from tests.live.toy import make_family
from workers.measure.modes import measure_modes


def test_every_mode_that_runs_the_model_is_measured_beside_serial_steps(tmp_path: Path):
    said: list[str] = []
    family = load_family(str(make_family(tmp_path)))
    told = measure_modes(family, "cpu:0", ranks=(2,), progress=lambda done, total, what: said.append(what))
    assert said == ["serial steps", "distrifusion, 2 ranks", "asyncdiff, 2 ranks"]
    assert (told["family"], told["device"], "UTC" in told["measured"], told["refused"]) == ("toy", "cpu", True, [])
    halves, parts = ParallelProfile(**told).modes
    assert halves.is_lossless
    assert not parts.is_lossless
    assert halves.serial_s == parts.serial_s > 0
    assert halves.bytes == 4 * 12 * 2 * 2  # the other half's prediction, 12 channels of 2×2 in float32
    assert parts.bytes > halves.bytes
    assert halves.meet_s > 0
