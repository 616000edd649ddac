"""The pages for users of Celery and SQL: every command on them is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.ports import free_port
from core.postgres import make_roles, postgres_binaries
from core.settings import ROOT
from core.tally import fold
from tests.live.conftest import Stack

PAGES = ("integrations.md", "reports.md", "monitoring.md")
PAGE = "".join((ROOT / "docs" / name).read_text() for name in PAGES)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
NEEDS = {"curl", "redis-cli"}  # programs that are not ours; where one is missing, what it would ask is asked otherwise


@pytest.fixture(scope="module")
def shell(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell beside a running Argus, Flower with it."""
    port = str(free_port())
    report = make_roles(stack.services.home, stack.services.superuser_url).report
    mine = {**stack.env, "ARGUS_FLOWER_PORT": port, "FLOWER_BASIC_AUTH": "me:secret", "ARGUS_REPORT_URL": report}
    stack.env.update(mine)
    stack.start("flower", "cli.launch", "run", "flower")
    tools = tmp_path_factory.mktemp("bin")
    for name in ("argus", "celery"):
        found = Path(sys.executable).with_name(name)
        (tools / name).symlink_to(found)
    if shutil.which("redis-cli") is None:
        _write(tools / "redis-cli", REDIS_CLI)
    if shutil.which("curl") is None:
        _write(tools / "curl", CURL)
    path = f"{tools}:{postgres_binaries()}:{os.environ['PATH']}"
    return {**os.environ, **mine, "PATH": path, "PYTHONPATH": str(ROOT)}


REDIS_CLI = "import sys, redis; print(redis.Redis.from_url(sys.argv[2]).execute_command(*sys.argv[3:]))"
CURL = """
import sys, requests
words = sys.argv[1:]
auth = tuple(words[words.index("-u") + 1].split(":")) if "-u" in words else None
answer = requests.get(words[-1], auth=auth, timeout=30)
print(answer.text)
sys.exit(answer.status_code != 200)
"""


def _write(path: Path, code: str) -> None:
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(0o755)


def run(shell: dict[str, str], *lines: str) -> str:
    words = "\n".join(("set -e", *lines)).replace(":5555", f":{shell['ARGUS_FLOWER_PORT']}")
    done = subprocess.run(["bash", "-c", words], env=shell, cwd="/", capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (lines, done.stdout, done.stderr)
    return done.stdout


def test_the_page_has_commands_of_each_kind() -> None:
    assert {line.split()[0] for line in COMMANDS} == {"argus", "export", "celery", "redis-cli", "curl", "psql"}


def test_every_command_on_the_page_works(stack: Stack, shell: dict[str, str]) -> None:
    stack.wait_for(lambda: _answers(shell), "Flower")
    job = stack.submit()
    stack.publish(job)
    stack.wait_done(job)
    fold()
    exports = [line for line in COMMANDS if line.startswith("export")]
    known = run(shell, *exports, "env")  # once: each line of the page would read the addresses anew
    shell = {**shell, **dict(line.split("=", 1) for line in known.splitlines() if line.startswith("ARGUS_"))}
    answers = {line: run(shell, line) for line in COMMANDS if line not in exports}
    assert "cpu0@test" in answers["celery -A core.celery:app inspect ping"]
    assert "t2i.toy.exact" in answers["celery -A core.celery:app inspect active_queues --json"]
    tasks = next(line for line in answers if "/api/tasks?" in line)

    def is_seen() -> bool:
        """Flower answers before it hears of tasks: what was done till then it does not know."""
        later = stack.submit()
        stack.publish(later)
        stack.wait_done(later)
        return "argus.generate" in run(shell, tasks)

    stack.wait_for(is_seen, "the task in Flower")
    assert "exact" in next(answer for line, answer in answers.items() if "report_level" in line)
    assert "done" in next(answer for line, answer in answers.items() if "--csv" in line)


def _answers(shell: dict[str, str]) -> bool:
    import requests

    try:
        return requests.get(f"http://127.0.0.1:{shell['ARGUS_FLOWER_PORT']}/healthcheck", timeout=2).ok
    except requests.RequestException:
        return False


def test_flower_shows_and_does_not_steer(stack: Stack, shell: dict[str, str]) -> None:
    import requests

    stack.wait_for(lambda: _answers(shell), "Flower")
    base = f"http://127.0.0.1:{shell['ARGUS_FLOWER_PORT']}/api"
    for path in ("worker/shutdown/cpu0@test", "worker/pool/grow/cpu0@test", "task/async-apply/argus.tick"):
        answer = requests.post(f"{base}/{path}", auth=("me", "secret"), json={}, timeout=30)
        assert answer.status_code == 403, (path, answer.status_code)
    assert stack.worker_state("cpu0@test") == "ready"
