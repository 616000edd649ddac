"""Alert rules and dashboards: the figures they read are told, and the rules fire when they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text

from core.database import sqlalchemy_url
from core.postgres import make_roles
from core.settings import ROOT
from tests.app.conftest import Held
from tests.app.conftest import client as client
from tests.app.conftest import family as family
from tests.app.conftest import family_file as family_file
from tests.app.conftest import keys as keys
from tests.conftest import Services

PROMETHEUS, DASHBOARDS = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana" / "dashboards"
RULES = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"][0]["rules"]
SCRAPED = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
KEY_FILE = "/run/secrets/metrics_key"
TESTS = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
PROMTOOL = shutil.which("promtool")
BOARDS = sorted(DASHBOARDS.glob("*.json"))
VARIABLES = {
    r"\$__timeFilter\((\w+)\)": r"\1 > now() - interval '1 hour'",
    r"\$__timeGroup\((\w+),[^)]*\)": r"\1",
    r"\$__interval": "1m",
}


def targets() -> list[dict[str, Any]]:
    """Each query of each panel of each dashboard."""
    boards = [json.loads(path.read_text()) for path in BOARDS]
    return [target for board in boards for panel in board["panels"] for target in panel.get("targets", ())]


def named(expression: str) -> set[str]:
    return set(re.findall(r"\bargus_[a-z_]+", expression))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian has it in `prometheus`)")
def test_promtool_has_each_rule_fire_when_it_should_and_only_then() -> None:
    for words in (("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")):
        done = subprocess.run([str(PROMTOOL), *words], cwd=PROMETHEUS, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian has it in `prometheus`)")
def test_promtool_finds_nothing_wrong_with_what_is_scraped(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    places = {KEY_FILE: tmp_path / "key", "/etc/prometheus/rules.yml": PROMETHEUS / "rules.yml"}
    text = (PROMETHEUS / "prometheus.yml").read_text()
    for inside, here in places.items():
        text = text.replace(inside, str(here))
    (tmp_path / "prometheus.yml").write_text(text)
    words = [str(PROMTOOL), "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_prometheus_sends_is_taken_with_a_key_where_one_is_demanded(client: FlaskClient, keys: Held) -> None:
    """As its `authorization` does: the type `Bearer`, and what the file holds, without white space around it."""
    found = {scraped["job_name"]: scraped for scraped in SCRAPED["scrape_configs"]}["argus"]
    assert found["authorization"] == {"credentials_file": KEY_FILE}
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    (secret,) = compose["services"]["prometheus"]["secrets"]
    assert (KEY_FILE, secret in compose["secrets"]) == (f"/run/secrets/{secret}", True)
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers=keys.bearer("metrics")).status_code == 200


def test_an_empty_file_is_taken_while_no_key_is_demanded(client: FlaskClient) -> None:
    assert client.get("/metrics", headers={"Authorization": "Bearer"}).status_code == 200


def test_there_is_a_test_for_each_rule_firing_and_for_each_silent() -> None:
    alerts = {rule["alert"] for rule in RULES}
    asked = [test for each in TESTS for test in each["alert_rule_test"]]
    assert len(alerts) == 5
    assert {test["alertname"] for test in asked if test.get("exp_alerts")} == alerts
    assert {test["alertname"] for test in asked if not test.get("exp_alerts")} == alerts
    assert all(rule["annotations"]["summary"] and rule["annotations"]["description"] for rule in RULES)


def test_rules_and_dashboards_read_figures_that_are_told(client: FlaskClient) -> None:
    told = set(re.findall(r"^(argus_[a-z_]+?)(?:\{| )", client.get("/metrics").text, re.MULTILINE))
    told |= {"argus_worker_silence_seconds", "argus_plan_age_seconds"}  # where there is a worker, or a plan
    wanted = {name for rule in RULES for name in named(rule["expr"])}
    wanted |= {name for target in targets() for name in named(target.get("expr", ""))}
    assert len(wanted) > 8
    assert wanted <= told


def test_every_sql_query_of_the_dashboards_is_one_that_the_role_for_reports_may_ask(services: Services) -> None:
    queries = [target["rawSql"] for target in targets() if "rawSql" in target]
    assert len(queries) >= 5
    report = make_roles(services.home, services.superuser_url).report
    with create_engine(sqlalchemy_url(report)).connect() as connection:
        for query in queries:
            for variable, value in VARIABLES.items():
                query = re.sub(variable, value, query)
            connection.execute(text(query))


def test_dashboards_name_their_sources_by_variables() -> None:
    for path in BOARDS:
        board = json.loads(path.read_text())
        variables = {variable["name"]: variable["query"] for variable in board["templating"]["list"]}
        assert variables == {"prometheus": "prometheus", "postgres": "grafana-postgresql-datasource"}
        for panel in board["panels"]:
            used = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
            assert used <= {"${prometheus}", "${postgres}"}
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
