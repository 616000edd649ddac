"""What can be read of requests, images, levels, the plan and the last hour."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis
from flask.testing import FlaskClient
from PIL import Image as Picture
from sqlalchemy import func

from app.ops import store_is_writable
from core.counters import count
from core.database import transaction
from core.images import ImageStore
from core.shared_values import shared_values
from core.tables import Assignment, Image, Plan, Worker
from core.transport import COUNT
from scheduler.observation.flow import note_tick
from tests.app.conftest import code_and_field, configured, draw

Submit = Callable[..., dict[str, Any]]


def test_a_finished_request_names_level_model_cache_hit_seed_quality_and_times(
    client: FlaskClient, submit: Submit
) -> None:
    link = submit(prompt="a red apple", seed=11)["requests"][0]["link"]
    image = draw(link.rsplit("/", 1)[1], "ac-5", score=0.81)
    read = client.get(link).get_json()
    assert (read["state"], read["level"], read["strategy"], read["model"]) == ("done", "ac-5", "ac", "large")
    assert read["cache"] == {"hit": True, "similarity": 0.9, "steps_skipped": 5}
    assert (read["quality"]["predicted"], read["quality"]["score"]) == (0.97, 0.81)
    assert read["quality"]["scorer"] == "paper-clip 1"
    assert read["reason"]
    assert read["seed"] == 11
    assert read["in_time"] is True
    assert read["latency_s"] > 0
    assert all(read["times"].values())
    assert read["attempts"][0]["worker"] == "cpu0@here"
    assert read["links"]["image"] == f"/v1/images/{image}"


def test_an_open_request_has_no_image_and_is_neither_late_nor_in_time(client: FlaskClient, submit: Submit) -> None:
    read = client.get(submit(prompt="a")["requests"][0]["link"]).get_json()
    assert (read["state"], read["images"], read["in_time"], read["error"]) == ("accepted", [], None, None)


def test_an_image_comes_as_it_was_stored_and_only_once(client: FlaskClient, submit: Submit) -> None:
    image = draw(submit(prompt="a")["requests"][0]["id"])
    answer = client.get(f"/v1/images/{image}")
    assert (answer.mimetype, answer.headers["X-Content-Type-Options"]) == ("image/png", "nosniff")
    assert Picture.open(io.BytesIO(answer.data)).size == (64, 64)
    etag = answer.headers["ETag"]
    assert etag.strip('"') == hashlib.sha256(answer.data).hexdigest()
    again = client.get(f"/v1/images/{image}", headers={"If-None-Match": etag})
    assert (again.status_code, again.data) == (304, b"")


def test_an_image_whose_file_is_gone_is_not_found(client: FlaskClient, submit: Submit) -> None:
    image = draw(submit(prompt="a")["requests"][0]["id"])
    with transaction() as session:
        ImageStore().delete(session.get_one(Image, uuid.UUID(image)).key)
    assert code_and_field(client.get(f"/v1/images/{image}"))[:2] == (404, "not_found")


def test_what_is_not_there_is_not_found(client: FlaskClient) -> None:
    nobody = uuid.uuid4()
    for address in (
        f"/v1/jobs/{nobody}",
        f"/v1/requests/{nobody}",
        f"/v1/images/{nobody}",
        f"/v1/jobs/{nobody}/events",
    ):
        assert code_and_field(client.get(address)) == (404, "not_found", "id")
    for address in ("/v1/jobs/7", "/v1/images/7", "/v1/images/7.png"):  # no such address either
        answer = client.get(address)
        assert (answer.mimetype, code_and_field(answer)[1]) == ("application/problem+json", "not_found")
    wrong = client.put("/v1/jobs", json={})
    assert code_and_field(wrong)[:2] == (405, "wrong_method")
    assert "POST" in wrong.headers["Allow"]


def test_levels_say_what_may_be_asked(client: FlaskClient) -> None:
    read = client.get("/v1/levels").get_json()
    assert (read["family"], read["limits"]["prompt_chars"]) == ("paper", 100)
    levels = {level["id"]: level for level in read["levels"]}
    assert levels["exact"]["reference"]
    assert (levels["ac-5"]["steps"], levels["ac-5"]["steps_skipped"]) == (20, 5)
    assert (levels["fs-10"]["steps"], levels["fs-10"]["queue"]) == (10, "t2i.paper.fs-10")


def test_the_plan_in_force_comes_with_workers_and_what_waits(client: FlaskClient, submit: Submit) -> None:
    assert client.get("/v1/plan").get_json() == {"plan": None, "waiting": {}, "running": {}, "workers": []}
    submit(prompts=["a", "b"])
    worker = {"device": "cpu:0", "device_type": "cpu", "family": "paper", "state": "ready", "queues": [], "stats": {}}
    with transaction() as session:
        shared = {"policy": "argus", "status": "optimal", "observed": {}, "decided": {"prices": {}}, "seconds": 0.1}
        session.add(Plan(**shared, reason="old"))
        session.flush()
        session.add(Plan(**shared, reason="new", in_force=True))
        session.add(Worker(**worker, name="cpu0@here", boot=uuid.uuid4(), models=["large"]))
        lost = func.now() - timedelta(hours=1)
        session.add(Worker(**worker, name="cpu1@here", boot=uuid.uuid4(), models=[], seen_at=lost))
        session.flush()
        for models in (["tiny"], ["large"]):
            session.add(Assignment(epoch=1, worker="cpu0@here", models=models, queues=[], reason=""))
    read = client.get("/v1/plan").get_json()
    assert read["plan"]["reason"] == "new"
    assert read["waiting"] == {"unrouted": 2}
    assert [(w["name"], w["state"], w["assigned"]) for w in read["workers"]] == [
        ("cpu0@here", "ready", ["large"]),
        ("cpu1@here", "lost", []),
    ]


def test_the_report_counts_by_level_and_minute(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b", "c"])
    draw(job["requests"][0]["id"], "exact", 0.9)
    draw(job["requests"][1]["id"], "fs-10", 0.5)
    read = client.get("/v1/report?minutes=5").get_json()
    assert (read["total"]["requests"], read["total"]["images"], read["total"]["waiting"]) == (3, 2, 1)
    assert read["levels"]["fs-10"]["score_mean"] == 0.5
    assert sum(minute["stored"] for minute in read["minutes"]) == 2


def test_metrics_say_each_thing_once(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b"])
    draw(job["requests"][0]["id"])
    text = client.get("/metrics").text
    described = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert len(described) == len(set(described))
    assert 'argus_requests_accepted_total{service_class="interactive"} 2.0' in text
    assert 'argus_requests_open{level="unrouted",state="accepted"} 1.0' in text
    assert 'argus_latency_seconds_count{level="exact",service_class="interactive"} 1.0' in text


def test_alive_and_ready(client: FlaskClient) -> None:
    assert client.get("/healthz").get_json() == {"status": "ok"}
    note_tick()
    parts = ("database", "broker", "store", "scheduler", "work")
    assert client.get("/readyz").get_json() == {"status": "ready", **dict.fromkeys(parts, True)}


def test_without_ticks_it_is_not_ready(client: FlaskClient) -> None:
    shared_values().forget("ticked")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.get_json()["scheduler"]) == (503, False)


def test_a_store_that_cannot_be_written_is_not_ready(client: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "images").write_text("no folder")
    with configured(ARGUS_IMAGES=str(tmp_path / "images")):
        store_is_writable.cache_clear()
        answer = client.get("/readyz")
    store_is_writable.cache_clear()
    assert answer.status_code == 503
    assert {name for name, is_so in answer.get_json().items() if is_so is False} <= {"store", "scheduler"}
    assert answer.get_json()["store"] is False


def test_metrics_tell_what_the_broker_counts(client: FlaskClient, database: Any) -> None:
    assert "argus_unreadable_total 0.0" in client.get("/metrics").text
    with redis.Redis.from_url(database.broker_url) as broker:
        broker.incr(COUNT, 3)
    count("orphans_removed", 2)
    text = client.get("/metrics").text
    assert "argus_unreadable_total 3.0" in text
    assert "argus_orphans_removed_total 2.0" in text
    assert "argus_images_without_file 0.0" in text
