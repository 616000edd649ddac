"""Measurements of this host win over those that came with Argus, and are written where they can be."""

import pytest

from core import measured
from core.settings import settings


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    """A folder of measurements that came with Argus, and an empty home."""
    monkeypatch.setattr(measured, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("ARGUS_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "shipped" / "toy"
    settings.cache_clear()


def put(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("{}")


def test_this_hosts_own_file_is_read_first(shipped, tmp_path):
    own = tmp_path / "home" / "profiles" / "toy"
    put(shipped, "cpu.json", "h100.json")
    assert measured.measured_file("toy", "cpu.json") == shipped / "cpu.json"
    put(own, "cpu.json")
    assert measured.measured_file("toy", "cpu.json") == own / "cpu.json"
    assert measured.measured_files("toy", "*.json") == [own / "cpu.json", shipped / "h100.json"]


def test_a_checkout_takes_new_measurements_and_an_installation_leaves_them_to_its_home(shipped, tmp_path, monkeypatch):
    put(shipped)
    assert measured.measured_target("toy", "cpu.json") == shipped / "cpu.json"
    monkeypatch.setattr(measured, "CHECKOUT", False)
    assert measured.measured_target("toy", "cpu.json") == tmp_path / "home" / "profiles" / "toy" / "cpu.json"
