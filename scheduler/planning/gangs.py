"""Whether one image is to be drawn by several workers at once, where nobody asked for it. Pure functions.

Workers ask them where they claim a request (`workers.gangs.leading`), the simulator where it starts one
(`scheduler.simulate.gangs`). Of the modes that were measured those come into question that keep the image (C1). With n
ranks a request takes n·s/S of what it takes serially, for steps of s and S seconds. So that goodput does not fall, all
requests drawn so are to leave workers idle:

    C1  the image is the serial one, to rounding
    C2  enough workers are idle: n ≤ 1 + idle
    C3  latency: steps·(S − s) − meeting ≥ `LEAST`·steps·S
    C4  goodput: busy·n·s/S ≤ `MOST_BUSY`, `busy` the share of workers' time that the planned load takes serially
    C5  whoever comes meanwhile: workers/n gangs, each busy for steps·s + meeting, are all busy when a request comes in
        at most `MOST_WAIT` of cases, by Erlang's formula C (M/M/c; Erlang 1917)

Of those the one that saves most. Without C5 the median falls further, and the 95th percentile rises: a gang of all
workers has whoever comes next wait, who then is often drawn serially (docs/results/gangs-simulated.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from core.parallel_profiles import ModeProfile

LEAST, MOST_BUSY, MOST_WAIT = 0.2, 0.8, 0.1
RANKS = (8, 4, 2, 1)  # what latents and blocks can be cut into
FROM_NOISE = ("exact", "sm", "fs")  # strategies at which the seed says where every rank begins


@dataclass(frozen=True)
class Load:
    """The share of workers' time that the load takes in serial steps, and how many workers there are."""

    busy: float
    workers: int

    def waits(self, mode: ModeProfile, steps: int) -> float:
        """How probably a request finds all gangs busy, if all are drawn in a mode."""
        seconds = steps * mode.step_s + mode.meet_s
        return erlang_c(self.workers // mode.ranks, self.busy * self.workers * seconds / (steps * mode.serial_s))


def gang_that_pays(
    modes: Iterable[ModeProfile], model: str, steps: int, load: Load, idle: int, most_wait: float = MOST_WAIT
) -> ModeProfile | None:
    """The mode for a request of so many steps on a model; None where steps are to be serial."""
    load = Load(load.busy, max(load.workers, 1 + idle))  # the load may be older than a worker
    able = [mode for mode in modes if mode.model == model and mode.is_lossless]  # C1
    able = [mode for mode in able if mode.ranks <= 1 + idle]  # C2
    able = [mode for mode in able if mode.saves_s(steps) >= LEAST * steps * mode.serial_s]  # C3
    able = [mode for mode in able if load.busy * mode.ranks * mode.step_s / mode.serial_s <= MOST_BUSY]  # C4
    able = [mode for mode in able if load.waits(mode, steps) <= most_wait]  # C5
    return max(able, key=lambda mode: mode.saves_s(steps), default=None)


def planned_load(
    rate: float, shares: Mapping[str, float] | None, seconds: Callable[[str], float], workers: int
) -> Load:
    """What the load takes at the levels of a plan.

    Args:
        rate: requests a second.
        shares: of the load by level; None: without a plan workers count as busy.
        seconds: worker-seconds of one request at a level.
    """
    if shares is None or not workers:
        return Load(1.0, workers)
    return Load(rate * sum(share * seconds(level) for level, share in shares.items()) / workers, workers)


def erlang_c(servers: int, offered: float) -> float:
    """The probability that one who comes has to wait, for so many servers and `offered` of them busy on average."""
    if offered >= servers:
        return 1.0
    lost = 1.0  # Erlang's formula B, by its recursion over servers
    for number in range(1, servers + 1):
        lost = offered * lost / (number + offered * lost)
    return lost / (1 - offered / servers * (1 - lost))


def most_ranks(idle: int) -> int:
    """Ranks of a gang whose mode was named: with so many idle workers as many as there can be."""
    return next(ranks for ranks in RANKS if ranks <= 1 + idle)


def begins_from_noise(strategies: Iterable[str]) -> bool:
    """Whether other workers have what an image at a level of these strategies begins with."""
    return set(strategies) <= set(FROM_NOISE)
