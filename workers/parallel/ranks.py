"""What one of several devices that draw an image together has of the others: its company.

A mode of `workers/parallel` is one program that every rank runs (single program, multiple data). All it knows of the
others is a `Rank`: it gathers from all, sends to one, receives from one. What is under way is a `Pending`, and awaited
as late as the mode likes. Between two ranks, messages arrive in the order in which both ask for them.

Two companies keep this contract: threads of one process (`together`), for quality and tests, and processes of
torch.distributed (`processes.py`). What a rank gets depends on the program alone, never on who was faster, so that
both give the same image, bit for bit.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from workers.parallel.lost import MemberLost as MemberLost

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
TIMEOUT_S = 60.0  # after which a silent member counts as lost


class Pending(Protocol[T_co]):
    """What is under way."""

    def wait(self) -> T_co:
        """What has arrived; raises `MemberLost`."""
        ...


class Rank(ABC):
    """One member of a company of `world`; `received` counts the bytes that came from others."""

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world, self.received = rank, world, 0

    def gather(self, tensor: Tensor) -> Pending[list[Tensor]]:
        """The tensors of all ranks, in their order, own one included; all have one shape. `tensor` is not to change."""
        self.received += (self.world - 1) * tensor.nbytes
        return self._gather(tensor.contiguous())

    def send(self, tensor: Tensor, to: int) -> None:
        """Give a tensor, not to change any more, to another rank."""
        self._send(tensor.contiguous(), to)

    def receive(self, like: Tensor, source: int) -> Pending[Tensor]:
        """What another rank sends, of the shape and data type of `like`."""
        self.received += like.nbytes
        return self._receive(like, source)

    @abstractmethod
    def part(self, size: int) -> Rank:
        """This rank among its neighbours, the company cut into parts of `size`; every rank has to ask."""

    @abstractmethod
    def _gather(self, tensor: Tensor) -> Pending[list[Tensor]]: ...

    @abstractmethod
    def _send(self, tensor: Tensor, to: int) -> None: ...

    @abstractmethod
    def _receive(self, like: Tensor, source: int) -> Pending[Tensor]: ...


class Alone(Rank):
    """A company of one."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def part(self, size: int) -> Rank:
        return self

    def _gather(self, tensor: Tensor) -> Pending[list[Tensor]]:
        return _Later(lambda: [tensor])

    def _send(self, tensor: Tensor, to: int) -> None:
        raise ValueError("A rank alone has nobody to send to.")

    def _receive(self, like: Tensor, source: int) -> Pending[Tensor]:
        raise ValueError("A rank alone has nobody to receive from.")


def together(world: int, work: Callable[[Rank], T], timeout_s: float = TIMEOUT_S) -> list[T]:
    """Run `work` as each rank of a company in this process, a thread each; what they answer, in order.

    Where one of them raises, the others do not wait for it any longer, and its error is raised here.
    """
    letters, members = _Letters(timeout_s), tuple(range(world))

    def run(rank: int) -> T:
        try:
            return work(_VirtualRank(letters, members, rank))
        except BaseException as error:
            letters.fail(error)
            raise

    with ThreadPoolExecutor(world, thread_name_prefix="rank") as threads:
        running = [threads.submit(run, rank) for rank in members]
    if letters.failed is not None:
        raise letters.failed
    return [one.result() for one in running]


class _Later(Generic[T]):
    """Waiting calls a function."""

    def __init__(self, answer: Callable[[], T]) -> None:
        self._answer = answer

    def wait(self) -> T:
        return self._answer()


Address = tuple[tuple[int, ...], int, int, int]  # members of the part, from, to, and the how-manieth between those


class _Letters:
    """What is under way between threads."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s, self._changed = timeout_s, threading.Condition()
        self._open: dict[Address, Tensor] = {}
        self.failed: BaseException | None = None

    def put(self, address: Address, tensor: Tensor) -> None:
        with self._changed:
            self._open[address] = tensor
            self._changed.notify_all()

    def take(self, address: Address) -> Tensor:
        with self._changed:
            came = self._changed.wait_for(lambda: address in self._open or self.failed, self._timeout_s)
            if address in self._open:
                return self._open.pop(address)
            why = "has failed" if came else f"said nothing for {self._timeout_s:g} s"
            raise MemberLost(f"A member of the company {why}; this was waiting for rank {address[1]}.")

    def fail(self, error: BaseException) -> None:
        """All who wait stop; the first error is the one to tell."""
        with self._changed:
            self.failed = self.failed or error
            self._changed.notify_all()


class _VirtualRank(Rank):
    def __init__(self, letters: _Letters, members: Sequence[int], rank: int) -> None:
        super().__init__(rank, len(members))
        self._letters, self._members = letters, tuple(members)
        self._between: Counter[tuple[int, int]] = Counter()

    def part(self, size: int) -> Rank:
        first = self.rank // size * size
        return _VirtualRank(self._letters, self._members[first : first + size], self.rank - first)

    def _gather(self, tensor: Tensor) -> Pending[list[Tensor]]:
        own = tensor.clone()
        others = [rank for rank in range(self.world) if rank != self.rank]
        for other in others:
            self._send(own, other)
        coming = {other: self._receive(own, other) for other in others}
        return _Later(lambda: [own if rank == self.rank else coming[rank].wait() for rank in range(self.world)])

    def _send(self, tensor: Tensor, to: int) -> None:
        self._letters.put(self._address(self.rank, to), tensor)

    def _receive(self, like: Tensor, source: int) -> Pending[Tensor]:
        address = self._address(source, self.rank)
        return _Later(lambda: self._letters.take(address))

    def _address(self, source: int, to: int) -> Address:
        self._between[source, to] += 1
        return (self._members, source, to, self._between[source, to])
