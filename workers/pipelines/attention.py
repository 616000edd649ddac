"""Which kernel computes attention: PyTorch's own choice, or one of its back-ends before the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.attention import SDPBackend, sdpa_kernel

DEFAULT = "default"
#: The back-end of that name first. The others follow, since none can do every head size, mask and data type.
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


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
