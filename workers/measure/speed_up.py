"""What a step would take with several GPUs: modelled, never measured here, where there is one GPU at most.

Of a single GPU the profile has been measured: a step of 1, 2, … rows. A line through the smallest and the fullest of
these is what a step takes whatever it computes, and what a whole row adds; of n ranks each computes an n-th of a row.
What a rank has to wait for is counted, in messages and bytes, and takes the time of a stated link:

    step = max(fixed + row/n, hidden) + awaited,    each of hidden and awaited: messages·latency + bytes/bandwidth

`hidden` travels behind the computation and is awaited at the next step (DistriFusion's stale activations). At the steps
of a warm-up nothing is hidden: they take fixed + row/n + hidden + awaited.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.parallel_profiles import ModeProfile
from core.profiles import LevelProfile


@dataclass(frozen=True)
class Link:
    """What is between two GPUs: bytes a second in each direction, seconds that every message takes besides."""

    name: str
    bandwidth: float
    latency_s: float


NVLINK = Link("NVLink 4 (450 GB/s a direction)", 450e9, 20e-6)
PCIE = Link("PCIe 4 x16 (25 GB/s)", 25e9, 20e-6)


@dataclass(frozen=True)
class Traffic:
    """What comes to a rank in a step."""

    messages: int = 0
    bytes: float = 0.0

    def seconds(self, link: Link) -> float:
        return self.messages * link.latency_s + self.bytes / link.bandwidth


NOTHING = Traffic()


@dataclass(frozen=True)
class Compute:
    """Seconds of a step on one GPU: whatever it computes, and for each row."""

    fixed_s: float
    row_s: float

    @classmethod
    def of(cls, level: LevelProfile) -> Compute:
        """By the profile's smallest and fullest batch; a profile of one size counts as all row."""
        first, last = level.batch[0], level.batch[-1]
        more = last.size - first.size
        row_s = min(first.step_s, (last.step_s - first.step_s) / more) if more else first.step_s
        return cls(first.step_s - row_s, row_s)

    def step_s(self, share: float) -> float:
        """A step of such a share of a row."""
        return self.fixed_s + share * self.row_s


@dataclass(frozen=True)
class RankedMode:
    """A mode with so many ranks on a model, and what comes to a rank, awaited and hidden.

    Args:
        warm_up: steps at the beginning at which nothing is hidden.
    """

    model: str
    mode: str
    ranks: int
    awaited: Traffic = field(default=NOTHING)
    hidden: Traffic = field(default=NOTHING)
    warm_up: int = 0


def modelled(way: RankedMode, compute: Compute, link: Link, meet_s: float) -> ModeProfile:
    """The mode as a measured one is described; meeting includes what the steps of the warm-up take longer."""
    if way.ranks == 1:
        serial_s = compute.step_s(1)
        return ModeProfile(model=way.model, mode=way.mode, ranks=1, step_s=serial_s, serial_s=serial_s)
    own_s = compute.step_s(1 / way.ranks)
    hidden_s, awaited_s = way.hidden.seconds(link), way.awaited.seconds(link)
    step_s = max(own_s, hidden_s) + awaited_s
    return ModeProfile(
        model=way.model,
        mode=way.mode,
        ranks=way.ranks,
        step_s=step_s,
        serial_s=compute.step_s(1),
        meet_s=meet_s + way.warm_up * (own_s + hidden_s + awaited_s - step_s),
        bytes=way.hidden.bytes + way.awaited.bytes,
    )


def speed_up(mode: ModeProfile, steps: int) -> float:
    """How much sooner an image's steps end than serially, meeting included."""
    return steps * mode.serial_s / (steps * mode.step_s + mode.meet_s)
