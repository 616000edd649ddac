"""What the documents name is there: files, functions, links, formats."""

import ast
import json
import re
from pathlib import Path

import pytest

from core.profiles import parse_profile
from core.settings import ROOT
from scheduler.planning.instance import Instance
from scheduler.planning.milp import solve

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [path for path in sorted((ROOT / "docs").rglob("*.md")) if "decisions" not in path.parts]
MADE_BY_USERS = {"var/", ".env", "deploy/argus.env", "deploy/settings.env"}
QUESTIONS = re.search(r"## Where things are\n(.*?)\n## ", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)[1]
ANSWERS = [line.split(" | ") for line in QUESTIONS.splitlines() if line.startswith("| ")][2:]


def names_defined(file: Path) -> set[str]:
    """Functions and classes of a file, methods too."""
    kinds = ast.FunctionDef | ast.ClassDef
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, kinds)}


def test_ten_questions_of_a_newcomer_are_answered():
    assert len(ANSWERS) == 10
    assert all("?" in question for question, _ in ANSWERS)


@pytest.mark.parametrize(("question", "answer"), ANSWERS, ids=[question[2:60] for question, _ in ANSWERS])
def test_the_files_and_functions_that_answer_a_question_exist(question, answer):
    files = re.findall(r"`([\w/]+\.py)`", answer)
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []
    for name, file in re.findall(r"`(\w+)` in `([\w/]+\.py)`", answer):
        assert name in names_defined(ROOT / file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_folders_that_a_page_names_exist(page):
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir()}
    named = {name for name in re.findall(r"`([\w.-]+/[\w./-]*)`", page.read_text()) if name.split("/")[0] in rooms}
    assert {name for name in named if not (ROOT / name).exists()} - MADE_BY_USERS == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files(page):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_formats_page_has_a_profile_that_reads_and_an_instance_whose_plan_it_tells():
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "docs/formats.md").read_text(), re.DOTALL)
    profile, instance, told, figures = map(json.loads, blocks)
    assert parse_profile(profile).level("exact").curve.max_size == 2
    plan = solve(Instance.from_json(json.dumps(instance)))
    answer = plan.to_json()
    assert told["served"]["c0"] == pytest.approx(answer["served"]["c0"], abs=0.01)
    assert told["prices"] == pytest.approx(answer["prices"], abs=0.01)
    assert set(told) <= set(answer)
    assert set(figures) == {"policies"}
