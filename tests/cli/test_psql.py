"""`argus psql`: SQL in the database of Argus, as its own role or as one that only reads reports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import argus
from core.postgres import make_roles
from core.settings import ROOT, settings
from tests.conftest import Services, environment


@pytest.fixture(autouse=True)
def urls(services: Services) -> Iterator[dict[str, str]]:
    report = make_roles(services.home, services.superuser_url).report
    given = {**services.environ(), "ARGUS_REPORT_URL": report}
    with environment({"ARGUS_REPORT_URL": report}):
        settings.cache_clear()
        yield given
    settings.cache_clear()


def psql(urls: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "cli" / "launch"), "psql", *words]
    return subprocess.run(command, env={**urls, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=60)


def test_it_is_psql_as_the_role_that_was_asked_for(urls: dict[str, str]) -> None:
    assert "argus_app" in psql(urls, "-c", "SELECT current_user").stdout
    assert "argus_report" in psql(urls, "--report", "-c", "SELECT current_user").stdout
    described = psql(urls, "--report", "-c", "\\d+ report_level").stdout
    assert "mean shortfall" in described or "report_level" in described
    refused = psql(urls, "--report", "-c", "SELECT prompt FROM request")
    assert "permission denied" in refused.stderr
    assert refused.returncode != 0


SQL = "SELECT 1 AS one, '50%' AS share, 0.5 AS half, date '2026-11-27' AS day"


def test_rows_come_as_json(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    done = CliRunner().invoke(argus, ["psql", "--report", "--json", str(out), "-c", SQL])
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text()) == [{"one": 1, "share": "50%", "half": 0.5, "day": "2026-11-27"}]


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT * FROM nowhere", "", "SELECT '\0'"])
def test_sql_that_is_wrong_is_told_in_a_line(sql: str) -> None:
    done = CliRunner().invoke(argus, ["psql", "--json", "-", "-c", sql])
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_settings_tell_the_address_for_reports_and_hide_it_in_the_list(urls: dict[str, str]) -> None:
    told = CliRunner().invoke(argus, ["settings", "--urls"]).output
    assert f"ARGUS_REPORT_URL={urls['ARGUS_REPORT_URL']}" in told
    listed = CliRunner().invoke(argus, ["settings"]).output
    assert urls["ARGUS_REPORT_URL"] not in listed
