"""`/metrics`: well formed by Prometheus' own rules, there while nothing happens, never falling."""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from core.database import transaction
from core.families import Family
from core.tables import ACTIVE_STATES, Job, Request
from tests.app.conftest import draw

Submit = Callable[..., dict[str, Any]]
UNITS = ("seconds", "bytes", "ratio", "total", "info")
NOT_BASE_UNITS = {"milliseconds", "minutes", "minute", "hours", "days", "kilobytes", "megabytes", "percent", "ms", "mb"}


def samples(client: FlaskClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Each series with its value."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def total(client: FlaskClient, name: str, **labels: str) -> float:
    return sum(
        value for (found, of), value in samples(client).items() if found == name and labels.items() <= dict(of).items()
    )


def test_promtool_finds_nothing_wrong(client: FlaskClient, submit: Submit) -> None:
    draw(submit(prompt="a")["requests"][0]["id"])
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian has it in `prometheus`); the test below has its main rules")
    done = subprocess.run([promtool, "check", "metrics"], input=client.get("/metrics").data, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_names_kinds_and_units_are_as_prometheus_wants_them(client: FlaskClient, submit: Submit) -> None:
    draw(submit(prompt="a")["requests"][0]["id"])
    families = list(text_string_to_metric_families(client.get("/metrics").text))
    assert len({family.name for family in families}) == len(families) > 20
    for family in families:
        assert re.fullmatch(r"argus_[a-z_]+", family.name)
        assert family.documentation.endswith(".") or family.documentation.endswith(").")
        assert not NOT_BASE_UNITS & set(family.name.split("_"))
        for sample in family.samples:
            assert family.type != "counter" or sample.name.endswith("_total")
            assert family.type in ("histogram", "summary") or not sample.name.endswith(("_count", "_sum", "_bucket"))
            assert "quantile" not in sample.labels
            assert ("le" in sample.labels) == sample.name.endswith("_bucket"), sample
            assert all(re.fullmatch(r"[a-z_]+", label) for label in sample.labels)


def test_series_are_there_before_anything_happens(client: FlaskClient, family: Family) -> None:
    found = samples(client)
    for level in family.levels:
        labels = (("level", level), ("service_class", "interactive"))
        assert found["argus_images_total", labels] == 0
        assert found["argus_latency_seconds_count", labels] == 0
        assert found["argus_slo_violations_total", (labels[0], ("reason", "late"), labels[1])] == 0
        assert found["argus_requests_open", (("level", level), ("state", "queued"))] == 0
    assert {dict(of)["state"] for name, of in found if name == "argus_requests_open"} == set(ACTIVE_STATES)
    assert found["argus_workers", (("state", "lost"),)] == 0
    assert found["argus_oldest_waiting_seconds", (("service_class", "batch"),)] == 0
    assert found["argus_latency_target_seconds", ()] > 0


def test_what_happens_is_counted_by_level_and_class(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b", "c"])
    draw(job["requests"][0]["id"], "exact")
    draw(job["requests"][1]["id"], "fs-10")
    of = {"level": "fs-10", "service_class": "interactive"}
    assert total(client, "argus_requests_accepted_total", service_class="interactive") == 3
    assert total(client, "argus_requests_final_total", state="done", **of) == 1
    assert total(client, "argus_images_total", **of) == 1
    for measure in ("latency", "wait", "service"):
        assert total(client, f"argus_{measure}_seconds_count", **of) == 1
    assert total(client, "argus_predicted_quality_sum", **of) == pytest.approx(0.97)
    assert total(client, "argus_quality_lost_sum", **of) == pytest.approx(0.03)
    assert total(client, "argus_requests_open", state="accepted") == 1


def test_buckets_rise_to_the_count(client: FlaskClient, submit: Submit) -> None:
    draw(submit(prompt="a")["requests"][0]["id"])
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    buckets = [s for s in families["argus_latency_seconds"].samples if s.name.endswith("_bucket")]
    mine = [s for s in buckets if (s.labels["level"], s.labels["service_class"]) == ("exact", "interactive")]
    bounds = [float(s.labels["le"]) for s in mine]
    assert bounds == sorted(set(bounds))
    assert {0.1, 1.0, 2.5, 10.0, 100.0, float("inf")} <= set(bounds)
    assert all(less.value <= more.value for less, more in pairwise(mine))
    assert mine[-1].value == 1


def test_no_counter_falls_when_jobs_are_purged(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b"])
    draw(job["requests"][0]["id"])
    before = samples(client)
    assert client.delete(f"/v1/jobs/{job['id']}?purge=true").status_code == 204
    after = samples(client)
    counters = [key for key in before if key[0].endswith(("_total", "_count", "_sum", "_bucket"))]
    assert len(counters) > 100
    assert [key for key in counters if after[key] < before[key]] == []
    assert total(client, "argus_requests_final_total", state="done") == 1


def test_audits_are_in_none_of_them(client: FlaskClient, submit: Submit) -> None:
    audit = submit(prompt="a")
    with transaction() as session:
        job = session.get_one(Job, uuid.UUID(audit["id"]))
        session.delete(job)
        session.flush()
        request = Request(position=0, family="paper", prompt="a", seed=1, width=64, height=64, steps=20, guidance=2.0,
                          deadline_at=job.created_at)  # fmt: skip
        again = Job(family="paper", source="audit", size=1)
        session.add(again)
        session.flush()
        request.job_id = again.id
        session.add(request)
        session.flush()
        drawn = str(request.id)
    assert total(client, "argus_requests_open") == 0
    draw(drawn)
    for name in ("argus_images_total", "argus_requests_final_total", "argus_latency_seconds_count"):
        assert total(client, name) == 0
    assert total(client, "argus_requests_accepted_total") == 1  # the one that was removed
