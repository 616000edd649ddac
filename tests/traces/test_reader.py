"""Traces: three shapes, scaled and cut, drawn with a seed, refused with the line at fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import BadTrace
from traces.reader import Trace, read_trace


def trace(tmp_path: Path, text: str) -> Trace:
    path = tmp_path / "t.csv"
    path.write_text(text)
    return read_trace(path)


@pytest.fixture
def counts(tmp_path: Path) -> Trace:
    rows = "".join(f"{60 * i},{n}\n" for i, n in enumerate([30, 60, 90, 120]))
    return trace(tmp_path, "start_s,requests\n" + rows)


def test_counts_rates_and_arrivals_of_the_same_demand_agree(tmp_path: Path) -> None:
    expected = [60.0, 120.0]
    assert trace(tmp_path, "start_s,requests\n0,60\n60,120\n").minutes == pytest.approx(expected)
    assert trace(tmp_path, "start_s,requests_per_s\n0,1\n60,2\n").minutes == pytest.approx(expected)
    rows = [f"{i}" for i in range(60)] + [f"{60 + i / 2}" for i in range(120)]
    assert trace(tmp_path, "arrival_s\n" + "\n".join(rows)).minutes == pytest.approx(expected)


def test_a_rate_holds_until_the_next_row_and_a_missing_count_is_nothing(tmp_path: Path) -> None:
    assert trace(tmp_path, "start_s,requests_per_s\n0,1\n60,1\n180,1\n").minutes == pytest.approx([60, 60, 60, 60])
    assert trace(tmp_path, "start_s,requests\n0,60\n60,60\n180,60\n").minutes == pytest.approx([60, 60, 0, 60])


def test_scaling_puts_so_many_requests_into_the_busiest_minute(counts: Trace) -> None:
    scaled = counts.scaled_to(217)
    assert scaled.busiest_minute == pytest.approx(217)
    assert scaled.minutes == pytest.approx(counts.minutes * 217 / 120)


def test_the_busiest_minute_is_the_999th_permille_of_minutes() -> None:
    minutes = np.arange(1, 2001, dtype=float)
    long = Trace("t", 2000 * 60.0, np.arange(2000) * 60.0, np.full(2000, 60.0), minutes)
    assert long.busiest_minute == 1999


def test_a_window_keeps_what_lies_in_it_and_starts_at_nought(counts: Trace) -> None:
    cut = counts.window(30, 120)
    assert cut.duration_s == 120
    assert cut.minutes == pytest.approx([45, 75])
    assert counts.window(180).minutes == pytest.approx([120])


def test_draws_repeat_with_a_seed_and_match_the_expected_number(counts: Trace) -> None:
    many = counts.scaled_to(6000)
    first = many.arrivals(3)
    assert (first == many.arrivals(3)).all()
    assert len(first) != len(many.arrivals(4))
    assert len(first) == pytest.approx(many.minutes.sum(), rel=0.03)
    assert (np.diff(first) >= 0).all()
    assert first[0] >= 0
    assert first[-1] < many.duration_s


def test_recorded_arrivals_are_kept_as_they_are_and_copied_or_thinned_when_scaled(tmp_path: Path) -> None:
    text = "arrival_s,prompt\n" + "".join(f"{i / 10},prompt {i}\n" for i in range(1200))
    recorded = trace(tmp_path, text)
    times, rows = recorded.requests(1)
    assert times == pytest.approx(np.arange(1200) / 10)
    assert rows is not None
    assert recorded.prompts is not None
    assert recorded.prompts[rows[7]] == "prompt 7"
    for wanted in (300, 1500):
        assert len(recorded.scaled_to(wanted).arrivals(1)) == pytest.approx(2 * wanted, rel=0.08)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "line 1"),
        ("time,n\n0,1\n", "line 1"),
        ("start_s,requests\n", "line 2"),
        ("start_s,requests\n0,1\n60,-2\n", "line 3"),
        ("start_s,requests\n0,1\n60,nan\n", "line 3"),
        ("start_s,requests\n60,1\n0,1\n", "line 3"),
        ("start_s,requests\n0,1\n0,1\n", "line 3"),
        ("start_s,requests\n0\n", "line 2"),
        ("arrival_s\n1\n0.5\n", "line 3"),
        ("arrival_s\n-1\n", "line 2"),
        ("arrival_s\nsoon\n", "line 2"),
    ],
)
def test_a_broken_trace_names_its_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(BadTrace) as caught:
        trace(tmp_path, text)
    assert caught.value.field == line


def test_scaling_and_cutting_refuse_what_makes_no_sense(counts: Trace) -> None:
    for wrong in (0, -5, float("nan")):
        with pytest.raises(BadTrace):
            counts.scaled_to(wrong)
    for start in (-1, 240, float("nan")):
        with pytest.raises(BadTrace):
            counts.window(start)
    with pytest.raises(BadTrace, match="no requests to scale"):
        Trace("t", 60.0, np.zeros(1), np.full(1, 60.0), np.zeros(1)).scaled_to(10)


def test_a_file_that_is_not_there_is_a_bad_trace(tmp_path: Path) -> None:
    with pytest.raises(BadTrace):
        read_trace(tmp_path / "none.csv")
