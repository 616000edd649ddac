"""Fixtures of the workers' tests: an engine that costs nothing, and pipelines of the real classes at toy width."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.workers.pencil import Bench, pencil_family
from tests.workers.toys import Toys


@pytest.fixture
def bench() -> Callable[..., Bench]:
    def make(models: int = 1, scheduler: str | None = None, **options: Any) -> Bench:
        made = Bench(pencil_family(models, scheduler), **options)
        made.engine.load("large")
        return made

    return make


@pytest.fixture(scope="session")
def toys() -> Any:
    with TemporaryDirectory(prefix="argus-toys-") as folder:
        yield Toys(Path(folder))
