"""What starts a worker."""

from __future__ import annotations

import subprocess
import sys


def test_torch_is_imported_after_its_threads_are_set() -> None:
    """`workers.boot.run` sets OMP_NUM_THREADS, which OpenMP reads once, when torch is imported."""
    code = "import sys, workers.boot; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
