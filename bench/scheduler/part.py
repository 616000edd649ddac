"""A section of the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.scheduler.setup import Setup


@dataclass(frozen=True)
class Part:
    """A section: what runs, how it is shown, under which heading, with which words and pictures."""

    run: Callable[[Setup], Any]
    show: Callable[[Any], str]
    title: str
    words: str
    images: tuple[str, ...] = ()
