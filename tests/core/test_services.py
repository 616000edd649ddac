"""The embedded services and the schema, as they really run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from core.database import alembic_config, transaction
from core.errors import ServiceDown
from core.services import broker_answers, valkey
from core.settings import settings
from core.supervisor import Child, Supervisor


def test_postgres_18_with_pgvector_answers(services):
    with transaction() as session:
        version = session.scalar(text("show server_version"))
        nearest = session.scalar(text("select '[1,0]'::vector <=> '[0,1]'::vector"))
    assert version.startswith("18.")
    assert nearest == pytest.approx(1.0)


def test_valkey_answers(services):
    assert broker_answers(services.broker_url)
    assert not broker_answers("redis://127.0.0.1:1/0")


def test_the_migrations_say_what_the_tables_say(services):
    command.check(alembic_config())  # raises when they differ


def test_a_crashed_child_is_restarted_and_a_stopped_one_is_gone(tmp_path):
    supervisor = Supervisor(tmp_path)
    supervisor.start(Child("sleeper", ["sleep", "600"]))
    first = supervisor.pids()["sleeper"]
    os.kill(first, signal.SIGKILL)
    restarted: list[str] = []
    end = time.monotonic() + 20
    while not restarted and time.monotonic() < end:
        restarted = supervisor.watch_once()
        time.sleep(0.05)
    assert restarted == ["sleeper"]
    second = supervisor.pids()["sleeper"]
    supervisor.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_a_broker_whose_folder_is_gone_comes_back(tmp_path):
    child, url = valkey(tmp_path)
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(child)
    os.kill(supervisor.pids()["valkey"], signal.SIGKILL)
    shutil.rmtree(tmp_path / "valkey")
    end = time.monotonic() + 20
    while not broker_answers(url) and time.monotonic() < end:
        supervisor.watch_once()
        time.sleep(0.05)
    assert broker_answers(url)
    supervisor.stop()


SUPERVISED = """
import sys, time
from pathlib import Path
from core.supervisor import Child, Supervisor
supervisor = Supervisor(Path(sys.argv[1]))
supervisor.start(Child("stubborn", ["sh", "-c", "trap '' TERM; while true; do sleep 0.2; done"]))
print(supervisor.pids()["stubborn"], flush=True)
time.sleep(600)
"""


def test_children_end_at_once_when_their_supervisor_is_killed(tmp_path):
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    child = int(supervisor.stdout.readline())
    supervisor.kill()
    supervisor.wait()
    end = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


def test_a_child_that_dies_at_start_is_reported_with_the_end_of_its_log(tmp_path):
    supervisor = Supervisor(tmp_path)
    with pytest.raises(ServiceDown, match="no such luck"):
        supervisor.start(Child("broken", ["sh", "-c", "echo no such luck; exit 3"], ready=lambda: False))
    supervisor.stop()


def test_settings_of_the_session_point_at_the_test_services(services):
    assert settings().database_url == services.database_url
