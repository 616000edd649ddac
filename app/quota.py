"""How many images of a tenant are accepted a day (UTC). Counted with the job that is accepted, so never too many.

The row of the day is changed in the job's own transaction: who submits at the same time for the same tenant waits for
its commit, and a job that is not accepted has not counted. Tenants without a quota have no row and wait for nobody.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from apiflask import APIFlask
from flask import Response, g, has_request_context
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.keyring import KEYRING
from core.errors import OverQuota, TooLarge

LIMIT, REMAINING, RESET = "X-Quota-Limit", "X-Quota-Remaining", "X-Quota-Reset"
TAKE = text(
    """
INSERT INTO tenant_day (tenant, day, images) VALUES (:tenant, :day, :images)
ON CONFLICT (tenant, day) DO UPDATE SET images = tenant_day.images + :images
WHERE tenant_day.images + :images <= :most RETURNING images
"""
)
TAKEN = text("SELECT images FROM tenant_day WHERE tenant = :tenant AND day = :day")


def register(app: APIFlask) -> None:
    """Have answers to submissions say what is left."""
    app.after_request(_tell)


def take_quota(session: Session, tenant: str, images: int) -> None:
    """Count images of a tenant as accepted, in the caller's transaction.

    Raises:
        TooLarge: more than are ever accepted on a day.
        OverQuota: more than are left of this one; it says when the next begins.
    """
    most = KEYRING.bounds(tenant).daily_images
    if most is None:
        return
    if images > most:
        raise TooLarge(
            f"{images:,} images at once; at most {most:,} of tenant {tenant} are taken a day.", field="prompts"
        )
    day = datetime.now(UTC).date()
    row = {"tenant": tenant, "day": day}
    taken = session.execute(TAKE, {**row, "images": images, "most": most}).scalar()
    reset_s = _until(day + timedelta(days=1))
    if taken is None:
        taken = session.execute(TAKEN, row).scalar_one()
        _note(most, taken, reset_s)
        raise OverQuota(
            f"Tenant {tenant} has had {taken:,} of its {most:,} images a day; {images:,} more are too many.",
            retry_after_s=reset_s,
        )
    _note(most, taken, reset_s)


def _until(day: date) -> int:
    """Seconds until a day begins."""
    begin = datetime.combine(day, time(), UTC)
    return max(1, round((begin - datetime.now(UTC)).total_seconds()))


def _note(most: int, taken: int, reset_s: int) -> None:
    if has_request_context():
        g.quota = {LIMIT: most, REMAINING: max(0, most - taken), RESET: reset_s}


def _tell(response: Response) -> Response:
    for name, value in g.get("quota", {}).items():
        response.headers[name] = str(value)
    return response
