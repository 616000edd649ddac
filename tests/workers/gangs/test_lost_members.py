"""Members of a gang die, freeze, leave or do not come, as processes; the leader's engine is the real one."""

from __future__ import annotations

import pytest
import torch

from bench.gangs import FAULTS, LIMIT_S, MESSAGES, STEPS, Case, Outcome, Studio, table
from workers.gangs.company import SILENT_S


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    torch.set_num_threads(1)
    return Studio(tmp_path_factory.mktemp("gangs"))


@pytest.mark.parametrize("seed", range(len(FAULTS) * len(MESSAGES)), ids=lambda seed: str(Case.of(seed)))
def test_every_image_is_drawn_by_both_or_soon_by_the_leader_alone(studio: Studio, seed: int):
    outcome = studio.outcome(Case.of(seed))
    assert outcome.is_good, outcome
    if outcome.case.fault == "does not come":
        assert (outcome.turns, outcome.off) == (0, 0.0)


def test_a_leader_that_was_left_alone_meets_the_next_member(studio: Studio):
    alone, after = (Case(seed, "asyncdiff", fault, 0) for seed, fault in enumerate(("does not come", "stays")))
    assert studio.outcome(alone).turns == 0
    assert studio.outcome(after).turns == STEPS


def test_silence_ends_before_the_leader_has_to_be_alone():
    assert SILENT_S < LIMIT_S - 2


def test_what_is_not_good_is_told_from_what_is():
    dies, stays = Case(0, "asyncdiff", "dies", 3), Case(4, "asyncdiff", "stays", 3)
    assert Outcome(dies, 4, "gone", 0.1, 0.01).is_good
    assert Outcome(stays, STEPS, None, None, 0.01).is_good
    for bad in (
        Outcome(dies, 4, "gone", LIMIT_S + 1, 0.01),
        Outcome(dies, STEPS, None, None, 0.01),
        Outcome(stays, 4, "gone", 0.1, 0.01),
        Outcome(dies, 4, "gone", 0.1, float("nan")),
    ):
        assert not bad.is_good
    assert "| dies | 1 | 1 | 1 | 0.10 (0.10) | 0.01 |" in table([Outcome(dies, 4, "gone", 0.1, 0.01)])
