"""An engine that takes its steps when it is told to, and what requests end with in it."""

from __future__ import annotations

from typing import Any

import torch

from core.families import Family
from tests.workers.toys import make_request
from workers.engine.engine import Engine


class ToyEngine:
    """An engine without threads on the one model of a toy family.

    Args:
        level: of requests that are given none.
        usual: what else of a request is as it is here, unless it says otherwise.
    """

    def __init__(self, family: Family, level: str = "exact", **usual: Any) -> None:
        self.family, self.level, self.usual = family, level, usual
        self.engine = Engine(family, dtype=torch.float64, threaded=False)
        (model,) = family.models
        self.adapter: Any = self.engine.load(model).adapter

    def submit(self, name: str, level: str = "", **changes: Any) -> Any:
        """Its future, and the request as it runs."""
        given = {"request_id": name, "level": self.family.level(level or self.level), **self.usual, **changes}
        future = self.engine.submit(make_request(**given))
        return future, self.engine.find(name)

    def latent(self, name: str, level: str = "", **changes: Any) -> torch.Tensor:
        """What a request ends with, alone."""
        future, running = self.submit(name, level, **changes)
        self.run()
        assert future.result(0).level_id == (level or self.level)
        latent: torch.Tensor = running.row.latent
        return latent

    def held(self, name: str, steps: int, **changes: Any) -> torch.Tensor:
        """What a request ends with that stands still for another after so many steps."""
        _, running = self.submit(name, **changes)
        for _ in range(steps):
            self.engine.step()
        self.engine.hold(name)
        self.submit("other", "exact", seed=5)
        for _ in range(3):
            self.engine.step()
        self.engine.hold(name, held=False)
        self.run()
        latent: torch.Tensor = running.row.latent
        return latent

    def run(self) -> None:
        """Until there is nothing left to do."""
        while self.engine.step():
            pass
