"""The same work as ranks of one process, and as processes that meet by gloo."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.workers.toys import make_request
from workers.parallel.mode import Mode, draw
from workers.parallel.processes import joined
from workers.parallel.ranks import Rank, together
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Batch, Start

PATIENCE_S = 60.0
Make = Callable[[Adapter, Rank], Mode]


def batch_of(adapter: Adapter, steps: int = 6, guidance: float = 3.5, **changes: Any) -> Batch:
    """One request at its first step."""
    return Batch.of([adapter.prepare(make_request(steps=steps, **changes), Start(steps), guidance)])


def drawn(adapter: Adapter, world: int, make: Make, **request: Any) -> list[torch.Tensor]:
    """The final latent as each virtual rank has it."""
    return together(world, lambda rank: draw(make(adapter, rank), batch_of(adapter, **request)).clone(), PATIENCE_S)


def by_processes(world: int, work: Callable[[Rank], Any], folder: Path, timeout_s: float = PATIENCE_S) -> list[Any]:
    """What `work` answers as each of so many processes; one that hangs is ended, and fails the test."""
    context = multiprocessing.get_context("fork")
    address = f"file://{folder / 'meeting'}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: nothing here holds a lock
        members = [
            context.Process(target=_be, args=(work, address, rank, world, folder, timeout_s), daemon=True)
            for rank in range(world)
        ]
        for member in members:
            member.start()
    for member in members:
        member.join(2 * timeout_s)
    hung = [member for member in members if member.is_alive()]
    for member in hung:
        member.kill()
    assert not hung
    return [torch.load(folder / f"{rank}.pt") for rank in range(world)]


def _be(work: Callable[[Rank], Any], address: str, rank: int, world: int, folder: Path, timeout_s: float) -> None:
    torch.set_num_threads(1)
    with joined(address, rank, world, timeout_s=timeout_s) as member:
        answer = work(member)
        torch.save(answer, folder / f"{rank}.pt")
