"""A schedule as a file that Perfetto opens."""

from __future__ import annotations

import json

from core.chrome_trace import LOADING, Schedule, Slice, Tick, colour, events, slots, write

LEVELS = ("exact", "fast")


def a_slice(start: float, end: float, worker: str = "w1", level: str | None = "exact", device: str = "gpu") -> Slice:
    return Slice(device, worker, start, end, level or "load m", level, {"late": False})


SCHEDULE = Schedule(
    [a_slice(1.0, 3.0), a_slice(2.0, 4.0), a_slice(3.0, 5.0, level="fast"), a_slice(0.0, 1.0, level=None),
     a_slice(0.5, 2.0, "w1", device="cpu")],
    [Tick(2.5, 7, {"status": "optimal"})],
    [(0.5, {"m": 1}), (1.0, {"m": 0})],
    LEVELS,
)  # fmt: skip


def test_a_request_takes_the_first_slot_that_is_free() -> None:
    found = [(slot, each.start) for slot, each in slots([a_slice(1, 3), a_slice(2, 4), a_slice(3, 5), a_slice(3.5, 6)])]
    assert found == [(0, 1), (1, 2), (0, 3), (2, 3.5)]


def test_slices_of_a_thread_never_overlap_and_every_track_has_a_name() -> None:
    made = events(SCHEDULE)
    tracks: dict[tuple[int, int], int] = {}
    for event in made:
        if event["ph"] == "X":
            track = event["pid"], event["tid"]
            assert event["ts"] >= tracks.get(track, 0)
            tracks[track] = event["ts"] + event["dur"]
    named = {(e["pid"], e["tid"]): e["args"]["name"] for e in made if e["name"] == "thread_name"}
    assert set(named) == set(tracks)
    assert sorted(named.values()) == ["w1", "w1", "w1 · 2"]
    processes = {e["pid"]: e["args"]["name"] for e in made if e["name"] == "process_name"}
    assert set(processes.values()) == {"scheduler", "cpu", "gpu"}
    assert {pid for pid, _ in tracks} < set(processes)


def test_the_file_is_a_json_array_with_slices_ticks_and_a_counter(tmp_path) -> None:
    write(SCHEDULE, tmp_path / "new" / "run.json")
    made = json.loads((tmp_path / "new" / "run.json").read_text())
    assert isinstance(made, list)
    (tick,) = [event for event in made if event["ph"] == "i"]
    assert (tick["ts"], tick["args"]) == (2_500_000, {"epoch": 7, "status": "optimal"})
    assert [event["args"] for event in made if event["ph"] == "C"] == [{"m": 1}, {"m": 0}]
    assert {event["cname"] for event in made if event["ph"] == "X"} == {LOADING, *(colour(lv, LEVELS) for lv in LEVELS)}


def test_a_level_keeps_its_colour() -> None:
    assert colour("fast", LEVELS) == colour("fast", LEVELS) != colour("exact", LEVELS)
    assert colour("unknown", LEVELS) == colour("unknown", ())
