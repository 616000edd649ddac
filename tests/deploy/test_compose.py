"""docker-compose.yml, Dockerfile and deploy/, checked without a Docker engine."""

import json
import re
import shlex

import click
import pytest
import yaml

from cli.main import argus
from core.settings import PREFIX, ROOT, Settings

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("argus:")}
KNOWN = {PREFIX + name.upper() for name in Settings.model_fields}


def env_file() -> dict[str, str]:
    lines = (ROOT / "deploy/argus.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def command_is_known(words: list[str]) -> None:
    """Parse a command line as the argus command would, without running it."""
    assert words[0] == "argus"
    context = click.Context(argus)
    name, command, rest = argus.resolve_command(context, words[1:])
    assert command is not None
    command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("name", OURS)
def test_every_service_of_ours_runs_a_command_that_exists(name):
    command_is_known(OURS[name]["command"])


@pytest.mark.parametrize("name", OURS)
def test_every_health_check_of_ours_runs_something_that_exists(name):
    test = OURS[name].get("healthcheck", {}).get("test", [])
    assert test[:1] in ([], ["CMD"])
    if test[1:2] == ["argus"]:
        command_is_known(test[1:])
    elif test:
        compile(test[-1], "healthcheck", "exec")


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_by_a_tag(name):
    tag = SERVICES[name]["image"].partition(":")[2]
    assert tag
    assert tag != "latest"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_restarts_unless_it_is_done_once(name):
    assert SERVICES[name]["restart"] == ("no" if name == "migrate" else "unless-stopped")


def test_dependencies_name_services_that_exist_and_wait_for_health_checks_that_exist():
    for service in SERVICES.values():
        wanted = service.get("depends_on", {})
        for name in wanted:
            assert name in SERVICES
            if isinstance(wanted, dict) and wanted[name]["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]


def test_every_variable_with_our_prefix_is_a_setting():
    named = {key for service in SERVICES.values() for key in service.get("environment", {})} | set(env_file())
    named |= set(re.findall(rf"\b{PREFIX}[A-Z_]+(?==)", (ROOT / "Dockerfile").read_text()))
    assert {name for name in named if name.startswith(PREFIX)} <= KNOWN


def test_every_variable_a_container_expands_is_in_the_env_file():
    expanded = set(re.findall(r"\$\$([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    for file in (ROOT / "deploy/grafana").rglob("*.yml"):
        expanded |= set(re.findall(r"\$([A-Z_]+)", file.read_text()))
    assert expanded
    assert expanded <= set(env_file())


def test_only_the_example_of_the_secrets_is_kept_in_git():
    assert (ROOT / "deploy/argus.env.example").is_file()
    assert "deploy/argus.env" in (ROOT / ".gitignore").read_text().split()
    assert "deploy/argus.env" in (ROOT / ".dockerignore").read_text().split()


def test_each_gpu_has_a_worker_of_its_own_with_a_name_of_its_own():
    workers = [service for name, service in SERVICES.items() if name.startswith("worker-")]
    gpus = [worker["environment"]["CUDA_VISIBLE_DEVICES"] for worker in workers]
    assert len(workers) >= 2
    assert len(set(gpus)) == len({worker["hostname"] for worker in workers}) == len(workers)
    for worker in workers:
        reserved = worker["deploy"]["resources"]["reservations"]["devices"][0]
        assert "gpu" in reserved["capabilities"]


def test_ports_are_published_on_the_loopback_address_only():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_volumes_are_declared_or_files_of_this_repository():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_dockerfile_is_of_two_stages_ends_unprivileged_and_copies_what_exists():
    lines = [line.strip() for line in (ROOT / "Dockerfile").read_text().splitlines()]
    assert sum(line.startswith("FROM ") for line in lines) == 2
    assert [line for line in lines if line.startswith("USER ")] == ["USER argus"]
    for line in lines:
        if line.startswith("COPY ") and "--from=" not in line:
            for source in shlex.split(line)[1:-1]:
                assert (ROOT / source).exists()
    assert {"pyproject.toml", "constraints.txt", "minilm.txt"} <= {path.name for path in ROOT.iterdir()}


def test_the_image_starts_a_command_that_exists():
    last = (ROOT / "Dockerfile").read_text().strip().splitlines()[-1]
    command_is_known(json.loads(last.removeprefix("CMD ")))


def test_monitoring_is_a_profile_and_reads_what_is_there():
    assert {name for name, service in SERVICES.items() if service.get("profiles")} == {"prometheus", "grafana"}
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in scraped for group in job["static_configs"] for target in group["targets"]]
    assert targets
    assert all(target.partition(":")[0] in SERVICES for target in targets)


def test_every_query_of_the_dashboard_runs_on_the_schema(services):
    from sqlalchemy import text

    from core.database import transaction

    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/argus.json").read_text())
    queries = [target["rawSql"] for panel in dashboard["panels"] for target in panel["targets"] if "rawSql" in target]
    assert len(queries) >= 5
    with transaction() as session:
        for query in queries:
            session.execute(text(re.sub(r"\$__timeFilter\((\w+)\)", r"\1 > now() - interval '1 hour'", query)))
