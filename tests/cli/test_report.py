"""`argus report` and `argus doctor` against rows that are known."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from cli.checks import services, setup
from cli.checks.finding import Finding
from cli.main import argus
from core.celery import celery_app
from core.database import transaction
from core.families import load_family
from core.settings import settings
from core.tables import Attempt, Image, Job, Request, Score, State, Worker
from scheduler.observation.report import make_report

START = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
SLO_S = 10.0


def a_request(place: int, level: str, latency_s: float | None, score: float | None = None, state=State.DONE) -> Request:
    """Accepted `place` seconds after START; stored after `latency_s`, or not at all."""
    accepted = START + timedelta(seconds=place)
    stored = accepted + timedelta(seconds=latency_s) if latency_s is not None else None
    request = Request(
        **{"family": "embedded", "prompt": f"prompt {place}", "seed": place, "position": place, "state": state},
        **{"width": 64, "height": 64, "steps": 4, "guidance": 2.0, "level": level, "predicted_quality": 0.9},
        **{"accepted_at": accepted, "stored_at": stored, "deadline_at": accepted + timedelta(seconds=SLO_S)},
    )
    if stored:
        attempt = Attempt(number=1, worker="cpu0@test", boot=uuid.uuid4(), level=level, model="large", outcome="done")
        request.tries = [attempt]
        attempt.id = uuid.uuid4()
        image = Image(**{"key": "k", "width": 64, "height": 64, "bytes": 1, "sha256": "0", "level": level})
        image.attempt_id, image.model, image.family_version = attempt.id, "large", "1"
        image.scores = [Score(scorer="test", value=score)] if score is not None else []
        request.images = [image]
    return request


def store(*requests: Request, source: str = "test") -> Job:
    job = Job(family="embedded", source=source, size=len(requests), requests=list(requests))
    with transaction() as session:
        session.add(job)
    return job


def made(**given):
    with transaction() as session:
        return make_report(session, START, START + timedelta(hours=1), **given)


@pytest.fixture
def an_hour(database):
    """Ten at exact in 1 … 10 s; two at fs-8, one late, one that failed; one that was lost on the way and waits."""
    exact = [a_request(place, "exact", place + 1.0, score=1.0) for place in range(10)]
    fast = [a_request(10, "fs-8", 12.0, score=0.5), a_request(11, "fs-8", None, state=State.FAILED)]
    return store(*exact, *fast, a_request(12, "fs-8", None, state=State.QUEUED))


def test_the_report_counts_latency_violations_and_scores(an_hour):
    whole = made()
    assert (whole.total.requests, whole.total.images, whole.total.failed, whole.total.waiting) == (13, 11, 1, 1)
    assert whole.total.violations == 3  # late, failed, waiting past its deadline
    assert whole.total.latency_p50_s == pytest.approx(6.0)
    assert whole.levels["exact"].latency_p99_s == pytest.approx(9.91)
    assert whole.levels["exact"].violation_rate == 0
    assert whole.levels["fs-8"].score_mean == pytest.approx(0.5)
    assert whole.seconds == pytest.approx(22.0)
    assert whole.total.quality_lost == pytest.approx(0.1)
    assert whole.images_per_minute == pytest.approx(11 * 60 / 22)


def test_the_schedule_of_a_window_is_written_as_a_trace(an_hour, tmp_path):
    file = tmp_path / "trace.json"
    done = CliRunner().invoke(argus, ["report", "--since", START.isoformat(), "--trace-json", str(file)])
    assert done.exit_code == 0, done.output
    events = json.loads(file.read_text())
    slices = [event for event in events if event["ph"] == "X"]
    assert len(slices) == 11  # attempts
    assert sum(event["args"]["late"] for event in slices) >= 1
    assert {event["args"]["predicted_quality"] for event in slices} == {0.9}
    waiting = [event["args"]["requests"] for event in events if event["ph"] == "C"]
    assert max(waiting) >= 2
    assert waiting[-1] == 1  # one was lost on the way


def test_audits_are_no_traffic_and_measure_relative_quality(an_hour):
    second = a_request(10, "exact", 1.0, score=0.8)
    second.level_asked = "exact"
    store(second, source="audit")
    with transaction() as session:
        for request in session.query(Request).filter(Request.images.any()):
            request.scored_at = datetime.now(UTC)
    whole = made()
    assert whole.total.requests == 13
    assert whole.levels["fs-8"].audits == 1
    assert whole.levels["fs-8"].audited_quality == pytest.approx(0.5 / 0.8)


def test_a_report_of_one_job_leaves_the_others_out(an_hour):
    other = store(a_request(0, "exact", 1.0))
    assert made(job=str(other.id)).total.requests == 1
    assert made(job=str(an_hour.id)).total.requests == 13


def test_a_report_of_nothing_is_a_report(database):
    nothing = made()
    assert (nothing.total.requests, nothing.images_per_minute, nothing.levels) == (0, 0, {})
    done = CliRunner().invoke(argus, ["report"])
    assert done.exit_code == 0
    assert done.output.startswith("0 requests")


def test_json_goes_alone_to_stdout_and_beside_the_table_into_a_file(an_hour, tmp_path):
    window = ["--since", "2026-11-21T04:00", "--until", "2026-11-21T05:00"]
    alone = CliRunner().invoke(argus, ["report", *window, "--json", "-"])
    assert json.loads(alone.output)["requests"] == 13
    both = CliRunner().invoke(argus, ["report", *window, "--json", str(tmp_path / "report.json")])
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(alone.output)
    assert "13 requests" in both.output


def findings(check) -> dict[str, Finding]:
    return {finding.subject: finding for finding in check()}


def a_worker(name: str, seconds_ago: float, state: str = "ready") -> None:
    with transaction() as session:
        session.add(
            Worker(
                **{"name": name, "boot": uuid.uuid4(), "device": "cpu:0", "device_type": "cpu", "family": "embedded"},
                **{"state": state, "models": ["large"], "queues": [], "stats": {}},
                seen_at=datetime.now(UTC) - timedelta(seconds=seconds_ago),
            )
        )


def test_the_doctor_finds_a_worker_that_went_silent_but_not_one_that_left(database):
    a_worker("silent@test", settings().stale_s + 5)
    a_worker("left@test", settings().stale_s + 5, state="stopped")
    a_worker("alive@test", 1)
    found = findings(services.workers)
    assert not found["worker silent@test"].ok
    assert found["worker left@test"].ok
    assert found["worker alive@test"].ok


def test_the_doctor_finds_a_queue_with_messages_and_no_consumer(database):
    queue = load_family(settings().family).queue("exact")
    celery_app().send_task("argus.generate", kwargs={"request_id": "x", "epoch": 0}, queue=queue)
    found = findings(services.queues)
    assert not found[f"queue {queue}"].ok
    assert "1 messages" in found[f"queue {queue}"].text
    assert not found["celery"].ok


def test_the_doctor_finds_a_schema_that_is_behind(database):
    from sqlalchemy import text

    assert findings(services.database)["database"].ok
    with transaction() as session:
        newest = session.scalar(text("SELECT version_num FROM alembic_version"))
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    try:
        found = findings(services.database)["database"]
    finally:
        with transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :newest"), {"newest": newest})
    assert not found.ok
    assert "argus run migrate" in found.text


def test_the_doctor_finds_weights_that_are_damaged(tmp_path):
    from families.embedded import checksums

    folder = tmp_path / "weights" / "large"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"good")
    checksums.write(tmp_path / "weights")
    assert setup.weights_in("large", folder).ok
    (folder / "model.safetensors").write_bytes(b"bad")
    from core.errors import WeightsDamaged

    with pytest.raises(WeightsDamaged, match="damaged"):
        setup.weights_in("large", folder)


def test_quality_lost_is_what_each_image_falls_short_at_the_level_it_was_made_at(database):
    above, below = a_request(0, "fs-8", 1.0), a_request(1, "fs-8", 1.0)
    above.qualities, below.qualities = {"exact": 1.0, "fs-8": 1.1}, {"exact": 1.0, "fs-8": 0.8}
    store(above, below)
    total = made().total
    assert total.quality_lost == pytest.approx(0.1)  # the one above 1 makes up for nothing
    assert total.predicted_quality == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("90m", 5400),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d 2h", 93_600),
        ("90min", 5400),
        ("1.5h", 5400),
        ("1w", 604_800),
    ],
)
def test_a_duration_may_have_several_units(said, seconds):
    from cli.report import PointInTime

    found = PointInTime().convert(said, None, None)
    assert abs((datetime.now(UTC) - found).total_seconds() - seconds) < 30


@pytest.mark.parametrize(
    "said", ["9999999999d", "1h30", "h", "-1h", "soon", "", "1e400d", "٣h", "１h", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_time_says_what_is_taken(said):
    done = CliRunner().invoke(argus, ["report", "--last", said])
    assert done.exit_code == 2
    assert "1h30m" in done.output
