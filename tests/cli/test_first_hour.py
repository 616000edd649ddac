"""docs/first-hour.md: every command on it, in its order and in one shell, on a machine where nothing ran before."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.ports import free_port
from core.settings import ROOT

PAGE = (ROOT / "docs" / "first-hour.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
# Where curl is missing, what it would send is sent otherwise.
CURL = """
import sys, requests
words = sys.argv[1:]
url = next(word for word in words if word.startswith("http"))
body = words[words.index("-d") + 1] if "-d" in words else None
answer = requests.request("POST" if body else "GET", url, data=body, headers={"Content-Type": "application/json"})
print(answer.text)
sys.exit(not answer.ok)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="argus-first-hour-") as made:
        Path(made).chmod(0o755)  # as root, PostgreSQL runs under an id of its own
        yield Path(made)


@pytest.fixture
def shell(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a newcomer's shell; whatever still runs afterwards is stopped."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / "argus").symlink_to(Path(sys.executable).with_name("argus"))
    if subprocess.run(["which", "curl"], capture_output=True).returncode:
        (tools / "curl").write_text(f"#!{sys.executable}\n{CURL}")
        (tools / "curl").chmod(0o755)
    others = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")}
    own = {"ARGUS_HOME": folder / "home", "ARGUS_PORT": free_port(), "ARGUS_FLOWER_PORT": free_port()}
    ours = {name: str(value) for name, value in own.items()}
    found = {**others, **ours, "PATH": f"{tools}:{os.environ['PATH']}"}
    yield found
    subprocess.run(["argus", "down"], env=found, capture_output=True, timeout=120)


@pytest.mark.skipif("FIRST_HOUR" not in os.environ, reason="takes five minutes: FIRST_HOUR=1 runs it")
def test_every_command_of_the_first_hour_works(shell: dict[str, str], folder: Path) -> None:
    words = "\n".join(("set -e", f"cd {folder}", *BLOCKS)).replace(":8080", f":{shell['ARGUS_PORT']}")
    done = subprocess.run(["bash", "-c", words], env=shell, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(list((folder / "images").glob("*.png"))) == 4
    assert len(list((folder / "more").glob("*.png"))) == 12
    assert "exact" in done.stdout
    assert not (folder / "home" / "run" / "argus.json").exists()


def test_the_page_starts_draws_asks_and_stops() -> None:
    assert BLOCKS[0].split()[:2] == ["argus", "up"]
    assert BLOCKS[-1].split() == ["argus", "down"]
    verbs = set(re.findall(r"^argus (\w+)", "\n".join(BLOCKS), re.MULTILINE))
    assert verbs == {"up", "status", "generate", "jobs", "report", "psql", "doctor", "down"}
