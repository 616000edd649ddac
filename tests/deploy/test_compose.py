"""docker-compose.yml, Dockerfile and deploy/, checked without a Docker engine."""

import json
import re
import shlex
import subprocess
from urllib.parse import urlsplit

import click
import pytest
import yaml
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from cli.main import argus
from core.postgres import postgres_binaries
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
def test_images_are_pinned_to_an_exact_version(name):
    tag = SERVICES[name]["image"].partition(":")[2]
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(-[a-z0-9]+)?", tag)


def test_the_base_of_the_image_is_pinned_to_an_exact_version():
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert bases
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base) for base in bases)


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_unprivileged_read_only_and_bounded(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert not service.get("privileged")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]
    assert int(service["user"].partition(":")[0]) > 0
    assert service["pids_limit"] > 0
    assert re.fullmatch(r"(\$\{\w+:-)?\d+g\}?", service["mem_limit"])
    assert re.fullmatch(r"(\$\{\w+:-)?\d+\}?", str(service["cpus"]))
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


SECRET = re.compile(r"\$\{([A-Z]+_PASSWORD)(.*?)\}")
NEEDED = {
    "postgres": {"POSTGRES_PASSWORD", "OWNER_PASSWORD", "APP_PASSWORD", "REPORT_PASSWORD"},
    "broker": {"BROKER_PASSWORD"},
    "migrate": {"OWNER_PASSWORD"},
    "beat": {"BROKER_PASSWORD"},
    "flower": {"BROKER_PASSWORD", "FLOWER_PASSWORD"},
    "prometheus": set(),
    "grafana": {"GRAFANA_PASSWORD", "REPORT_PASSWORD"},
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_gets_the_secrets_it_needs_and_no_other(name):
    found = {secret for secret, _ in SECRET.findall(yaml.dump(SERVICES[name], width=10_000))}
    assert found == NEEDED.get(name, {"APP_PASSWORD", "BROKER_PASSWORD"})
    files = [file["path"] for file in SERVICES[name].get("env_file", [])]
    assert files == (["deploy/settings.env"] if name in OURS else [])


def test_a_secret_that_is_not_given_stops_the_start_and_the_example_gives_none():
    secrets = SECRET.findall(yaml.dump(SERVICES, width=10_000))
    assert all(otherwise.startswith(":?") for _, otherwise in secrets)
    example = {name: value for name, value in env_file().items() if name.endswith("_PASSWORD")}
    assert set(example) == {name for name, _ in secrets}
    assert set(example.values()) == {""}


def test_variables_that_compose_fills_in_are_in_the_example():
    text = re.sub(r"^\s*#.*$", "", (ROOT / "docker-compose.yml").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"(?<!\$)\$\{(\w+)", text)) == set(env_file())


def test_the_roles_of_the_container_are_those_of_argus_and_reports_only_read(services, tmp_path):
    psql = postgres_binaries() / "psql"
    (tmp_path / "psql").symlink_to(psql)
    address = make_url(services.superuser_url)
    roles = [urlsplit(services.database_url).password, "of-report", "of-owner"]
    given = dict(zip(("APP_PASSWORD", "REPORT_PASSWORD", "OWNER_PASSWORD"), roles, strict=True))
    given |= {"PATH": f"{tmp_path}:/usr/bin:/bin", "ROLES_SQL": str(ROOT / "migrations/roles.sql")}
    given |= {"POSTGRES_USER": address.username, "POSTGRES_DB": address.database, "PGPASSWORD": address.password}
    given |= {"PGHOST": address.host, "PGPORT": str(address.port)}
    script = ROOT / "deploy/postgres/roles.sh"
    sourced = f". {script}; echo and the image goes on"  # as its entry point does with one that is not executable
    done = subprocess.run(["bash", "-e", "-c", sourced], env=given, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "and the image goes on\n"), done.stderr
    assert subprocess.run(["sh", script], env={**given, "PGPASSWORD": "wrong"}, capture_output=True).returncode != 0
    report = address.set(username="argus_report", password="of-report", drivername="postgresql+psycopg2")
    with create_engine(report).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM report_request")).scalar_one() >= 0
        with pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text("DELETE FROM request"))


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


def test_every_variable_that_a_container_expands_is_given_to_it():
    for service in SERVICES.values():
        expanded = set(re.findall(r"\$\$([A-Z_]+)", yaml.dump(service, width=10_000)))
        assert expanded <= set(service.get("environment", {}))
    for file in (ROOT / "deploy/grafana").rglob("*.yml"):
        assert set(re.findall(r"\$([A-Z_]+)", file.read_text())) <= set(SERVICES["grafana"]["environment"])
    assert (
        set(re.findall(r"\$([A-Z]+_PASSWORD)", (ROOT / "deploy/postgres/roles.sh").read_text())) <= NEEDED["postgres"]
    )


def test_only_the_example_of_the_secrets_is_kept_in_git():
    assert (ROOT / "deploy/argus.env.example").is_file()
    secret = {".env", "deploy/argus.env", "deploy/settings.env", "deploy/metrics.key"}
    for file in (".gitignore", ".dockerignore"):
        assert secret <= set((ROOT / file).read_text().split())


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
