"""`argus restart` under load: every process is replaced, and nothing accepted is lost, refused or failed."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
import requests

from cli.processes import ARGUS
from core.ports import free_port

pytestmark = pytest.mark.slow
PAUSE_S = 0.4
MINE = "FROM request JOIN job ON job.id = request.job_id WHERE job.source = 'api'"  # beside them there are audits


class Here:
    """An Argus of a home folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        others = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")}
        own = {"HOME": folder, "PORT": free_port(), "FLOWER_PORT": free_port(), "DEVICES": "cpu:0,cpu:1", "THREADS": 1}
        self.environ = {**others, **{f"ARGUS_{name}": str(value) for name, value in own.items()}}
        self.web = f"http://127.0.0.1:{own['PORT']}"

    def argus(self, *words: str) -> str:
        done = subprocess.run([*ARGUS, *words], env=self.environ, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def children(self) -> dict[str, int]:
        return dict(json.loads((self.folder / "run" / "argus.json").read_text())["children"])

    def count(self, statement: str) -> int:
        address = json.loads((self.folder / "run" / "services.json").read_text())["database_url"]
        connection = psycopg2.connect(address)
        with connection.cursor() as cursor:
            cursor.execute(statement)
            found = cursor.fetchone()
        connection.close()
        assert found is not None
        return int(found[0])


@pytest.fixture
def here() -> Iterator[Here]:
    with tempfile.TemporaryDirectory(prefix="argus-test-restart-") as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs under an id of its own
        made = Here(Path(folder))
        made.argus("up", "--detach", "--no-first-job")
        try:
            yield made
        finally:
            made.argus("down")


class Load(threading.Thread):
    """A client that submits small jobs without a pause, each on a connection of its own, and looks at them."""

    def __init__(self, web: str) -> None:
        super().__init__()
        self.web, self.stop = web, threading.Event()
        self.jobs: list[str] = []
        self.refused: list[str] = []
        self.slowest = 0.0

    def run(self) -> None:
        while not self.stop.wait(PAUSE_S):
            began = time.monotonic()
            try:
                body = {"prompts": ["a red apple"], "steps": 4, "seed": len(self.jobs)}
                answer = requests.post(f"{self.web}/v1/jobs", json=body, timeout=60)
                answer.raise_for_status()
                self.jobs.append(answer.json()["id"])
                requests.get(f"{self.web}/v1/jobs/{self.jobs[-1]}", timeout=60).raise_for_status()
            except requests.RequestException as error:
                self.refused.append(repr(error))
            self.slowest = max(self.slowest, time.monotonic() - began)


@pytest.mark.timeout(1500)
def test_everything_is_replaced_under_load_and_nothing_is_lost_or_refused(here: Here) -> None:
    before, load = here.children(), Load(here.web)
    old = {name: psutil.Process(pid) for name, pid in before.items()}
    load.start()
    try:
        while here.count("SELECT count(*) FROM image") < 3:
            time.sleep(0.5)
        said = here.argus("restart")
    finally:
        load.stop.set()
        load.join()
    end = time.monotonic() + 600
    while here.count(f"SELECT count(*) {MINE} AND state <> 'done'") and time.monotonic() < end:
        time.sleep(0.5)
    print(f"{said}{len(load.jobs)} jobs; the slowest exchange took {load.slowest:.2f} s")
    after = here.children()
    for name in before:
        stays = name in ("postgres", "valkey")
        assert (after[name] == before[name]) == stays, name
        assert old[name].is_running() == stays, name
    assert load.refused == []
    assert here.count(f"SELECT count(*) {MINE}") == len(load.jobs) > 20
    assert here.count(f"SELECT count(*) {MINE} AND state = 'done'") == len(load.jobs)
    drawn = f"SELECT count(DISTINCT request_id) FROM image WHERE request_id IN (SELECT request.id {MINE})"
    assert here.count(drawn) == len(load.jobs)
    assert here.count("SELECT count(*) FROM attempt WHERE outcome NOT IN ('done', 'returned')") == 0
    assert set(json.loads((here.folder / "run" / "argus.json").read_text())["troubles"]) == set()
