"""Which kernel computes attention: PyTorch's own choice, or one of its back-ends before the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch.nn.attention import SDPBackend, sdpa_kernel

DEFAULT = "default"
FASTER = 0.97  # another back-end is preferred where it takes at most this share of the time, in every round
ROUNDS = 5
#: The back-end of that name first. The others follow, since none can do every head size, mask and data type.
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


def fastest(seconds: Callable[[str], float]) -> str:
    """The back-end to prefer; `seconds` runs the denoiser once with one of them.

    The first run of each is thrown away: kernels are chosen and plans are made in it. Then they take turns, so that a
    machine that is busy for a while is so for all of them, and a back-end that is not ahead in every round is not.
    """
    names = (DEFAULT, *BACKENDS)
    for name in names:
        seconds(name)
    rounds = [{name: seconds(name) for name in names} for _ in range(ROUNDS)]
    ahead = [name for name in BACKENDS if all(taken[name] <= FASTER * taken[DEFAULT] for taken in rounds)]
    return min(ahead, key=lambda name: min(taken[name] for taken in rounds), default=DEFAULT)


@contextmanager
def attention(name: str) -> Iterator[None]:
    """Prefer a back-end of `BACKENDS` meanwhile; `default` leaves the order as it is."""
    if name == DEFAULT:
        yield
        return
    first = BACKENDS[name]
    rest = [backend for backend in (*BACKENDS.values(), SDPBackend.MATH) if backend != first]
    with sdpa_kernel([first, *rest], set_priority=True):
        yield
