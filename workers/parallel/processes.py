"""A company of processes, by torch.distributed: NCCL between GPUs, gloo between CPUs.

A process is in one company at a time.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from workers.parallel.ranks import TIMEOUT_S, MemberLost, Pending, Rank

log = logging.getLogger(__name__)
T = TypeVar("T")
HOST = "127.0.0.1"


@contextmanager
def joined(
    address: str, rank: int, world: int, backend: str = "gloo", timeout_s: float = TIMEOUT_S
) -> Iterator[ProcessRank]:
    """Be rank `rank` of the company that meets at an address (`tcp://host:port`, `file:///path`), meanwhile.

    Raises:
        MemberLost: not all came within `timeout_s`; later, and at the end, where all wait for each other, one that is
            gone or silent so long.
    """
    with _group(rank, world, backend, timeout_s, init_method=address) as member:
        yield member
        _told(dist.barrier)  # who leaves first takes along what it has sent and others have not read yet


@contextmanager
def met(
    store: Any, rank: int, world: int, backend: str = "gloo", timeout_s: float = TIMEOUT_S
) -> Iterator[ProcessRank]:
    """The same at a store that the first rank opened; nobody waits for others at the end. Raises `MemberLost`."""
    with _group(rank, world, backend, timeout_s, store=store) as member:
        yield member


def opened(world: int, timeout_s: float) -> Any:
    """A place on this host where so many meet, at a port of the system's choice, for nobody outside."""
    own = socket.create_server((HOST, 0))  # the store's own would listen on all addresses
    port, limit = own.getsockname()[1], timedelta(seconds=timeout_s)
    given: dict[str, Any] = {"is_master": True, "wait_for_workers": False, "master_listen_fd": own.detach()}
    return dist.TCPStore(HOST, port, world, timeout=limit, **given)  # type: ignore[attr-defined]


def found(port: int, world: int, timeout_s: float) -> Any:
    """The place that another process opened at this port; raises `MemberLost`."""
    limit = timedelta(seconds=timeout_s)
    return _told(lambda: dist.TCPStore(HOST, port, world, is_master=False, timeout=limit))  # type: ignore[attr-defined]


@contextmanager
def _group(rank: int, world: int, backend: str, timeout_s: float, **where: Any) -> Iterator[ProcessRank]:
    limit = timedelta(seconds=timeout_s)
    try:
        _told(lambda: dist.init_process_group(backend, rank=rank, world_size=world, timeout=limit, **where))
    except MemberLost:
        _count_anew()
        raise
    try:
        yield ProcessRank(rank, list(range(world)), None, limit)
    finally:
        dist.destroy_process_group()


def _count_anew() -> None:
    """Companies meet under a number that each process counts, and that begins anew when one has ended. One that never
    met leaves its number behind, and this process would not meet others any more."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    dist.destroy_process_group()


class ProcessRank(Rank):
    """This process among `members`, who are counted as the whole company counts them."""

    def __init__(self, rank: int, members: list[int], group: Any, limit: timedelta) -> None:
        super().__init__(rank, len(members))
        self._members, self._group, self._limit = members, group, limit
        self._sent: list[_Work[None]] = []  # the memory of what is sent has to stay until it is gone

    def part(self, size: int) -> Rank:
        parts = [self._members[first : first + size] for first in range(0, self.world, size)]
        groups = [dist.new_group(part, timeout=self._limit) for part in parts]
        mine = self.rank // size
        return ProcessRank(self.rank % size, parts[mine], groups[mine], self._limit)

    def _gather(self, tensor: Tensor) -> Pending[list[Tensor]]:
        gathered = [torch.empty_like(tensor) for _ in range(self.world)]
        work = _told(lambda: dist.all_gather(gathered, tensor, group=self._group, async_op=True))
        return _Work(work, gathered, tensor)

    def _send(self, tensor: Tensor, to: int) -> None:
        self._sent = [one for one in self._sent if not one.completed]
        work = _told(lambda: dist.isend(tensor, self._members[to], group=self._group))
        self._sent.append(_Work(work, None, tensor))

    def _receive(self, like: Tensor, source: int) -> Pending[Tensor]:
        arriving = torch.empty_like(like, memory_format=torch.contiguous_format)
        work = _told(lambda: dist.irecv(arriving, self._members[source], group=self._group))
        return _Work(work, arriving, None)


class _Work(Pending[T]):
    """What torch.distributed has under way; `keeps` is memory that it reads."""

    def __init__(self, work: Any, answer: T, keeps: Tensor | None) -> None:
        self._work, self._answer, self._keeps = work, answer, keeps

    @property
    def completed(self) -> bool:
        return bool(self._work.is_completed())

    def wait(self) -> T:
        _told(self._work.wait)
        return self._answer


def _told(call: Callable[[], Any]) -> Any:
    """What torch.distributed says of a lost member, in our words."""
    try:
        return call()
    except RuntimeError as error:  # DistBackendError, DistStoreError and gloo's own
        log.warning("torch.distributed: %s", str(error).splitlines()[0])
        raise MemberLost("a member of the company is gone, or was silent for too long") from error
