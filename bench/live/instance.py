"""An Argus of its own for each policy: started with its settings, waited for, stopped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cli.processes import ARGUS
from core.client import ArgusClient
from core.errors import ServiceDown
from core.ports import free_port

DEVICES = ("cpu:0", "cpu:1")
UP_S = 180.0  # patience until workers are ready and a plan is in force


def environ(home: Path, policy: str, slo_s: float) -> dict[str, str]:
    """Settings of one run; nothing of the caller's own ARGUS_… reaches it."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")}
    own = {"HOME": home, "POLICY": policy, "SLO_S": slo_s, "DEVICES": ",".join(DEVICES), "THREADS": 1}
    ports = {"PORT": free_port(), "FLOWER_PORT": free_port()}
    return {**others, **{f"ARGUS_{name}": str(value) for name, value in {**own, **ports}.items()}}


def call(words: Sequence[str], settings: Mapping[str, str]) -> str:
    """Run an `argus` command to its end; raises `ServiceDown` with what it said."""
    done = subprocess.run([*ARGUS, *words], env=dict(settings), capture_output=True, text=True)
    if done.returncode:
        raise ServiceDown(f"argus {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def running(settings: Mapping[str, str]) -> Iterator[ArgusClient]:
    """An Argus with ready workers and a plan in force. Afterwards only its logs are left."""
    home = Path(settings["ARGUS_HOME"])
    call(["up", "--detach", "--no-first-job"], settings)
    try:
        argus = ArgusClient(f"http://127.0.0.1:{settings['ARGUS_PORT']}")
        until_planned(argus)
        yield argus
    finally:
        call(["down"], settings)
        for name in ("postgres", "images", "latents", "valkey"):
            shutil.rmtree(home / name, ignore_errors=True)


def until_planned(argus: ArgusClient) -> None:
    """Wait until every worker is ready and a plan of the running policy is in force; raises `ServiceDown`."""
    end = time.monotonic() + UP_S
    while True:
        page = argus.get("/v1/plan")
        ready = [worker["name"] for worker in page["workers"] if worker["state"] == "ready"]
        if len(ready) == len(DEVICES) and page["plan"]:
            return
        if time.monotonic() > end:
            raise ServiceDown(f"After {UP_S:.0f} s only {ready} are ready, plan: {bool(page['plan'])}.")
        time.sleep(1.0)


def children(home: Path) -> dict[str, int]:
    """Process ids of what the supervisor runs."""
    return dict(json.loads((home / "run" / "argus.json").read_text())["children"])
