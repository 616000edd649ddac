"""Logs of children stay bounded while they are written."""

import os
import time

import pytest

from core.log_files import KEPT, bound_logs, last_lines
from core.settings import settings
from core.supervisor import Child, Supervisor


@pytest.fixture
def small_logs(monkeypatch):
    monkeypatch.setenv("ARGUS_LOG_MB", "0.01")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def test_a_log_is_put_aside_when_it_is_full_and_its_writer_goes_on(small_logs, tmp_path):
    supervisor = Supervisor(tmp_path)
    talk = 'i=0; while true; do i=$((i+1)); echo "line $i of a process that talks"; sleep 0.0005; done'
    supervisor.start(Child("talker", ["sh", "-c", talk]))
    end = time.monotonic() + 60
    while not (tmp_path / f"talker.log.{KEPT}").exists() and time.monotonic() < end:
        supervisor.watch_once()
        time.sleep(0.01)
    time.sleep(0.1)
    assert supervisor.pids().keys() == {"talker"}
    supervisor.stop()
    assert "of a process that talks" in (tmp_path / "talker.log").read_text()
    assert b"\0" not in (tmp_path / "talker.log").read_bytes()
    parts = sorted(path.name for path in tmp_path.iterdir())
    assert parts == ["talker.log", *(f"talker.log.{number}" for number in range(1, KEPT + 1))]


def test_older_parts_are_kept_in_order_and_the_oldest_goes(small_logs, tmp_path):
    log = tmp_path / "a.log"
    for number in range(KEPT + 2):
        log.write_text(f"{number} ".rjust(20_000))
        bound_logs(tmp_path)
    assert log.read_text() == ""
    kept = [(tmp_path / f"a.log.{part}").read_text().strip() for part in range(1, KEPT + 1)]
    assert kept == [str(KEPT + 1 - part) for part in range(KEPT)]


def test_a_log_that_is_not_full_is_left_alone(small_logs, tmp_path):
    (tmp_path / "a.log").write_text("short\n")
    bound_logs(tmp_path)
    assert os.listdir(tmp_path) == ["a.log"]


def test_the_last_lines_of_a_log_are_read_from_its_end(tmp_path):
    (tmp_path / "a.log").write_text("".join(f"line {i}\n" for i in range(100_000)))
    assert last_lines(tmp_path / "a.log", 2) == "line 99998\nline 99999"
    assert last_lines(tmp_path / "none.log", 2) == "(no log)"
