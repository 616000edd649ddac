"""What a check says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was looked at, whether it is in order, and what was seen or is to be done."""

    subject: str
    ok: bool
    text: str


Check = Callable[[], Iterator[Finding]]
