"""Whether one image is to be drawn by several workers at once, where nobody asked for it. Pure functions.

Workers ask them where they claim a request (`workers.gangs.leading`), the simulator where it starts one
(`scheduler.simulate.gangs`). Of the modes that were measured those come into question that keep the image (C1). With n
ranks a request takes n·s/S of what it takes serially, for steps of s and S seconds. So that goodput does not fall, all
requests drawn so are to leave workers idle:

    C1  the image is the serial one, to rounding
    C2  enough workers are idle: n ≤ 1 + idle
    C3  latency: steps·(S − s) − meeting ≥ `LEAST`·steps·S
    C4  goodput: busy·n·s/S ≤ `MOST_BUSY`, `busy` the share of workers' time that the planned load takes serially

Of those the one that saves most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from core.parallel_profiles import ModeProfile

LEAST, MOST_BUSY = 0.2, 0.8
RANKS = (8, 4, 2, 1)  # what latents and blocks can be cut into
FROM_NOISE = ("exact", "sm", "fs")  # strategies at which the seed says where every rank begins


def gang_that_pays(modes: Iterable[ModeProfile], model: str, steps: int, busy: float, idle: int) -> ModeProfile | None:
    """The mode for a request of so many steps on a model; None where steps are to be serial."""
    able = [mode for mode in modes if mode.model == model and mode.is_lossless]  # C1
    able = [mode for mode in able if mode.ranks <= 1 + idle]  # C2
    able = [mode for mode in able if mode.saves_s(steps) >= LEAST * steps * mode.serial_s]  # C3
    able = [mode for mode in able if busy * mode.ranks * mode.step_s / mode.serial_s <= MOST_BUSY]  # C4
    return max(able, key=lambda mode: mode.saves_s(steps), default=None)


def busy_share(rate: float, shares: Mapping[str, float], seconds: Callable[[str], float], workers: int) -> float:
    """The share of all workers' time that the load takes at the levels of a plan.

    Args:
        rate: requests a second.
        shares: of the load by level.
        seconds: worker-seconds of one request at a level.
    """
    return rate * sum(share * seconds(level) for level, share in shares.items()) / workers


def most_ranks(idle: int) -> int:
    """Ranks of a gang whose mode was named: with so many idle workers as many as there can be."""
    return next(ranks for ranks in RANKS if ranks <= 1 + idle)


def begins_from_noise(strategies: Iterable[str]) -> bool:
    """Whether other workers have what an image at a level of these strategies begins with."""
    return set(strategies) <= set(FROM_NOISE)
