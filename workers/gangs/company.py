"""What leader and members of a gang do alike: meeting, making the mode, saying good-bye."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from core.parallel import MODES
from workers.parallel.lost import MemberLost

if TYPE_CHECKING:
    from workers.parallel.mode import Mode
    from workers.parallel.processes import ProcessRank
    from workers.parallel.ranks import Rank
    from workers.pipelines.base import Adapter
    from workers.pipelines.rows import Batch

GATHER_S = 1.0  # in which workers answer
SILENT_S = 6.0  # after which a member counts as lost; the leader is to go on alone within ten


@contextmanager
def company(store: Any, rank: int, world: int, cuda: bool, silent_s: float = SILENT_S) -> Iterator[ProcessRank]:
    """Be this rank of a gang, meanwhile; raises `MemberLost` where not all come."""
    from workers.parallel.processes import met

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all are on this host
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")  # who waits too long for a member raises, and lives on
    with met(store, rank, world, "nccl" if cuda else "gloo", silent_s) as member:
        yield member


def make_mode(name: str, rank: Rank, adapter: Adapter, batch: Batch) -> Mode:
    """The mode of that name for a row; raises `OutOfRange` where the model or the number of ranks does not allow it.

    DistriFusion splits guidance between two halves of the ranks, which costs nothing of the image.
    """
    from workers.parallel.asyncdiff import AsyncDiff
    from workers.parallel.distrifusion import DistriFusion
    from workers.parallel.pipefusion import PipeFusion
    from workers.parallel.ulysses import Ulysses

    warm_up = MODES[name].warm_up
    made: dict[str, Callable[[], Mode]] = {
        "distrifusion": lambda: DistriFusion(adapter, rank, warm_up, split_guidance=bool(batch.guided)),
        "asyncdiff": lambda: AsyncDiff(adapter, rank, warm_up),
        "pipefusion": lambda: PipeFusion(adapter, rank, warm_up),
        "ulysses": lambda: Ulysses(adapter, rank),
    }
    return made[name]()


class Led:
    """The leader's turns in a mode; after the last it tells the members that they may go."""

    def __init__(self, mode: Mode, rank: Rank) -> None:
        self.mode, self.rank = mode, rank

    def turn(self, batch: Batch) -> None:
        self.mode.turn(batch)
        if batch.rows[0].sampler.done:
            for member in range(1, self.rank.world):
                self.rank.send(_good_bye(batch), member)


def wait_for_good_bye(rank: Rank, batch: Batch) -> None:
    """A member that left earlier would take along what the leader has not read yet."""
    try:
        rank.receive(_good_bye(batch), 0).wait()
    except MemberLost:
        return  # the leader has left, or has gone on alone


def _good_bye(batch: Batch) -> Any:
    return batch.latents.new_zeros(1)
