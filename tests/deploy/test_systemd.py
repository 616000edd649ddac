"""deploy/systemd: a unit for each process, in a sandbox, as systemd itself reads them."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.run import PROCESSES
from core.settings import ROOT
from tests.deploy.test_compose import command_is_known

UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
SECRETS = {
    "argus-beat.service": {"broker"},
    "argus-flower.service": {"broker", "flower"},
    "argus-migrate.service": {"migration"},
}
SYSTEMD = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")


def unit(path: Path) -> configparser.RawConfigParser:
    parsed = configparser.RawConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read(path)
    return parsed


def lines(name: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", (UNITS / name).read_text(), re.MULTILINE)


def test_every_process_has_a_unit() -> None:
    names = {re.sub(r"^argus-|@?\.service$", "", name) for name in SERVICES}
    assert names == {*PROCESSES, "worker"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_unit_starts_a_command_that_exists_and_comes_back(name: str) -> None:
    (command,) = lines(name, "ExecStart")
    command_is_known(command.replace("/opt/argus/bin/argus", "argus").replace("%i", "cuda:0").split())
    assert lines(name, "Restart") == ([] if name == "argus-migrate.service" else ["always"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_reads_the_secrets_that_its_process_needs(name: str) -> None:
    files = {Path(file).stem for file in lines(name, "EnvironmentFile")}
    assert files == {"argus"} | SECRETS.get(name, {"broker", "database"})


def test_all_run_unprivileged_in_a_sandbox() -> None:
    service = unit(UNITS / "argus-.service.d" / "10-argus.conf")["Service"]
    assert service["User"] == "argus"
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictSUIDSGID"):
        assert service[key] == "yes"
    assert all("User=" not in (UNITS / name).read_text() for name in SERVICES)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they lie in a system, with instances, and a program where theirs is."""
    folder = tmp_path / "system"
    shutil.copytree(UNITS, folder)
    program = tmp_path / "argus"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name in SERVICES:
        text = (folder / name).read_text().replace("/opt/argus/bin/argus", str(program))
        (folder / name).write_text(text)
        if "@." in name:
            (folder / name.replace("@.", "@1.")).write_text(text)
    return folder


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin", "SYSTEMD_COLORS": "0"}
    return subprocess.run(["systemd-analyze", *words], env=environ, capture_output=True, text=True, timeout=60)


@SYSTEMD
def test_systemd_finds_nothing_wrong_with_them(installed: Path) -> None:
    for path in sorted(installed.glob("*.service")):
        if "@." not in path.name:
            done = analyze(installed, "verify", "--man=no", path.name)
            assert (done.returncode, done.stderr) == (0, ""), path.name


@SYSTEMD
@pytest.mark.parametrize("name", ["argus-beat.service", "argus-web@1.service", "argus-worker@1.service"])
def test_systemd_calls_them_little_exposed(installed: Path, name: str) -> None:
    done = analyze(installed, "security", "--offline=yes", "--threshold=30", str(installed / name))
    assert done.returncode == 0, done.stdout.splitlines()[-1]
