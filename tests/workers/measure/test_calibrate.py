"""The latency target follows what the reference level takes on this machine."""

import json

import pytest

from core.settings import settings
from workers.measure import calibrate
from workers.measure.calibrate import Calibration


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("ARGUS_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    settings.cache_clear()


def calibrated(bench):
    return calibrate.calibrate(bench.engine, bench.family, "cpu", "cpu")


def test_the_first_start_draws_a_few_images_and_keeps_what_they_took(bench, home):
    b = bench(threaded=True)
    b.engine.start()
    first = calibrated(b)
    assert b.engine.stats()["done"] == calibrate.DRAWS
    assert first.exact_s > 0
    assert calibrated(b) == first
    assert b.engine.stats()["done"] == calibrate.DRAWS
    b.engine.stop()


@pytest.mark.parametrize("damage", ["not json", "{}", '{"exact_s": "soon", "made_on": {}}', "[1]"])
def test_what_was_measured_on_another_machine_or_is_damaged_is_measured_again(bench, home, damage):
    b = bench(threaded=True)
    b.engine.start()
    calibrated(b)
    (path,) = home.rglob("cpu.json")
    other = json.loads(path.read_text())
    other["made_on"]["torch"] = "1.0"
    for text in (json.dumps(other), damage):
        path.write_text(text)
        before = b.engine.stats()["done"]
        calibrated(b)
        assert b.engine.stats()["done"] == before + calibrate.DRAWS
    b.engine.stop()


def test_requests_that_ran_alone_correct_it_within_bounds():
    calibration = Calibration(1.0, {})
    for _ in range(50):
        calibration = calibration.corrected(2.0)
    assert calibration.exact_s == pytest.approx(2.0, rel=0.01)
    assert Calibration(1.0, {}).corrected(1e6).exact_s <= 1.0 + calibrate.WEIGHT * calibrate.BOUNDS[1]
