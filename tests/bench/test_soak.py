"""What the soak says of samples, and that it sees real processes."""

import os
from pathlib import Path

import pytest

from bench.soak import MB, Sample, look, plot, verdict


def samples(name, memory, handles=lambda at: 20):
    return [Sample(at, name, round(memory(at) * MB), handles(at)) for at in range(0, 3600, 5)]


def test_growth_during_the_warm_up_does_not_count():
    found = verdict(samples("web", lambda at: 100 + min(at, 900) / 10), 900)["web"]
    assert found["flat"]
    assert found["growth"] == pytest.approx(0)


def test_a_slow_leak_is_seen():
    found = verdict(samples("scheduler", lambda at: 600 * (1 + 0.04 * at / 3600)), 900)["scheduler"]
    assert not found["flat"]
    assert found["growth"] > 0.02
    assert found["growth_at_end"] > 0.005


def test_what_fills_up_to_a_bound_grows_and_is_flat_at_the_end():
    found = verdict(samples("scheduler", lambda at: 600 + min(at, 2000) / 50), 900)["scheduler"]
    assert not found["flat"]
    assert found["growth_at_end"] == pytest.approx(0)


def test_handles_that_are_not_given_back_are_seen():
    found = verdict(samples("web", lambda at: 100, lambda at: 20 + at // 600), 900)["web"]
    assert found["growth"] == 0
    assert not found["flat"]
    few = verdict(samples("postgres", lambda at: 100, lambda at: 1000 + at // 600), 900)["postgres"]
    assert few["flat"]


def test_a_growth_of_one_process_is_not_another_s():
    found = verdict(samples("a", lambda at: 100) + samples("b", lambda at: 100 + at), 900)
    assert {name: one["flat"] for name, one in found.items()} == {"a": True, "b": False}


def test_a_real_process_has_memory_and_handles_and_one_that_is_gone_has_none(tmp_path):
    (mine,) = look(1.0, "web", os.getpid())
    with (tmp_path / "open").open("w"):
        (more,) = look(2.0, "web", os.getpid())
    assert mine.memory > 10 * MB
    assert more.handles == mine.handles + 1
    assert look(1.0, "web", 2**22 + 1) == []


def test_the_plot_is_drawn(tmp_path: Path):
    plot(samples("web", lambda at: 100), 900, tmp_path / "img" / "soak.png")
    assert (tmp_path / "img" / "soak.png").read_bytes().startswith(b"\x89PNG")
