"""What benchmarks share: an Argus of their own, as `make up` starts it for a newcomer, and the record of a run."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.live.instance import call
from bench.live.machine import commit
from core.client import ArgusClient
from core.ports import free_port


def environ(home: Path) -> dict[str, str]:
    """Settings of the run: ports and a home of its own, everything else as a newcomer has it."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")}
    own = {"ARGUS_HOME": home, "ARGUS_PORT": free_port(), "ARGUS_FLOWER_PORT": free_port()}
    return {**others, **{name: str(value) for name, value in own.items()}}


@contextmanager
def own_home(name: str) -> Iterator[Path]:
    """A folder that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"argus-{name}-") as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs as another user
        yield Path(folder)


@contextmanager
def own_argus(home: Path) -> Iterator[ArgusClient]:
    """An Argus that has drawn its first job, stopped afterwards."""
    settings = environ(home)
    call(["up", "--detach"], settings)
    try:
        yield ArgusClient(f"http://127.0.0.1:{settings['ARGUS_PORT']}")
    finally:
        call(["down"], settings)


def run_of(module: str, **more: Any) -> dict[str, Any]:
    """What a page says of a run, asked when it begins: the command, when, of which code, beside how much else."""
    return {
        "command": "python -m " + " ".join([module, *sys.argv[1:]]),
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": commit(),
        "load_before": os.getloadavg()[0],
        **more,
    }


def keep(found: dict[str, Any], kept: Path, page: Path, text: str) -> None:
    """Write figures for programs and the page for people."""
    kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page.write_text(text, encoding="utf-8")
