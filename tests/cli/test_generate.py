"""`argus generate`, `argus jobs`, `argus cancel` against a web app; a thread draws what they send."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from cli import generate as generate_module
from cli.main import argus
from core.database import transaction
from core.tables import Job, Request, State
from tests.app.test_compat import worker
from tests.conftest import Services
from tests.core.test_pictures import halves, saved

WAIT_S = 60.0


def run(*words: str, **given: Any) -> Result:
    return CliRunner().invoke(argus, list(words), **given)


def newest() -> list[Request]:
    with transaction() as session:
        job = session.scalars(select(Job).order_by(Job.created_at.desc()).limit(1)).one()
        return list(session.scalars(select(Request).where(Request.job_id == job.id).order_by(Request.position)))


def test_a_file_and_arguments_are_one_job_with_own_ids_in_the_results(site: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_bytes("Prompt;ID;Seed\nein Bär;sku-1;7.0\n".encode("cp1252"))
    words = ("--file", str(tmp_path / "prompts.csv"), "--negative-prompt", "blur", "--out", str(tmp_path / "out"))
    with worker():
        done = run("generate", "a {red} fox", *words, "--json", "-", "--url", site)
    assert done.exit_code == 0, done.output
    results = json.loads(done.stdout)["requests"]
    assert [row["custom_id"] for row in results] == [None, "sku-1"]
    assert Path(results[1]["image"]).name == "000001-sku-1-7.png"
    assert "Windows-1252" in done.stderr
    assert [(row.prompt, row.negative_prompt) for row in newest()] == [("a {red} fox", "blur"), ("ein Bär", "blur")]


def test_loras_are_sent_as_they_are_named(site: str) -> None:
    done = run("generate", "a fox", "--lora", "ink:0.8", "--lora", "oil", "--url", site)
    assert done.exit_code == 2
    assert "has no LoRA 'ink'" in done.output


def test_a_parallel_mode_is_sent_as_it_is_named(site: str) -> None:
    done = run("generate", "a fox", "--parallel", "pipefusion", "--url", site)
    assert done.exit_code == 2
    assert "pipefusion cannot run model" in done.output


def test_a_picture_and_its_mask_are_sent_with_the_prompts(site: str, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(saved(halves("RGB", "red", "blue")))
    (tmp_path / "mask.png").write_bytes(saved(halves("L", 0, 255)))
    begin = ("--image", str(tmp_path / "picture.png"), "--mask", str(tmp_path / "mask.png"), "--strength", "0.8")
    with worker():
        done = run("generate", "a fox", "a hen", *begin, "--url", site)
    assert done.exit_code == 0, done.output
    assert [(bool(row.source_id and row.mask_id), row.strength) for row in newest()] == [(True, 0.8)] * 2


@pytest.mark.parametrize(("file", "said"), [("none.png", "does not exist"), ("text.png", "no picture")])
def test_what_is_no_picture_is_wrong_use(site: str, tmp_path: Path, file: str, said: str) -> None:
    (tmp_path / "text.png").write_text("no picture")
    done = run("generate", "a fox", "--image", str(tmp_path / file), "--url", site)
    assert (done.exit_code, said in done.output) == (2, True)


def test_standard_input_and_other_endings_have_a_prompt_a_line(site: str, tmp_path: Path) -> None:
    (tmp_path / "list.md").write_text("a fox, asleep\n\na cat\n")
    with worker():
        assert run("generate", "--file", str(tmp_path / "list.md"), "--url", site).exit_code == 0
        assert run("generate", "--file", "-", "--url", site, input="a dog\n").exit_code == 0
    assert [row.prompt for row in newest()] == ["a dog"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("prompt,Steps\na,many\n", "Line 2, column `Steps`"),
        ("prompt,Steps\na,1\nb,999\n", "Line 3, column `Steps`"),
    ],
)
def test_faults_of_a_file_name_line_and_column_whoever_finds_them(
    site: str, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "prompts.csv").write_text(content)
    done = run("generate", "first", "--file", str(tmp_path / "prompts.csv"), "--url", site)
    assert done.exit_code == 2
    assert said in done.output


def test_jobs_are_listed_and_cancelled(site: str) -> None:
    with worker():
        run("generate", "a fox", "--url", site)
    listed = json.loads(run("jobs", "--json", "-", "--url", site).stdout)
    job = listed["jobs"][0]["id"]
    assert job in run("jobs", "--url", site).output
    assert "is done" in run("cancel", job, "--url", site).output
    assert run("cancel", "00000000-0000-0000-0000-000000000000", "--url", site).exit_code == 1


def waiting(site: str, services: Services, **pipes: Any) -> subprocess.Popen[bytes]:
    """`argus generate` as a process of its own, that waits for an image nobody draws."""
    begun = time.monotonic()
    code = "from cli.main import main; main()"
    words = [sys.executable, "-c", code, "generate", "a fox", "--url", site]
    child = subprocess.Popen(words, env={**os.environ, **services.environ()}, **pipes)
    while time.monotonic() - begun < WAIT_S:
        with transaction() as session:
            if session.scalar(select(Request.id).limit(1)):
                time.sleep(1.0)  # and has read the answer
                return child
        time.sleep(0.1)
    raise AssertionError("nothing was submitted")


def test_ctrl_c_names_the_job_and_how_to_cancel_it(site: str, services: Services) -> None:
    child = waiting(site, services, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=WAIT_S)
    job = str(newest()[0].job_id)
    assert child.returncode == 130
    assert f"argus cancel {job} --url {site}".encode() in said
    assert b"Traceback" not in said
    assert newest()[0].state == State.ACCEPTED


def test_ctrl_c_at_a_terminal_asks_whether_to_cancel(site: str, services: Services) -> None:
    ours, theirs = pty.openpty()
    child = waiting(site, services, stdin=theirs, stdout=theirs, stderr=theirs)
    child.send_signal(signal.SIGINT)
    said = b""
    while b"Cancel it?" not in said:
        said += os.read(ours, 4096)
    os.write(ours, b"y\n")
    assert child.wait(WAIT_S) == 130
    os.close(theirs)
    os.close(ours)
    assert newest()[0].state == State.CANCELLED


def test_very_many_prompts_are_handed_in_as_a_file_and_not_waited_for(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate_module, "MANY", 20)
    (tmp_path / "prompts.txt").write_text("".join(f"fox {number}\n" for number in range(30)))
    done = run("generate", "first", "--file", str(tmp_path / "prompts.txt"), "--steps", "5", "--url", site)
    assert done.exit_code == 0, done.output
    assert "31 images are accepted" in done.output
    with transaction() as session:
        rows = session.scalars(select(Request).order_by(Request.position)).all()
    assert [row.prompt for row in rows] == ["first", *(f"fox {number}" for number in range(30))]
    assert {(row.steps, str(row.service_class)) for row in rows} == {(5, "batch")}
