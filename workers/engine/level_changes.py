"""Moving a request to a cheaper level of its model, when its deadline or its allowed levels demand it."""

from __future__ import annotations

from collections.abc import Callable

from core.families import Family
from core.levels import Level
from workers.engine.preparation import Preparation, guidance_at
from workers.engine.request import MOVABLE
from workers.engine.running_request import RunningRequest


class LevelChanges:
    """The level changes of one family's requests: before their first step, and while they run in no mode."""

    def __init__(self, family: Family, preparation: Preparation) -> None:
        self.family, self.preparation = family, preparation

    def at_admission(self, request: RunningRequest, step_s: float, decode_s: float) -> None:
        """A request that waited too long for its level begins at a cheaper one."""
        begun = request.resumed_from is not None or request.batch_sizes
        if begun or request.in_mode:  # others count its steps
            return
        level, cause = self._demanded(request, step_s, decode_s, lambda level: self._steps(request, level))
        if level is not None:
            request.add_reason(f"{level.id} instead of {request.level.id} {cause}")
            request.level = level
            self.preparation.restart(request)

    def while_running(self, request: RunningRequest, step_s: float, decode_s: float) -> None:
        """A running request continues on the remaining noise levels of a cheaper level's schedule."""
        sampler = request.row.sampler
        if request.row.half or request.in_mode:  # its noise levels are those of half the size; others count its steps
            return
        level, cause = self._demanded(
            request, step_s, decode_s, lambda level: sampler.remaining_on(self._steps(request, level))
        )
        if level is None:
            return
        before = request.steps_left
        sampler.shorten(self._steps(request, level))
        request.add_reason(
            f"moved from {request.level.id} to {level.id} with {before} steps left, {request.steps_left} run instead, "
            f"{cause}"
        )
        request.level, request.store_at = level, frozenset()

    def _demanded(
        self, request: RunningRequest, step_s: float, decode_s: float, steps_at: Callable[[Level], int | None]
    ) -> tuple[Level | None, str]:
        """The best allowed level that meets the deadline, and the cause, where the request may not stay as it is.

        Args:
            step_s: seconds of a step at present.
            decode_s: seconds from the last step to the image.
            steps_at: forwards that a level would still take; None where the request can't continue at it.
        """
        allowed, left_s = request.request.allowed_levels, request.seconds_left - decode_s
        too_slow = request.steps_left * step_s > left_s
        not_offered = bool(allowed) and request.level.id not in allowed
        if left_s <= 0 or not (not_offered or (too_slow and allowed)):
            return None, ""
        slow = f"to meet its deadline at {step_s:.2g} s a step"
        cause = f"as {request.level.id} is no longer offered" if not_offered else slow
        best_first = sorted(self._candidates(request), key=lambda level: self._steps(request, level), reverse=True)
        for level in best_first:
            steps = steps_at(level)
            if steps is not None and steps < request.steps_left and steps * step_s <= left_s:
                return level, cause
        return None, ""

    def _candidates(self, request: RunningRequest) -> list[Level]:
        """Allowed levels of the same model and guidance whose difference is the schedule alone."""
        allowed = map(self.family.level, request.request.allowed_levels)
        return [level for level in allowed if level.id != request.level.id and self._compatible(request, level)]

    def _compatible(self, request: RunningRequest, level: Level) -> bool:
        """Whether neither the batch nor the conditioning of the row would change."""
        same_model = level.model == request.level.model and level.strategy in MOVABLE
        same_guidance = guidance_at(request, level) == guidance_at(request, request.level)
        return same_model and same_guidance and not request.level.reuses_features

    def _steps(self, request: RunningRequest, level: Level) -> int:
        return level.schedule(request.request.steps, self.family.defaults.steps)[0]
