"""Why a request has its level, in a sentence that its sender understands. Kept as the request's note."""

from __future__ import annotations

from core.queued_requests import OVER_SHARE
from scheduler.policies import Epoch, LoadState

ASKED_FOR = "asked for"
NO_PLAN = "no plan in force yet"
NO_PROFILE = "these devices have not been measured yet"
FAILED = "the level could not be chosen"
BATCH = "batch work waits for the best level until there is room"
URGENT = "its window ends soon: it waits no longer for room"


def routed(level: str, reference: str, quality: float | None, epoch: Epoch, load: LoadState) -> str:
    """Why the policy in force chose this level, of which this relative quality is expected."""
    if level == reference:
        return f"there is time for {reference}"
    return f"{level} instead of {reference}: {_demand(epoch, load)}{_expected(quality, reference)}"


def over_share(late: bool) -> str:
    """Why a request was set aside when it was routed: its tenant's share was taken, or has been until it was late."""
    return f"{OVER_SHARE}, until its time was over" if late else OVER_SHARE


def realigned(level: str, reference: str) -> str:
    """Why a request that waits got another level with a new plan."""
    if level == reference:
        return f"raised to {reference} while it waited: there is time for it now"
    return f"changed to {level} while it waited: demand has changed, and so has what can be done in time"


def started(level: str, routed_to: str, better: bool, behind: int) -> str:
    """Why a request starts at another level than it was routed to. `behind` others wait behind it."""
    if better:
        return f"raised from {routed_to} to {level} when it started: there was time"
    others = (
        f"{behind:,} more requests wait" if behind > 1 else "more requests wait" if behind else "its deadline is near"
    )
    return f"lowered from {routed_to} to {level} when it started: {others}"


def redrawn(level: str, measured: float, floor: float | None) -> str:
    """Why an image is drawn again; `measured` is its score over what the reference level scores."""
    under = f"under the floor of {floor:.2f}" if floor else "less than it could be while there is room"
    return f"scored {measured:.2f} of exact, {under}: drawn again at {level}"


def not_served(level: str) -> str:
    return f"no worker serves {level} now"


def not_offered(asked: str, level: str, why: str | None) -> str:
    """Why a request has another level than it named: that one is withheld for a reason, or is gone."""
    return f"{level} instead of {asked}, which is not offered{f': {why}' if why else ' any more'}"


def _demand(epoch: Epoch, load: LoadState) -> str:
    waiting = sum(load.waiting.values())
    rate = 60 * max(load.rate, epoch.rate)
    queue = f"{waiting:,} requests wait and " if waiting > 1 else "a request waits and " if waiting else ""
    return f"{queue}about {rate:,.0f} a minute arrive, more than a better level could serve in time"


def _expected(quality: float | None, reference: str) -> str:
    return "" if quality is None else f"; it is expected to keep {min(quality, 1):.0%} of the quality of {reference}"
