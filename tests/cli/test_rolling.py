"""A rolling restart, with children that are easily watched."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from cli import rolling
from cli.main import argus
from cli.rolling import ASKED, RollingRestart
from core.supervisor import Child, Supervisor

SLEEP = ["sleep", "600"]
STUBBORN = ["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "logs")
    yield made
    made.stop()


def ask(folder: Path, *names: str) -> None:
    (folder / ASKED).write_text(json.dumps(names))


def follow(supervisor: Supervisor, restart: RollingRestart, until: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not until():
        assert time.monotonic() < end, "it did not happen"
        supervisor.watch_once()
        restart.advance()
        time.sleep(0.02)


def test_processes_are_replaced_one_after_the_other_and_others_stay(supervisor: Supervisor, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        supervisor.start(Child(name, SLEEP))
    before, alive = supervisor.pids(), []
    restart = RollingRestart(supervisor, tmp_path)
    ask(tmp_path, "a", "b", "nobody")

    def done() -> bool:
        alive.append(sum(psutil.Process(pid).status() != "zombie" for pid in supervisor.pids().values()))
        if restart.left:
            restart.acknowledge()
        return not restart.left and supervisor.pids()["b"] != before["b"]

    follow(supervisor, restart, done)
    after = supervisor.pids()
    assert after["a"] != before["a"]
    assert after["c"] == before["c"]
    assert min(alive) >= 2
    assert supervisor.troubles() == {}


def test_one_that_may_overlap_leaves_when_its_successor_serves(supervisor: Supervisor, tmp_path: Path) -> None:
    served: set[int] = set()
    supervisor.start(Child("web", SLEEP, overlap=True, serving=lambda pid: pid in served))
    first = supervisor.pids()["web"]
    supervisor.replace("web")
    second = supervisor.pids()["web"]
    for _ in range(10):
        supervisor.watch_once()
    assert psutil.Process(first).status() != psutil.STATUS_ZOMBIE
    assert not supervisor.is_replaced("web")
    served.add(second)
    follow(supervisor, RollingRestart(supervisor, tmp_path), lambda: supervisor.is_replaced("web"))
    assert not psutil.pid_exists(first)
    assert supervisor.pids()["web"] == second


def test_one_that_does_not_leave_in_time_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(Child("worker", STUBBORN, stop_patience_s=0.3))
    first = supervisor.pids()["worker"]
    supervisor.replace("worker")
    follow(supervisor, RollingRestart(supervisor, tmp_path), lambda: supervisor.is_replaced("worker"))
    assert not psutil.pid_exists(first)


def test_one_that_leaves_while_others_are_looked_at_has_not_crashed(supervisor: Supervisor, tmp_path: Path) -> None:
    def beat_ends(_: int) -> bool:
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        return True

    supervisor.start(Child("beat", STUBBORN, stop_patience_s=0.3))
    supervisor.start(Child("web", SLEEP, overlap=True, serving=beat_ends))
    first = supervisor.pids()["beat"]
    supervisor.replace("beat")
    supervisor.replace("web")
    supervisor.watch_once()  # beat is alive when it is looked at first, and has ended when it is looked at again
    assert supervisor.troubles() == {}
    follow(supervisor, RollingRestart(supervisor, tmp_path), lambda: supervisor.pids()["beat"] != first)
    assert supervisor.troubles() == {}


def test_where_a_new_one_does_not_serve_the_others_are_left_as_they_are(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "PATIENCE_S", 0.5)
    supervisor.start(Child("a", SLEEP, serving=lambda pid: False))
    supervisor.start(Child("b", SLEEP))
    before = supervisor.pids()
    restart = RollingRestart(supervisor, tmp_path)
    ask(tmp_path, "a", "b")
    follow(supervisor, restart, lambda: supervisor.pids()["a"] != before["a"])
    restart.acknowledge()
    follow(supervisor, restart, lambda: not restart.left)
    assert supervisor.pids()["b"] == before["b"]


def test_a_new_one_that_crashes_is_started_again_while_the_old_one_serves(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    served: set[int] = set()
    supervisor.start(Child("web", SLEEP, overlap=True, serving=lambda pid: pid in served))
    first = supervisor.pids()["web"]
    supervisor.replace("web")
    second = supervisor.pids()["web"]
    os.kill(second, signal.SIGKILL)
    follow(supervisor, RollingRestart(supervisor, tmp_path), lambda: supervisor.pids()["web"] != second)
    assert psutil.Process(first).status() != psutil.STATUS_ZOMBIE
    served.add(supervisor.pids()["web"])
    follow(supervisor, RollingRestart(supervisor, tmp_path), lambda: supervisor.is_replaced("web"))
    assert not psutil.pid_exists(first)


def test_both_end_when_all_is_stopped_in_the_middle(supervisor: Supervisor) -> None:
    supervisor.start(Child("web", SLEEP, overlap=True, serving=lambda pid: False))
    first = supervisor.pids()["web"]
    supervisor.replace("web")
    second = supervisor.pids()["web"]
    supervisor.stop()
    assert not psutil.pid_exists(first)
    assert not psutil.pid_exists(second)


def test_restart_where_nothing_runs_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from core.settings import settings

    monkeypatch.setenv("ARGUS_HOME", str(tmp_path))
    settings.cache_clear()
    said = CliRunner().invoke(argus, ["restart"])
    monkeypatch.undo()
    settings.cache_clear()
    assert said.exit_code == 1
    assert "does not run here" in said.output
