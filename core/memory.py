"""What the C library does with memory that is freed, and Python's collector with what stays.

glibc gives every thread an arena of its own, and each keeps for itself what its thread has used at most. A pool of
eight threads that take turns at a piece of work of 13 MB so holds 100 MB in the end: the scheduler grew from 560 to
655 MB in as many turns as it has threads, and no further.
"""

from __future__ import annotations

import ctypes
import gc

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # as malloc.h has them
ARENAS = 2
LARGE = 128 * 1024


def give_memory_back(large: bool = True) -> None:
    """Have few arenas and, if `large`, have blocks from 128 kB on given back as soon as they are freed.

    The latter costs a page fault for every 4 kB of such a block, which is too much for one who works on tensors. To be
    called before there are threads. C libraries other than glibc are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_ARENA_MAX, ARENAS)
        if large:
            mallopt(M_MMAP_THRESHOLD, LARGE)


def freeze_loaded() -> None:
    """Let the garbage collector pass over what a process has loaded before its work begins, for that stays.

    A million objects of libraries take it 0.2 s, in the middle of a tick or between two denoising steps.
    """
    gc.collect()
    gc.freeze()
