"""What the light-load bench makes of requests it sent."""

from bench.light_load import figures, page, worker_seconds
from core.families import load_family
from traces.replay.plan import Planned
from traces.replay.send import Sent


def sent(level: str, latency_s: float, target_s: float = 2.0) -> Sent:
    times = {"accepted_at": "2026-11-26T10:00:00+00:00"}
    attempt = {"encode_s": 0.1, "denoise_s": 0.5, "decode_s": 0.1}
    row = {"state": "done", "level": level, "latency_s": latency_s, "times": times, "attempts": [attempt]}
    row["deadline_at"] = f"2026-11-26T10:00:0{target_s:g}+00:00"
    return Sent(Planned(0.0, "a fox", 1), answered=0.01, request_id="r", row=row)


def test_levels_are_counted_and_late_is_by_the_promise_of_the_server():
    requests = [sent("exact", 0.7), sent("exact", 2.5), sent("fs-turbo-2", 0.3), Sent(Planned(0.0, "lost", 1))]
    requests[-1].row = dict(requests[0].row, state="failed")
    found = figures(requests, load_family("embedded"))
    assert (found["requests"], found["exact"], found["late"]) == (4, 0.5, 0.5)
    assert found["target_s"] == 2.0


def test_the_page_names_command_machine_and_every_load():
    requests = [sent("exact", 0.7)]
    run = {"command": "python -m bench.light_load", "measured": "now", "family": "embedded", "family_version": "3"}
    run |= {"load_before": 0.1, "exact_s": worker_seconds(requests)}
    part = figures(requests, load_family("embedded"))
    text = page({"run": run, "hardware": {"name": "a CPU", "cores": 2}, "parts": {"idle": part}})
    assert "python -m bench.light_load" in text
    assert "86 requests a minute" in text
    assert "| idle | 1 | 100.0% | 0.0% |" in text
