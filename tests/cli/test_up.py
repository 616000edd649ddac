"""`argus up` to `argus down`, as a user runs them: installed from the wheel, on ports and a home folder of their own.

Every command runs in a folder with packages called like ours, which must not be taken for them.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from cli.processes import answers
from core.ports import free_port
from core.settings import ROOT
from tests.installation import ROOMS, Installation

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Home:
    """A home folder, the settings that lead there, and the folder that commands run in."""

    folder: Path
    environ: dict[str, str]
    installation: Installation
    elsewhere: Path

    def argus(self, *words: str, patience_s: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.installation.argus, *words],
            env=self.environ,
            cwd=self.elsewhere,
            capture_output=True,
            text=True,
            timeout=patience_s,
        )

    def state(self) -> dict:
        return json.loads((self.folder / "run" / "argus.json").read_text())

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.environ['ARGUS_PORT']}"


@pytest.fixture(scope="module")
def home(installation, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for room in ROOMS:
        (elsewhere / room).mkdir()
        (elsewhere / room / "__init__.py").write_text("raise SystemExit('a folder of the user was taken for ours')")
    with tempfile.TemporaryDirectory(prefix="argus-test-up-") as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs under an id of its own
        own = {
            "ARGUS_HOME": folder,
            "ARGUS_PORT": str(free_port()),
            "ARGUS_FLOWER_PORT": str(free_port()),
            "ARGUS_DEVICES": "cpu:0",
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")}
        yield Home(Path(folder), {**others, **own}, installation, elsewhere)


def wait_until(happened, patience_s=60, instead=lambda: "nothing"):
    end = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < end, f"it did not happen, but: {instead()}"
        time.sleep(0.1)


def test_a_whole_life(home):
    up = home.argus("up", "--detach", "--no-first-job")
    assert up.returncode == 0, up.stdout + up.stderr
    assert home.web in up.stdout
    assert answers(f"{home.web}/healthz")
    family = [psutil.Process(home.state()["pid"])]
    try:
        starting_again_says_so_and_changes_nothing(home)
        a_prompt_becomes_an_image(home)
        the_report_has_it(home)
        the_doctor_finds_nothing_wrong(home)
        a_killed_child_is_started_again(home)
        family += family[0].children(recursive=True)
        assert {"postgres", "valkey", "web", "beat", "scheduler", "worker-cpu0", "quality", "flower"} == set(
            home.state()["children"]
        )
    finally:
        down = home.argus("down")
    assert down.returncode == 0, down.stdout + down.stderr
    _, alive = psutil.wait_procs(family, timeout=3)
    assert alive == []
    assert not answers(f"{home.web}/healthz")
    assert {path.name for path in (home.folder / "run").iterdir()}.isdisjoint({"argus.json", "services.json"})
    assert "does not run here" in home.argus("down").stdout


def starting_again_says_so_and_changes_nothing(home):
    before = home.state()
    again = home.argus("up")
    assert again.returncode == 0
    assert "runs already" in again.stdout
    assert home.state() == before


def a_prompt_becomes_an_image(home):
    out = home.folder / "out"
    words = ["a red apple", "--steps", "2", "--seed", "7", "--out", str(out), "--json", str(out) + ".json"]
    done = home.argus("generate", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    (request,) = json.loads(Path(f"{out}.json").read_text())["requests"]
    assert request["prompt"] == "a red apple"
    assert request["seed"] == 7
    assert Path(request["image"]).read_bytes().startswith(b"\x89PNG")


def the_report_has_it(home):
    report = json.loads(home.argus("report", "--last", "10m", "--json", "-").stdout)
    assert (report["requests"], report["images"], report["failed"]) == (1, 1, 0)
    assert report["latency_p50_s"] > 0
    assert sum(level["images"] for level in report["levels"].values()) == 1


def the_doctor_finds_nothing_wrong(home):
    said: list[str] = []

    def nothing_is_wrong():  # once what gives way to drawing has come up, too
        said[:] = home.argus("doctor").stdout.splitlines()
        return [line for line in said if line.startswith("WRONG") and "memory" not in line] == []

    wait_until(nothing_is_wrong, patience_s=240, instead=lambda: said)
    for subject in ("packages", "family", "profile", "database", "celery"):
        assert any(line.startswith(f"ok     {subject}: ") for line in said)


def a_killed_child_is_started_again(home):
    first = home.state()["children"]["beat"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: home.state()["children"]["beat"] != first)
    assert psutil.pid_exists(home.state()["children"]["beat"])


# A supervisor of the services and beat: what is true of three children is true of all.
FEW = "from cli import processes as p; p.everything = lambda: [p.process('beat')]; from cli.main import main; main()"


def test_nothing_outlives_a_supervisor_that_is_killed(home):
    log = home.folder / "few.log"
    with log.open("w") as sink:
        supervisor = subprocess.Popen(
            [sys.executable, "-c", FEW, "up", "--no-first-job"],
            env=home.environ,
            cwd=ROOT,
            stdout=sink,
            stderr=sink,
        )
    wait_until(lambda: supervisor.poll() is not None or "It stays up" in log.read_text())
    assert supervisor.poll() is None, log.read_text()
    family = psutil.Process(supervisor.pid).children(recursive=True)
    assert len(family) >= 3
    supervisor.kill()
    supervisor.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    assert "does not run here" in home.argus("down").stdout
