"""`argus solve`: a table for people, JSON for programs, exit status 2 for what cannot be done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import argus
from cli.solve import solve as solve_command
from core.errors import BadInstance
from tests.scheduler.planning.test_milp import CONTRACT


def run(*words: object):
    return CliRunner().invoke(argus, [str(word) for word in words])


@pytest.fixture
def files(tmp_path):
    (tmp_path / "instance.json").write_text(json.dumps(CONTRACT))
    return tmp_path


def test_solve_answers_the_contract(files):
    done = run("solve", files / "instance.json", "--json", files / "plan.json")
    assert done.exit_code == 0, done.output
    plan = json.loads((files / "plan.json").read_text())
    assert plan["status"] == "optimal"
    assert plan["served_total"] == pytest.approx(120.0)
    assert plan["workers"] == {"a100": {"sdxl": 8}}
    # by hand: x at exact, 120 - x at ac-25, x/14.29 + (120 - x)/28.57 = 8
    exact = (8 - 120 / 28.57) / (1 / 14.29 - 1 / 28.57)
    assert plan["served"]["c0"]["exact"] == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"devices": []}, "devices"),
        ({"headroom": float("nan")}, "headroom"),
        ({"classes": [{"id": "c0", "demand": -1, "quality": {}}]}, "demand"),
    ],
)
def test_a_bad_instance_is_wrong_use_and_names_the_field(files, change, place):
    (files / "bad.json").write_text(json.dumps({**CONTRACT, **change}))
    done = run("solve", files / "bad.json")
    assert done.exit_code == 2
    assert place in done.output


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "instance.json").write_text(json.dumps(CONTRACT))
    return tmp_path


def test_argus_solve_prints_the_plan_and_writes_it(written: Path) -> None:
    out = written / "plan.json"
    result = CliRunner().invoke(
        solve_command, [str(written / "instance.json"), "--json", str(out)], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "108.64" in result.output
    assert json.loads(out.read_text())["served_total"] == pytest.approx(120.0)


def test_argus_solve_refuses_a_broken_instance_and_a_missing_file(written: Path) -> None:
    (written / "broken.json").write_text(json.dumps({**CONTRACT, "devices": {"a100": 0}}))
    result = CliRunner().invoke(solve_command, [str(written / "broken.json")])
    assert isinstance(result.exception, BadInstance)
    assert CliRunner().invoke(solve_command, [str(written / "none.json")]).exit_code == 2
