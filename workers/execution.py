"""One claimed request on this worker's engine, from its first step to a stored image or a reason why there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from core import attempts, requests
from core.database import AWAY as DATABASE_AWAY
from core.database import patiently
from core.emphasis import read_emphasis
from core.errors import ArgusError, Cancelled, DeviceFailed, ModelNotHeld, StoreDown
from core.families import Family
from core.images import ImageStore
from core.loras import read_loras
from core.requests import Claim
from core.tables import Request
from workers.admission import PolicyAdmission
from workers.allowed_levels import allowed_levels
from workers.assignment import AssignmentFollower
from workers.claims import Claims
from workers.company import Company
from workers.engine.request import GenerationRequest, GenerationResult
from workers.gangs.leading import Leading
from workers.progress import ProgressReporter
from workers.recording import Recorder
from workers.sources import begun_with

if TYPE_CHECKING:
    from workers.engine.engine import Engine
    from workers.measure.calibrate import Calibration

log = structlog.get_logger(__name__)
AWAY = (*DATABASE_AWAY, StoreDown)


class Execution:
    """Runs claims, each to its end: an image, or an attempt that says why not.

    Args:
        admission: says whether what runs may be moved to another level on the way.
        means: relative quality by level, from the profile.
        stopping: set when the worker is to begin nothing more.
    """

    def __init__(
        self,
        family: Family,
        engine: Engine,
        follower: AssignmentFollower,
        images: ImageStore,
        claims: Claims,
        stopping: threading.Event,
        admission: PolicyAdmission,
        means: Mapping[str, float],
    ) -> None:
        self.family, self.engine, self.follower = family, engine, follower
        self.claims, self.stopping = claims, stopping
        self.admission, self.means = admission, means
        self.images, self.recorder = images, Recorder(family, images, stopping, means)
        self.progress = ProgressReporter(engine, claims)
        self.calibration: Calibration | None = None  # what the reference level takes here, alone
        self._company = Company()
        self._leading = Leading(follower.identity, family, engine, claims, admission)

    def allowed(self, request: Request) -> tuple[str, ...]:
        """Levels that a request may be moved to here."""
        offered = self.follower.levels() if self.admission.moves else ()
        return allowed_levels(self.family, request, offered, self.means)

    def run(self, claimed: Claim) -> bool:
        """Whether it ended with an image that was stored."""
        alone = False
        try:
            alone = claimed.number > 1 and patiently(lambda: attempts.suspected(claimed.request.id))
            result = self._draw(claimed, alone)
            if self.recorder.store(claimed, result):
                if not (claimed.request.loras or claimed.request.own_kind):
                    self._calibrate(claimed, result, time.time() - result.times.admitted)
                return True
        except Cancelled as error:
            if claimed.request.id in self.claims.preempted:
                self._release(claimed, error, alone)
            else:
                patiently(lambda: requests.cancel(claimed))
        except Exception as error:
            self._release(claimed, error, alone)
        finally:
            for request in self.claims.remove(claimed):
                self.engine.hold(str(request), held=False)
        return False

    def _draw(self, claimed: Claim, alone: bool) -> GenerationResult:
        """The image, drawn beside others; or `alone`, once they have ended, and noted before the device is touched."""
        source, kind = patiently(lambda: begun_with(claimed.request, self.images, self.family))
        asked = replace(
            generation_request(claimed, self.family, self.allowed(claimed.request)),
            source=source,
            kind=kind,
            previews=() if kind else shares(claimed.request.previews),
            on_preview=lambda number, image: self.progress.show(claimed, number, image),
        )
        if alone:
            self.claims.alone.add(claimed.request.id)
        with self._company.turn(alone), ExitStack() as leaving:
            if alone:
                patiently(lambda: attempts.begin_alone(claimed.attempt))
            asked = replace(asked, way=self._leading.way(claimed, leaving))
            return self.engine.submit(asked).result()

    def _calibrate(self, claimed: Claim, result: GenerationResult, seconds: float) -> None:
        """A request at the reference level that had the worker to itself all the time shows what that takes now."""
        if claimed.request.id in self.claims.accompanied or self.calibration is None:
            return
        if _is_usual(result, self.family):
            self.calibration = self.calibration.corrected(seconds)

    def _release(self, claimed: Claim, error: Exception, alone: bool) -> None:
        """This attempt made no image: back into the queue, or failed when its attempts are used up."""
        preempted = claimed.request.id in self.claims.preempted
        outcome, code, reason = _end(error, preempted, self.stopping.is_set(), alone)
        log.warning("attempt ended", request=str(claimed.request.id), outcome=outcome, code=code, reason=reason)
        patiently(lambda: requests.release([claimed.attempt], outcome, reason, code))


def _is_usual(result: GenerationResult, family: Family) -> bool:
    """Whether it was the reference level at its usual size and steps, in no batch and no parallel mode."""
    usual, alone = family.defaults, result.level_id == family.reference and result.batch_max == 1
    alone = alone and result.parallel is None
    return alone and (result.steps_run, *result.image.size) == (usual.steps, usual.width, usual.height)


def _end(error: Exception, preempted: bool, stopping: bool, alone: bool) -> tuple[str, str, str]:
    """Outcome, code and reason of an attempt that made no image."""
    code = error.code if isinstance(error, ArgusError) else "internal"
    reason = error.message if isinstance(error, ArgusError) else repr(error)
    if preempted:
        return attempts.RETURNED, code, f"Preempted by a request with a latency target. {reason}"
    if isinstance(error, DeviceFailed) and error.ran:
        outcome, company = (attempts.FAILED, "was alone") if alone else (attempts.DEVICE_FAILED, "had company")
        return outcome, code, f"{reason} It {company}."
    if stopping or isinstance(error, ModelNotHeld | DeviceFailed):
        return attempts.RETURNED, code, "The worker stopped; the request went back to its queue."
    if isinstance(error, AWAY):
        return attempts.RETURNED, code, f"What the request needs was away; it went back to its queue. {reason}"
    return attempts.FAILED, code, reason


def shares(previews: int) -> tuple[float, ...]:
    """Shares of the steps after which so many previews are shown: evenly, as ⅓ and ⅔ for two."""
    return tuple(number / (previews + 1) for number in range(1, previews + 1))


def generation_request(claimed: Claim, family: Family, allowed: tuple[str, ...]) -> GenerationRequest:
    """A claimed row as the engine takes it; `allowed` are the levels it may be moved to."""
    request = claimed.request
    return GenerationRequest(
        request_id=str(request.id),
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        emphasis=read_emphasis(request.emphasis),
        loras=read_loras(request.loras),
        seed=request.seed,
        level=family.level(request.level or family.reference),
        steps=request.steps,
        guidance=request.guidance,
        width=request.width,
        height=request.height,
        deadline=request.deadline_at.timestamp(),
        allowed_levels=allowed,
        attempt=claimed.number,
    )
