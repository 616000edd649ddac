"""Whatever is wrong on the command line, it is told in a line, with exit status 1 or 2, and never by a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cli.main import COMMANDS, argus
from core.ports import free_port
from core.settings import settings
from tests.cli.test_simulate import PROFILE
from tests.conftest import environment

GARBAGE = b"\xff\xfe\x00\x81 \x00\xd8 \xc3("
NUMBERS = ("many", "true", "1,5", "nan", "inf", "9" * 400, "")
WORDS = ("nonsense", "é" * 300, "\udcff", "../../x", "0")
LEFT_RUNNING = {"run"}  # a process in the foreground answers nobody: it logs


def run(*words: str) -> Result:
    return CliRunner().invoke(argus, list(words))


def told(done: Result) -> None:
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (1, 2), (done.exit_code, done.output)
    assert "Traceback" not in done.output
    assert done.output.strip()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    """A home where nothing runs, and files of every wrong kind."""
    (tmp_path / "garbage").write_bytes(GARBAGE)
    (tmp_path / "garbage.xlsx").write_bytes(b"PK\x03\x04" + GARBAGE)
    (tmp_path / "empty").touch()
    (tmp_path / "trace.csv").write_text("start_s,requests\n0,3\n")
    (tmp_path / "profile.json").write_text(json.dumps(PROFILE))
    home = {"ARGUS_HOME": str(tmp_path / "home"), "ARGUS_PORT": str(free_port())}
    with environment(home):
        settings.cache_clear()
        yield tmp_path
    settings.cache_clear()


def commands() -> Iterator[tuple[str, click.Command]]:
    """Each command with its words: a verb, or a verb and what is done with its things."""
    for verb in COMMANDS:
        command = argus.get_command(click.Context(argus), verb)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{verb} {name}", below) for name, below in command.commands.items())
        else:
            yield verb, command


def options() -> Iterator[tuple[str, str, click.Option]]:
    """Each option of each command that takes a value."""
    for words, command in commands():
        for option in command.params:
            if isinstance(option, click.Option) and not option.is_flag:
                yield words, option.opts[0], option


def wrong(option: click.Option, folder: Path) -> list[str]:
    """Values that this option cannot have."""
    kind = option.type
    if isinstance(kind, click.File) or (isinstance(kind, click.Path) and not kind.exists):
        return [str(folder), str(folder / "empty" / "x"), "/proc/x", ""]
    if isinstance(kind, click.Path):
        return [str(folder), str(folder / "none"), "", "\udcff"]
    return list(WORDS if isinstance(kind, click.types.StringParamType) else NUMBERS)


JOB = "00000000-0000-0000-0000-000000000000"


def around(verb: str, option: str, folder: Path) -> list[str]:
    """What else a verb wants, so that the option is what it stumbles over."""
    wants = {
        "generate": ["a fox"],
        "solve": [str(folder / "empty")],
        "backup": [str(folder / "copy")],
        "restore": [str(folder)],
        **{key: [JOB] for key in ("cancel", "pause", "resume", "retry")},
        "reorder": [JOB, "--to", "first"],
        "run": ["worker"],
        "ping": ["worker"],
        "simulate": ["--trace", str(folder / "trace.csv"), "--profile", str(folder / "profile.json")],
        "replay": ["--trace", str(folder / "trace.csv")],
        "profile": ["--family", "none"],
        "evaluate": ["--family", "none"],
        "calibrate cachequant": ["--family", "none"],
        "calibrate subspace": ["--family", "none"],
        "keys revoke": ["none"],
        "keys rotate": ["none"],
        "tenants create": ["team"],
        "tenants set": ["team"],
    }
    given = wants.get(verb, [])
    return [] if option in given else given


#: What has no wrong value: words for people, and where nothing runs these are never looked at.
FREE = {("replay", "--name"), ("simulate", "--seed"), ("keys create", "--name"), ("prune", "--tenant")}
FREE |= {("psql", "-c")}  # and psql takes the place of this process
MOVES = ("cancel", "pause", "resume", "retry", "reorder")
FREE |= {(verb, option) for option in ("--prompt", "--tenant") for verb in MOVES}


@pytest.mark.parametrize(
    ("verb", "option"), [(verb, name) for verb, name, _ in options() if (verb, name) not in FREE], ids=str
)
def test_no_value_of_any_option_ends_in_a_traceback(verb: str, option: str, folder: Path) -> None:
    found = next(each for name, opt, each in options() if (name, opt) == (verb, option))
    for value in wrong(found, folder):
        told(run(*verb.split(), *around(verb, option, folder), option, value))


@pytest.mark.parametrize("verb", [words for words, _ in commands()])
def test_words_that_nobody_asked_for_are_wrong_use(verb: str) -> None:
    done = run(*verb.split(), "--nonsense")
    told(done)
    assert done.exit_code == 2


@pytest.mark.parametrize("name", ["garbage", "garbage.xlsx", "empty", "none", ".", "trace.csv"])
@pytest.mark.parametrize(
    "words",
    [
        ("generate", "--file", "{}"),
        ("solve", "{}"),
        ("simulate", "--profile", "{}", "--trace", "trace.csv"),
        ("simulate", "--profile", "profile.json", "--trace", "{}", "--quality", "{}"),
        ("replay", "--trace", "{}"),
        ("replay", "--trace", "trace.csv", "--prompts", "{}"),
        ("evaluate", "--prompts", "{}", "--family", "{}"),
        ("profile", "--family", "{}"),
        ("restore", "{}"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_no_file_of_any_kind_ends_in_a_traceback(words: tuple[str, ...], name: str, folder: Path) -> None:
    if words[0] == "restore" and name == ".":
        pytest.skip("a folder is what it takes")
    given = [str(folder / word) if (folder / word).exists() else word for word in words]
    told(run(*(word.replace("{}", str(folder / name)) for word in given)))


@pytest.mark.parametrize("verb", [words for words, _ in commands() if words not in LEFT_RUNNING])
def test_every_verb_speaks_json(verb: str) -> None:
    command = dict(commands())[verb]
    assert "--json" in {name for option in command.params for name in option.opts}


def test_settings_and_doctor_speak_json_that_can_be_read() -> None:
    assert json.loads(run("settings", "--json", "-").stdout)["ARGUS_TICK_S"]["value"] == "10.0"
    assert json.loads(run("status", "--json", "-").stdout) == {"running": False}


@pytest.mark.parametrize("coding", ["ascii", "latin-1"])
def test_a_terminal_that_cannot_show_a_letter_shows_another(coding: str) -> None:
    code = "from cli.main import main; main()"
    words = [sys.executable, "-c", code, "settings"]
    done = subprocess.run(
        words, env={**os.environ, "PYTHONIOENCODING": coding}, capture_output=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_pipe_that_ends_early_is_left_quietly() -> None:
    code = "from cli.main import main; main()"
    line = f'{sys.executable} -c "{code}" settings | head -1'
    done = subprocess.run(["bash", "-c", line], env=dict(os.environ), capture_output=True, timeout=120, check=False)
    assert done.stderr == b""
