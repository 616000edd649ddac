"""`argus status` says plainly what is away, and why."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import lock
from cli.main import argus
from cli.rolling import ASKED
from cli.stack import Stack
from cli.terminal import make_console
from core import celery
from core.database import forget_connections
from core.ports import free_port
from core.settings import settings
from core.supervisor import Child


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stack]:
    """A supervisor of a home folder whose database and broker do not answer."""
    monkeypatch.setenv("ARGUS_HOME", str(tmp_path))
    monkeypatch.setenv("ARGUS_DATABASE_URL", f"postgresql://a:b@127.0.0.1:{free_port()}/argus")
    monkeypatch.setenv("ARGUS_BROKER_URL", f"redis://127.0.0.1:{free_port()}/0")
    monkeypatch.setattr(celery, "_app", None)
    settings.cache_clear()
    forget_connections()
    with lock.only_one():
        running = Stack(make_console(stderr=True))
        yield running
        running.supervisor.stop()
    forget_connections()
    monkeypatch.undo()
    settings.cache_clear()


def status() -> Result:
    return CliRunner().invoke(argus, ["status"])


def test_database_and_broker_that_do_not_answer_are_named_with_the_reason(stack: Stack) -> None:
    stack.write_state(ready=True)
    said = status()
    assert said.exit_code == 1
    assert isinstance(said.exception, SystemExit)
    assert "AWAY  The database does not answer: " in said.output
    assert "AWAY  The broker does not answer: " in said.output
    assert said.output.count("onnection refused") >= 2


def test_a_process_that_cannot_start_is_named_with_what_it_said_last(stack: Stack) -> None:
    stack.supervisor.start(Child("valkey", ["sh", "-c", "echo the folder is gone; exit 3"]))
    stack.supervisor.start(Child("beat", ["sleep", "600"]))
    end = time.monotonic() + 20
    while not stack.state.troubles and time.monotonic() < end:
        stack.watch()
        time.sleep(0.05)
    said = status()
    assert said.exit_code == 1
    assert "AWAY  valkey ended with status 3: the folder is gone" in said.output
    assert "beat" not in "".join(line for line in said.output.splitlines() if line.startswith("AWAY"))


def test_a_program_that_is_gone_is_named_and_started_once_it_is_back(stack: Stack, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.symlink_to(sys.executable)
    stack.supervisor.start(Child("web", [str(program), "-c", "import time; time.sleep(600)"]))
    first = stack.supervisor.pids()["web"]
    program.unlink()
    os.kill(first, 9)
    end = time.monotonic() + 30
    while "could not be started" not in stack.state.troubles.get("web", "") and time.monotonic() < end:
        stack.watch()
        time.sleep(0.05)
    assert "AWAY  web could not be started: " in status().output
    program.symlink_to(sys.executable)
    while stack.supervisor.pids()["web"] == first and time.monotonic() < end:
        stack.watch()
        time.sleep(0.05)
    assert stack.supervisor.pids()["web"] != first


def test_a_restart_that_is_at_work_is_shown(stack: Stack) -> None:
    stack.supervisor.start(Child("beat", ["sleep", "600"], serving=lambda pid: False))
    (settings().run_folder / ASKED).write_text('["beat"]')
    stack.watch()
    assert "Still to be replaced: beat" in status().output
    again = CliRunner().invoke(argus, ["restart"])
    assert again.exit_code == 1
    assert "A restart is at work already" in again.output


def test_other_commands_fail_in_one_line_without_the_database(stack: Stack) -> None:
    said = CliRunner().invoke(argus, ["report", "--last", "1h"])
    assert said.exit_code == 1
    assert said.output.startswith("error [service_down] The database does not answer: ")
