"""Seeds that are run later stand beside those that are kept."""

from __future__ import annotations

from typing import Any

from bench.scheduler.merging import merged, missing
from bench.scheduler.pooling import pooled
from tests.bench.scheduler.test_pooling import report


def test_those_seeds_are_missing_of_which_no_figures_are_kept() -> None:
    assert missing((1, 2, 3), {"seeds": [1, 3]}) == (2,)
    assert missing((1, 2), {}) == (1, 2)
    assert missing((1, 2), {"seeds": 2}) == (1, 2)  # of before it was kept which


def test_figures_of_two_pieces_are_those_of_one_run_over_all_seeds() -> None:
    runs = [report(200, 100, 0.1), report(300, 0, 0.02), report(100, 10, 0.05)]

    def piece(first: int, last: int) -> dict[str, Any]:
        found = pooled(runs[first:last], exact=120.0)
        return {"seeds": list(range(first, last)), "0.95": {"policies": {"argus": found}}}

    assert merged(piece(0, 2), piece(2, 3)) == piece(0, 3)
    assert merged(merged(piece(0, 1), piece(1, 2)), piece(2, 3)) == piece(0, 3)


def test_what_runs_under_the_first_seed_only_stays() -> None:
    alone = {"nirvana": {"violation_rate": 0.2}}
    found = merged({"seeds": [1], "policies": alone, "prompts": "p"}, {"seeds": [2], "policies": {}, "prompts": "p"})
    assert found == {"seeds": [1, 2], "policies": alone, "prompts": "p"}
