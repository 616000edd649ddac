"""The wheel carries everything that Argus needs beside its code."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from core.settings import ROOT
from tests.installation import NOT_SHIPPED, ROOMS


@pytest.fixture(scope="module")
def carried(installation) -> set[str]:
    with zipfile.ZipFile(installation.wheel) as wheel:
        return set(wheel.namelist())


def test_every_file_of_every_room_is_in_the_wheel_and_nothing_else(carried):
    files = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file())
    wanted = {str(path.relative_to(ROOT)) for path in files if not set(path.parts) & set(NOT_SHIPPED)}
    assert {name for name in carried if ".dist-info/" not in name} == wanted


def test_the_licences_are_in_the_wheel(carried):
    licences = {Path(name).name for name in carried if ".dist-info/licenses/" in name}
    assert {"LICENSE", "htmx.LICENSE", "rapidoc.LICENSE"} == licences


def test_an_installed_argus_keeps_its_data_outside_the_packages(installation, tmp_path):
    others = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")}
    done = subprocess.run(
        [installation.argus, "settings"],
        env={**others, "XDG_DATA_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    home = next(line for line in done.stdout.splitlines() if "ARGUS_HOME" in line)
    assert ("/var/lib/argus" if os.geteuid() == 0 else str(tmp_path / "argus")) in home
