"""What runs on which device, and what is said when it cannot."""

import os
import socket

import click
import pytest
from click.testing import CliRunner

from cli import lock, processes, run, stack, up
from cli.main import argus
from cli.report import PointInTime
from cli.terminal import make_console
from core import devices
from core.errors import BadSettings, Conflict
from core.ports import free_port
from core.settings import settings


@pytest.fixture
def given(monkeypatch, tmp_path):
    """Set settings for one test: `given(DEVICES="cpu:0")`; home is an empty folder."""

    def give(**values: str) -> None:
        for name, value in {"HOME": str(tmp_path), **values}.items():
            monkeypatch.setenv(f"ARGUS_{name}", value)
        settings.cache_clear()

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that it is put back, whatever a test leaves
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    give()
    yield give
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    """An `nvidia-smi` that lists two GPUs, one of them with a MIG slice."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: GPU-a)\n  MIG 1g (UUID: MIG-x)\nGPU 1: H200 (UUID: GPU-b)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")


def test_without_a_gpu_there_is_one_cpu_worker(given, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert devices.local_devices() == ["cpu:0"]


@pytest.fixture
def worker_started(given, monkeypatch):
    """What `argus run worker` starts the worker with: its arguments, after the name of the device it was given."""

    def start(device: str) -> list[str]:
        found: list[list[str]] = []
        monkeypatch.setattr("workers.boot.main", lambda argv: found.append(argv) or 0)
        assert run.worker(device) == 0
        return found[0]

    return start


def test_every_gpu_gets_a_worker_that_sees_only_it(worker_started, two_gpus):
    assert devices.local_devices() == ["cuda:0", "cuda:1"]
    arguments = worker_started("cuda:1")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    assert arguments[:2] == ["--device", "cuda:0"]
    assert arguments[3].startswith("cuda1@")


def test_gpus_hidden_from_argus_stay_hidden(worker_started, two_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert devices.local_devices() == ["cuda:0"]
    worker_started("cuda:0")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-b"


def test_a_cpu_worker_sees_no_gpu(worker_started, two_gpus):
    assert worker_started("cpu:0")[:2] == ["--device", "cpu:0"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_two_cpu_slots_are_two_workers_with_names_of_their_own(given):
    given(DEVICES="cpu:0, cpu:1")
    names = [child.name for child in processes.everything()]
    assert names.count("worker-cpu0") == names.count("worker-cpu1") == 1
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("settings", "password", "started"), [
    ({"HOST": "127.0.0.1"}, "", True),
    ({"HOST": "127.0.0.1", "KEYS": "yes"}, "", True),
    ({"HOST": "0.0.0.0", "KEYS": "yes"}, "", False),
    ({"HOST": "0.0.0.0", "KEYS": "yes", "OPEN": "yes"}, "", False),
    ({"HOST": "0.0.0.0", "KEYS": "yes"}, "admin:secret", True),
    ({"HOST": "0.0.0.0", "OPEN": "yes"}, "", True),
])  # fmt: skip
def test_flower_knows_no_keys_and_needs_a_password_where_others_reach_it(
    given, monkeypatch, settings, password, started
):
    given(**settings)
    monkeypatch.setenv("FLOWER_BASIC_AUTH", password)
    assert ("flower" in [child.name for child in processes.everything()]) is started
    if not started:
        with pytest.raises(BadSettings, match="FLOWER_BASIC_AUTH"):
            run.flower()


@pytest.mark.parametrize("asked", ["tpu:0", "cpu", "cpu:x", "cuda:7", "cpu:0,cpu:0", " , "])
def test_a_device_that_is_not_there_is_refused_by_name_of_the_setting(given, two_gpus, asked):
    given(DEVICES=asked)
    with pytest.raises(BadSettings, match=r"ARGUS_DEVICES|this host has 2 GPUs"):
        devices.local_devices()


@pytest.mark.parametrize("setting", ["ARGUS_PORT", "ARGUS_FLOWER_PORT"])
def test_a_taken_port_is_refused_by_name_of_the_setting(given, setting):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = {"PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
        given(**{**ports, setting.removeprefix("ARGUS_"): str(other.getsockname()[1])})
        with pytest.raises(BadSettings, match=setting):
            stack.check_ports()


def test_one_home_folder_has_one_supervisor(given):
    with lock.only_one():
        assert not lock.lock_is_free()
        with pytest.raises(Conflict), lock.only_one():
            pass
    assert lock.lock_is_free()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user for a while")
def test_a_home_of_another_user_is_said_to_be_that(given, tmp_path):
    with lock.only_one():
        tmp_path.chmod(0o700)
        os.seteuid(61000)
        try:
            done = CliRunner().invoke(argus, ["status"])
        finally:
            os.seteuid(0)
    assert done.exit_code == 1
    assert "belongs to another user" in done.output


def test_down_where_nothing_runs_says_so_and_is_no_failure(given):
    done = CliRunner().invoke(argus, ["down"])
    assert (done.exit_code, done.output.strip()) == (0, "Argus does not run here.")


def test_generate_where_nothing_runs_fails_in_one_line_with_code_and_advice(given):
    given(PORT=str(free_port()))
    done = CliRunner().invoke(argus, ["generate", "a red apple"])
    assert done.exit_code == 1
    assert done.output.startswith("error [service_down] ")
    assert "make up" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    "words", [["nonsense"], ["generate"], ["generate", "x", "--n", "0"], ["report", "--last", "soon"]]
)
def test_wrong_use_ends_with_status_2(given, words):
    assert CliRunner().invoke(argus, words).exit_code == 2


def test_an_unknown_setting_is_wrong_use_and_named(given):
    given(PROT="80")
    done = CliRunner().invoke(argus, ["generate", "x"])
    assert done.exit_code == 2
    assert "ARGUS_PROT" in done.output


def test_the_doctor_names_a_setting_that_is_wrong(given):
    given(PORT="many")
    done = CliRunner().invoke(argus, ["doctor"])
    assert done.exit_code == 1
    assert "ARGUS_PORT" in done.output


def test_the_doctor_names_a_port_that_is_taken(given):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        given(PORT=str(other.getsockname()[1]), FLOWER_PORT=str(free_port()))
        done = CliRunner().invoke(argus, ["doctor"])
    assert done.exit_code == 1
    assert "taken by another program: set ARGUS_PORT" in done.output


def test_the_table_of_settings_hides_addresses_which_may_carry_passwords(given):
    given(BROKER_URL="redis://:hunter2@example/0")
    done = CliRunner().invoke(argus, ["settings"])
    assert done.exit_code == 0
    assert "ARGUS_BROKER_URL" in done.output
    assert "hunter2" not in done.output


def test_a_time_in_the_past_is_a_duration_or_an_iso_time():
    time = PointInTime()
    assert time.convert("2026-11-21T04:00:00", None, None).isoformat() == "2026-11-21T04:00:00+00:00"
    assert time.convert("2h", None, None) < time.convert("30m", None, None)
    with pytest.raises(click.BadParameter):
        time.convert("yesterday", None, None)


def test_the_supervisor_s_log_goes_on_and_only_what_this_start_said_is_shown(given, monkeypatch, tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "supervisor.log").write_text("what an earlier start said\n")
    program = tmp_path / "argus"
    program.write_text("#!/bin/sh\necho it does not start; exit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(processes, "ARGUS", (str(program),))
    with pytest.raises(SystemExit) as ended:
        up._detach(make_console())
    assert ended.value.code == 3
    assert capsys.readouterr().err == "it does not start\n"
    kept = (tmp_path / "logs" / "supervisor.log").read_text()
    assert kept == "what an earlier start said\nit does not start\n"
