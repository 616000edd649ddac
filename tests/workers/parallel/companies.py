"""The same work as ranks of one process, and as processes that meet by gloo."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from core.families import Model
from tests.workers.toys import make_request
from workers.parallel.mode import Mode, draw
from workers.parallel.processes import joined
from workers.parallel.ranks import Rank, together
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Batch, Start

PATIENCE_S = 240.0  # a machine that runs other tests takes its time to start processes
Make = Callable[[Adapter, Rank], Mode]
Run = tuple[Model, Callable[..., Mode], dict[str, Any]]  # of a mode, with its options


def batch_of(adapter: Adapter, steps: int = 6, guidance: float = 3.5, **changes: Any) -> Batch:
    """One request at its first step."""
    return Batch.of([adapter.prepare(make_request(steps=steps, **changes), Start(steps), guidance)])


def drawn(adapter: Adapter, world: int, make: Make, **request: Any) -> list[torch.Tensor]:
    """The final latent as each virtual rank has it."""
    batches = [batch_of(adapter, **request) for _ in range(world)]  # tokenizers are no thread's own
    return together(world, lambda rank: draw(make(adapter, rank), batches[rank.rank]), PATIENCE_S)


def draw_runs(runs: Sequence[Run], rank: Rank) -> list[torch.Tensor]:
    """Final latents of one request in each of these modes, as a process draws them: it loads the models itself."""
    loaded = lru_cache(maxsize=None)(lambda path: load_adapter(models[path], "cpu", torch.float64))
    models = {model.location: model for model, _, _ in runs}
    return [
        draw(kind(loaded(model.location), rank, **options), batch_of(loaded(model.location)))
        for model, kind, options in runs
    ]


def by_processes(world: int, work: Callable[[Rank], Any], folder: Path, timeout_s: float = PATIENCE_S) -> list[Any]:
    """What `work`, which can be pickled, answers as each of so many processes; one that hangs is ended, and fails.

    They are forked from a server that has imported all, and computed nothing: OpenMP does not outlive a fork.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "workers.parallel.ulysses"])
    address = f"file://{folder / 'meeting'}"
    members = [
        context.Process(target=_be, args=(work, address, rank, world, folder, timeout_s), daemon=True)
        for rank in range(world)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join(timeout_s + 60.0)
    hung = [member for member in members if member.is_alive()]
    for member in hung:
        member.kill()
    assert not hung
    return [torch.load(folder / f"{rank}.pt") for rank in range(world)]


def _be(work: Callable[[Rank], Any], address: str, rank: int, world: int, folder: Path, timeout_s: float) -> None:
    torch.set_num_threads(1)
    with joined(address, rank, world, timeout_s=timeout_s) as member:
        torch.save(work(member), folder / f"{rank}.pt")
