"""The page says first what did not hold."""

from dataclasses import asdict

from bench.chaos.page import page
from bench.chaos.recovery import Row
from bench.chaos.verdict import Finding

RUN = {"command": "python -m bench.chaos", "began": 0.0, "commit": "abc", "load_before": 0.5, "family": "toy"}
RUN |= {"family_version": "1", "struck_s": 180.0, "seed": 7, "per_minute": 24.0, "drained_s": 12.0, "settled_s": None}
COUNTS = {"faults": 48, "hit": 40, "jobs": 70, "promised": 90, "images": 91, "attempts lost": 4, "answers 202": 70}
TABLE = [
    Row("worker killed", "processes", 3, 2, (4.0, 9.5), (6.0, 20.0)),
    Row("clock steps", "clock", 1, 0, None, None),
]


def told(*findings: Finding) -> str:
    machine = {"name": "a CPU", "cores": 2, "versions": {"python": "3.11"}}
    found = {
        "run": RUN,
        "counts": COUNTS,
        "hardware": machine,
        "skipped": {"store full": "no mount"},
        "left": {"orphans": 3},
    }
    return page({**found, "findings": [asdict(each) for each in findings], "table": [asdict(row) for row in TABLE]})


def test_what_does_not_hold_stands_first_and_is_not_among_what_held():
    text = told(Finding("orphans", 2, ("a.png", "b|c.png")))
    assert text.index("**Does not hold: 2 image files without a row**") < text.index("Held, from SQL")
    assert "image files without a row: 0" not in text
    assert "accepted requests without a row: 0" in text
    assert "b/c.png" in text


def test_a_run_in_which_all_held_says_so_with_seed_machine_and_counts():
    text = told()
    for part in ("Everything held.", "image files without a row: 0", "seed 7", "a CPU, 2 cores", "attempts lost: 4"):
        assert part in text
    assert "more than the patience of the harness more until" in text
    assert "- store full: no mount" in text
    assert "Left to reconciliation then: 3 image files without a row." in text


def test_the_table_has_median_and_longest_and_a_dash_where_nothing_was_met():
    text = told()
    assert "| processes | worker killed | 3 | 2 | 4.0 / 9.5 | 6.0 / 20.0 |" in text
    assert "| clock | clock steps | 1 | 0 | – | – |" in text
