"""Any order of a request's moves, on a real database: lost workers, thawed ones, doubled, lost and late answers.

After every move the rows must agree with each other, and at the end of each run every request must be able to end.
"""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from core import requests, user_moves
from core.database import transaction
from core.settings import settings
from core.tables import Job, Request, State
from core.workers import beat
from tests.conftest import environment
from tests.core.request_world import LEVELS, MODELS, NAMES, Running, World, images, silence
from tests.fuzz import examples

HOW = ["finished", "finished, and the answer was lost", "failed", "device_failed", "returned", "cancelled"]
PLACES = st.integers(0, len(NAMES) - 1)
NUMBERS = st.integers(0, 7)


class Life(World, RuleBasedStateMachine):
    """The moves in any order; numbers choose among what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.accepts(2)
        self.routes("exact")

    def _queued(self, number: int) -> Request | None:
        rows = self.rows(State.QUEUED)
        return rows[number % len(rows)] if rows else None

    def _awake(self, place: int) -> Running:
        worker = self.workers[place]
        if worker.silent:
            assert beat(worker.identity, state="ready")
            worker.silent = False
        return worker

    @precondition(lambda self: len(self.jobs) < 3)
    @rule(count=st.integers(1, 2))
    def accept(self, count: int) -> None:
        self.accepts(count)

    @rule(level=st.sampled_from(LEVELS))
    def route_twice(self, level: str) -> None:
        assert requests.route(self.routes(level), 2) == []

    @rule(level=st.sampled_from(LEVELS))
    def nobody_serves_a_level(self, level: str) -> None:
        with transaction() as session:
            requests.return_to_router(session, "toy", [level])
        self.routes("exact")

    @rule(number=NUMBERS, place=PLACES, level=st.none() | st.sampled_from(LEVELS))
    def claim(self, number: int, place: int, level: str | None) -> None:
        if (row := self._queued(number)) is not None:
            self.claims(self._awake(place), row, level)

    @rule(number=NUMBERS, place=PLACES, how=st.sampled_from(HOW[:-1]))
    def claim_and_end(self, number: int, place: int, how: str) -> None:
        if (row := self._queued(number)) is not None:
            worker = self._awake(place)
            self.ends(self.claims(worker, row), how)
            worker.claims.pop()

    @precondition(lambda self: any(worker.claims for worker in self.workers))
    @rule(number=NUMBERS, how=st.sampled_from(HOW), also_late=st.booleans())
    def end(self, number: int, how: str, also_late: bool) -> None:
        """With `also_late`, another thread of a frozen process ends the same attempt once more."""
        held = [(worker, claim) for worker in self.workers for claim in worker.claims]
        worker, claim = held[number % len(held)]
        worker.claims.remove(claim)
        self.ends(claim, how)
        self.late += [claim] * also_late

    @precondition(lambda self: self.late)
    @rule(number=NUMBERS, how=st.sampled_from(HOW))
    def end_late(self, number: int, how: str) -> None:
        """A process that was held for lost was only frozen."""
        self.ends_late(self.late.pop(number % len(self.late)), how)

    def ends_late(self, claim: requests.Claim, how: str) -> None:
        if any(image.attempt_id == claim.attempt for image in images(claim.request.id)):
            return  # it has its image: no process finishes an attempt with two
        self.ends(claim, how)

    @precondition(lambda self: any(worker.claims for worker in self.workers))
    @rule(place=PLACES)
    def forget_a_claim(self, place: int) -> None:
        """The answer to a claim was lost."""
        worker = self._awake(place)
        del worker.claims[-1:]
        self.finds_forgotten(worker)

    @rule(place=PLACES, all_of_it=st.booleans())
    def lose_a_worker(self, place: int, all_of_it: bool) -> None:
        """With all that it could claim, or with what it had."""
        worker = self._awake(place)
        for row in self.rows(State.QUEUED) if all_of_it else []:
            self.claims(worker, row)
        self.crashes(place)
        self.lost.take_back()

    @rule(place=PLACES)
    def lose_a_silent_worker(self, place: int) -> None:
        silence(self.workers[place])
        self.lost.take_back()

    @rule(number=NUMBERS)
    def redraw(self, number: int) -> None:
        if done := self.rows(State.DONE):
            assert len(requests.redraw(done[number % len(done)].id, "exact", "under its floor")) == 1

    @rule(number=NUMBERS)
    def keep_the_image(self, number: int) -> None:
        if (row := self._queued(number)) is not None:
            assert requests.keep_image([row.id]) == ({row.id} if images(row.id) else set())

    @precondition(lambda self: len(self.jobs) > 2)
    @rule()
    def cancel_a_job(self) -> None:
        with transaction() as session:
            user_moves.cancel_job(session, session.get_one(Job, self.jobs[-1]))

    @rule(number=NUMBERS, move=st.sampled_from([user_moves.PAUSE, user_moves.RESUME, user_moves.RETRY]))
    def the_user_moves_a_job(self, number: int, move: user_moves.Move) -> None:
        """Paused, resumed, or tried again: a worker that still holds what was cancelled is let finish."""
        self.moves(self.jobs[number % len(self.jobs)], move)

    @rule()
    def a_message_for_what_is_paused_is_late(self) -> None:
        for row in self.rows(State.PAUSED):
            assert requests.claim(row.id, self.workers[0].identity, MODELS, LEVELS) is None

    @invariant()
    def rows_agree(self) -> None:
        self.agrees()

    def teardown(self) -> None:
        self.comes_to_an_end()


@pytest.mark.timeout(7200)  # for the profile `fuzz`; the few of the suite take half a minute
def test_whatever_order_the_moves_come_in_rows_agree_and_every_request_ends(database: object) -> None:
    with environment({"ARGUS_STALE_S": "1"}):
        settings.cache_clear()
        try:
            run_state_machine_as_test(Life, settings=examples(20, 2000, stateful_step_count=30))
        finally:
            settings.cache_clear()
