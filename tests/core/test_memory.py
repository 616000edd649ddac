"""Memory of threads that take turns is given back."""

import ctypes
import subprocess
import sys

import pytest

TURNS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np, psutil
from core.memory import give_memory_back
if sys.argv[1] == "back":
    give_memory_back()

def turn():
    kept = [np.ones(12_000) for _ in range(200)]  # 20 MB in blocks of 96 kB
    return sum(float(one[0]) for one in [block * 2 for block in kept])

pools = [ThreadPoolExecutor(1) for _ in range(8)]
pools[0].submit(turn).result()
first = psutil.Process().memory_info().rss
for pool in pools:
    pool.submit(turn).result()
print((psutil.Process().memory_info().rss - first) / 1e6)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
def test_threads_that_take_turns_do_not_each_keep_what_they_have_used():
    def growth(how: str) -> float:
        command = [sys.executable, "-c", TURNS, how]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    found = {how: growth(how) for how in ("back", "as it is")}
    assert found["back"] < 60 < found["as it is"]
