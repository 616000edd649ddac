"""Where a job's results are to be written by Argus itself: which places are allowed, and how far it is.

A job names an fsspec URL that lies below one of ARGUS_OUTPUT_PREFIXES; its files go into a folder of its own there, so
that no job writes over another's.
"""

from __future__ import annotations

import re
import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from core.errors import BadInput
from core.settings import settings
from core.states import Base

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*://[\w./=@+~ -]*")
TENANT = "{tenant}"  # in a prefix: the tenant's name
OUTPUT_CHARS = 500


class JobOutput(Base):
    """A job whose results are written somewhere once nothing of it is open."""

    __tablename__ = "job_output"
    __table_args__ = (  # what is over is not looked at again, however much of it there is
        Index("ix_job_output_next_at", "next_at", postgresql_where="ended_at IS NULL"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    url: Mapped[str]  # the folder
    position: Mapped[int] = mapped_column(default=-1, server_default=text("-1"))  # of the last request looked at
    written: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # images
    failures: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # one after the other
    error: Mapped[str | None]  # the last one
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]  # all is written, the manifest too


def output_of(asked: str | None, tenant: str, job_id: uuid.UUID) -> str | None:
    """The folder that the results of a job go into; raises `BadInput`."""
    if not asked:
        return None
    check_allowed(asked, tenant)
    return f"{asked.rstrip('/')}/{job_id}"


def check_allowed(url: str, tenant: str) -> None:
    """Raises `BadInput` for a place that a tenant's results may not be written to."""
    prefixes = [prefix.strip().replace(TENANT, tenant) for prefix in settings().output_prefixes.split(",")]
    plain = PLAIN.fullmatch(url) and ".." not in url.split("/")
    below = any(url == prefix or url.startswith(f"{prefix.rstrip('/')}/") for prefix in prefixes if prefix)
    if plain and below:
        return
    known = ", ".join(prefix for prefix in prefixes if prefix)
    said = f"results may be written below {known}" if known else "it is empty: results are written nowhere"
    raise BadInput(f"ARGUS_OUTPUT_PREFIXES does not allow this place; {said}.", field="output")
