"""deploy/kubernetes/argus.yaml, checked without a cluster (and, by hand, against the schemas of Kubernetes 1.34)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from cli.run import PROCESSES
from core.settings import PREFIX, ROOT, Settings
from tests.deploy.test_compose import SERVICES, command_is_known

ITEMS = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "argus.yaml").read_text())["items"]
KNOWN = {PREFIX + name.upper() for name in Settings.model_fields}
# As in Compose: what each process needs to know, and nothing else.
NEEDED = {
    "migrate": {"ARGUS_MIGRATION_URL"},
    "web": {"ARGUS_HOST", "ARGUS_DATABASE_URL", "ARGUS_BROKER_URL", "ARGUS_SECRET"},
    "beat": {"ARGUS_BROKER_URL"},
    "flower": {"ARGUS_BROKER_URL", "FLOWER_BASIC_AUTH"},
}


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for item in ITEMS:
        if "template" in item.get("spec", {}):
            yield item["metadata"]["name"].removeprefix("argus-"), item["spec"]["template"]["spec"]


PODS = dict(pods())


def test_every_process_has_a_pod() -> None:
    assert set(PODS) == {*PROCESSES, "worker"}


@pytest.mark.parametrize("name", PODS)
def test_every_pod_runs_a_command_that_exists_in_the_image_of_compose(name: str) -> None:
    (container,) = PODS[name]["containers"]
    command_is_known(container["args"])
    assert container["image"] == SERVICES["web"]["image"]
    if "exec" in (probe := container.get("livenessProbe", {})):
        command_is_known(probe["exec"]["command"])


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_unprivileged_read_only_and_bounded(name: str) -> None:
    pod, (container,) = PODS[name], PODS[name]["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    closed = container["securityContext"]
    assert (closed["allowPrivilegeEscalation"], closed["readOnlyRootFilesystem"]) == (False, True)
    assert closed["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]
    assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_gets_the_secrets_it_needs_and_no_other(name: str) -> None:
    (container,) = PODS[name]["containers"]
    given = {each["name"] for each in container["env"]}
    assert given == NEEDED.get(name, {"ARGUS_DATABASE_URL", "ARGUS_BROKER_URL"})
    assert {each["name"] for each in container["env"] if "value" in each} <= {"ARGUS_HOST"}


def test_every_variable_is_a_setting_and_no_secret_is_in_the_file() -> None:
    shared = next(item["data"] for item in ITEMS if item["kind"] == "ConfigMap")
    named = set(shared) | {each["name"] for pod in PODS.values() for each in pod["containers"][0]["env"]}
    assert {name for name in named if name.startswith(PREFIX)} <= KNOWN
    assert shared["ARGUS_KEYS"] == "yes"
    assert not [item for item in ITEMS if item["kind"] == "Secret"]


def test_there_is_one_beat_and_a_worker_a_gpu_with_a_name_of_its_own() -> None:
    by_name = {item["metadata"]["name"]: item for item in ITEMS if item["kind"] != "Service"}
    assert by_name["argus-beat"]["spec"]["replicas"] == 1
    assert by_name["argus-beat"]["spec"]["strategy"] == {"type": "Recreate"}
    worker = by_name["argus-worker"]
    assert worker["kind"] == "StatefulSet"  # its pods have names that stay
    assert PODS["worker"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_services_lead_to_pods_that_exist() -> None:
    labels = [item["spec"]["template"]["metadata"]["labels"] for item in ITEMS if "template" in item.get("spec", {})]
    for item in ITEMS:
        if item["kind"] == "Service":
            assert item["spec"]["selector"] in labels
