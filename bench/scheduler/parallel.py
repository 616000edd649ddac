"""Runs over seeds in a pool of processes, in the order in which they were asked for."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Any, TypeVar

from bench.scheduler.setup import Setup
from scheduler.simulate import Report
from traces.reader import Trace

T = TypeVar("T")
_setups: list[Setup] = []  # of a pool's process


def each(setup: Setup, task: Callable[..., T], arguments: Iterable[tuple[Any, ...]], prepare: bool = True) -> list[T]:
    """`task(setup, *those)` for each, in as many processes as `setup.jobs`. The task is a function of a module."""
    if prepare:
        setup.prepare()
    if setup.jobs == 1:
        return [task(setup, *those) for those in arguments]
    context = multiprocessing.get_context("fork")  # what is prepared is there at once
    with ProcessPoolExecutor(setup.jobs, context, _setups.append, (setup,)) as pool:
        futures = [pool.submit(_one, task, those) for those in arguments]
        return [future.result() for future in futures]


def over_seeds(
    setup: Setup, policies: Sequence[str], trace: Trace, seeds: Sequence[int], **rest: Any
) -> dict[str, list[Report]]:
    """A trace under each policy, once a seed; `rest` are fields of `SimConfig`."""
    asked = list(product(policies, seeds))
    reports = iter(each(setup, _run, [(policy, trace, seed, rest) for policy, seed in asked]))
    return {policy: [next(reports) for _ in seeds] for policy in policies if seeds}


def _run(setup: Setup, policy: str, trace: Trace, seed: int, rest: dict[str, Any]) -> Report:
    return setup.run(policy, setup.work(trace, seed), **rest)


def _one(task: Callable[..., T], those: tuple[Any, ...]) -> T:
    return task(_setups[-1], *those)
