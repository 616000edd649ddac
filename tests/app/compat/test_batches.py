"""OpenAI's Files and Batch, driven by its own client against a web process."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import openai
import pytest
from flask.testing import FlaskClient
from openai import OpenAI
from openai.types import Batch
from sqlalchemy import func, select, update
from werkzeug.serving import make_server

from app import create_app
from app.backlog import BACKLOG
from app.compat.openai.batch import intake
from app.compat.openai.batch.files import LINE_BYTES, PIECE, lines
from app.compat.openai.batch.keeper import Keeper
from app.jobs import purge
from core import batch_tables
from core.batch_tables import FilePart, StoredFile
from core.database import transaction
from core.families import Family
from core.tables import Job, Request, ServiceClass, State
from tests.app.conftest import configured, draw
from tests.app.test_waiting import until
from tests.conftest import Services

ADDRESS = "/v1/images/generations"
PNG = b"\x89PNG"
Body = dict[str, Any]


@pytest.fixture
def api(database: Services, family: Family) -> Iterator[OpenAI]:
    """OpenAI's client on a server in this process; batches move on when `move_on` says so."""
    server = make_server("127.0.0.1", 0, create_app(), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none", max_retries=0)
    server.shutdown()
    thread.join()


def move_on() -> None:
    """As the keeper of a web process does every few seconds."""
    Keeper().round()


def call(own: str, **body: Any) -> Body:
    return {"custom_id": own, "method": "POST", "url": ADDRESS, "body": body}


def file_of(*calls: Body | str) -> bytes:
    return "\n".join(each if isinstance(each, str) else json.dumps(each) for each in calls).encode()


def batch_of(api: OpenAI, *calls: Body | str, **metadata: str) -> Batch:
    file = api.files.create(file=("calls.jsonl", file_of(*calls)), purpose="batch")
    return api.batches.create(
        input_file_id=file.id, endpoint=ADDRESS, completion_window="24h", metadata=metadata or None
    )


def told(api: OpenAI, file_id: str | None) -> list[Body]:
    """The lines of a file of results."""
    assert file_id
    return [json.loads(line) for line in api.files.content(file_id).text.splitlines()]


def counted(batch: Batch) -> tuple[int, int, int]:
    """Lines: all, completed, failed."""
    counts = batch.request_counts
    assert counts is not None
    return counts.total, counts.completed, counts.failed


def requests() -> list[Request]:
    with transaction() as session:
        return list(session.scalars(select(Request).order_by(Request.accepted_at, Request.position)))


def set_state(request: Request, state: State, **values: Any) -> None:
    with transaction() as session:
        session.execute(update(Request).where(Request.id == request.id).values(state=state, **values))


def test_files_are_kept_listed_read_and_deleted(api: OpenAI) -> None:
    whole = file_of(*[call(str(number), prompt="a fox " * 10) for number in range(4000)])
    assert len(whole) > 2 * PIECE
    first = api.files.create(file=("a.jsonl", whole), purpose="batch")
    others = [api.files.create(file=(f"{name}.jsonl", b"{}"), purpose="batch") for name in "bcd"]
    assert (first.object, first.filename, first.bytes, first.purpose) == ("file", "a.jsonl", len(whole), "batch")
    assert api.files.retrieve(first.id) == first
    assert api.files.content(first.id).content == whole
    newest_first = [file.id for file in (*reversed(others), first)]
    assert [file.id for file in api.files.list(limit=2)] == newest_first  # the client turns the pages
    assert [file.id for file in api.files.list(order="asc", after=first.id)] == [file.id for file in others]
    assert list(api.files.list(purpose="batch_output")) == []
    assert api.files.delete(first.id).deleted
    with pytest.raises(openai.NotFoundError):
        api.files.retrieve(first.id)
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(FilePart)) == 3


def test_a_batch_is_drawn_as_batch_work_and_answered_line_by_line(api: OpenAI) -> None:
    batch = batch_of(
        api,
        call("one", prompt="a fox", response_format="b64_json"),
        call("two", prompt="a bear", n=2, seed=7, response_format="url"),
        call("wrong", prompt=""),
        "",
        call("fails", prompt="an owl"),
        owner="me",
    )
    assert (batch.status, batch.endpoint, batch.metadata) == ("validating", ADDRESS, {"owner": "me"})
    move_on()
    batch = api.batches.retrieve(batch.id)
    assert (batch.status, batch.output_file_id) == ("in_progress", None)
    assert counted(batch) == (4, 0, 1)
    one, two, three, fails = requests()
    assert [(row.custom_id, row.prompt, row.service_class) for row in (one, two, three, fails)] == [
        ("one", "a fox", ServiceClass.BATCH),
        ("two", "a bear", ServiceClass.BATCH),
        ("two", "a bear", ServiceClass.BATCH),
        ("fails", "an owl", ServiceClass.BATCH),
    ]
    assert one.deadline_at.timestamp() == pytest.approx(batch.expires_at or 0, abs=1)
    for row in (one, two, three):
        draw(str(row.id))
    assert counted(api.batches.retrieve(batch.id)) == (4, 2, 1)
    set_state(fails, State.FAILED, error_code="not_a_number", error="There is a NaN in the latent.")
    batch = api.batches.retrieve(batch.id)
    assert batch.status == "completed"
    assert None not in (batch.completed_at, batch.finalizing_at, batch.in_progress_at)
    assert counted(batch) == (4, 2, 2)
    answers, errors = told(api, batch.output_file_id), told(api, batch.error_file_id)
    assert [(line["custom_id"], line["response"]["status_code"], line["error"]) for line in answers] == [
        ("one", 200, None),
        ("two", 200, None),
    ]
    assert base64.b64decode(answers[0]["response"]["body"]["data"][0]["b64_json"]).startswith(PNG)
    assert [item["argus"]["seed"] for item in answers[1]["response"]["body"]["data"]] == [7, 8]
    assert all(item["url"].startswith("http://127.0.0.1") for item in answers[1]["response"]["body"]["data"])
    assert [(line["custom_id"], line["response"]["status_code"]) for line in errors] == [("wrong", 400), ("fails", 500)]
    assert errors[0]["response"]["body"]["error"]["param"] == "prompt"
    assert errors[1]["response"]["body"]["error"]["code"] == "not_a_number"
    made = {file.id: file for file in api.files.list(purpose="batch_output")}
    assert set(made) == {batch.output_file_id, batch.error_file_id}
    assert len({line["id"] for line in (*answers, *errors)}) == 4


@pytest.mark.parametrize(
    ("calls", "code", "line"),
    [
        (["{"], "invalid_json_line", 1),
        (["[]"], "invalid_json_line", 1),
        ([call("a", prompt="a"), {**call("b"), "custom_id": 7}], "invalid_custom_id", 2),
        ([call("a", prompt="a"), call("a", prompt="b")], "duplicate_custom_id", 2),
        ([{**call("a"), "method": "GET"}], "invalid_method", 1),
        ([{**call("a"), "url": "/v1/chat/completions"}], "invalid_url", 1),
        ([{**call("a"), "body": None}], "missing_required_parameter", 1),
        (["\n \n"], "empty_file", None),
    ],
)
def test_a_file_that_is_no_list_of_calls_fails_the_batch_by_line(
    api: OpenAI, calls: list[Any], code: str, line: int | None
) -> None:
    batch = batch_of(api, *calls)
    move_on()
    batch = api.batches.retrieve(batch.id)
    assert batch.status == "failed"
    assert batch.failed_at
    assert batch.errors is not None
    assert [(error.code, error.line) for error in batch.errors.data or []] == [(code, line)]
    assert requests() == []


def test_a_batch_that_is_cancelled_keeps_what_is_drawn(api: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "CHUNK", 2)
    batch = batch_of(api, *[call(str(number), prompt="a fox") for number in range(5)])
    with configured(ARGUS_MAX_WAITING="2"):
        BACKLOG._count_at = -1e9
        move_on()
    first, _ = requests()
    draw(str(first.id))
    assert api.batches.cancel(batch.id).status == "cancelling"
    batch = api.batches.retrieve(batch.id)
    assert batch.status == "cancelled"
    assert None not in (batch.cancelling_at, batch.cancelled_at)
    assert [line["custom_id"] for line in told(api, batch.output_file_id)] == ["0"]
    errors = told(api, batch.error_file_id)
    assert [(line["custom_id"], line["error"]["code"]) for line in errors] == [
        (str(number), "batch_cancelled") for number in range(1, 5)
    ]
    assert api.batches.cancel(batch.id).status == "cancelled"
    assert [row.state for row in requests()] == [State.DONE, State.CANCELLED]


def test_what_is_not_drawn_within_the_window_expires(api: OpenAI) -> None:
    batch = batch_of(api, call("a", prompt="a fox"), call("b", prompt="a bear"))
    move_on()
    draw(str(requests()[0].id))
    with transaction() as session:
        session.execute(update(batch_tables.Batch).values(expires_at=func.now() - timedelta(seconds=1)))
    batch = api.batches.retrieve(batch.id)
    assert (batch.status, bool(batch.expired_at)) == ("expired", True)
    assert [line["custom_id"] for line in told(api, batch.output_file_id)] == ["a"]
    (error,) = told(api, batch.error_file_id)
    assert (error["custom_id"], error["response"], error["error"]["code"]) == ("b", None, "batch_expired")


def test_two_keepers_read_a_batch_once(api: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "CHUNK", 5)
    batch_of(api, *[call(str(number), prompt="a fox") for number in range(60)])
    keepers = [threading.Thread(target=move_on) for _ in range(3)]
    for keeper in keepers:
        keeper.start()
    for keeper in keepers:
        keeper.join()
    move_on()
    assert [row.custom_id for row in requests()] == [str(number) for number in range(60)]
    with transaction() as session:
        assert [job.size for job in session.scalars(select(Job))] == [60]


def test_batches_are_listed_newest_first_in_pages(api: OpenAI) -> None:
    made = [batch_of(api, call("a", prompt="a fox")).id for _ in range(3)]
    assert [batch.id for batch in api.batches.list(limit=2)] == made[::-1]
    assert [batch.id for batch in api.batches.list(after=made[1])] == made[:1]


def test_images_of_a_job_that_was_removed_are_errors(api: OpenAI) -> None:
    batch = batch_of(api, call("a", prompt="a fox"))
    move_on()
    draw(str(requests()[0].id))
    done = api.batches.retrieve(batch.id)
    purge(requests()[0].job_id)
    assert told(api, done.output_file_id) == []


def test_what_cannot_be_is_refused_with_its_field(api: OpenAI) -> None:
    file = api.files.create(file=("a.jsonl", file_of(call("a", prompt="a"))), purpose="batch")
    wanted: Body = {"input_file_id": file.id, "endpoint": ADDRESS, "completion_window": "24h"}
    for field, value, kind in (
        ("endpoint", "/v1/chat/completions", openai.BadRequestError),
        ("completion_window", "1h", openai.BadRequestError),
        ("input_file_id", "file-0", openai.NotFoundError),
    ):
        with pytest.raises(kind) as refused:
            api.batches.create(**{**wanted, field: value})
        assert refused.value.param == field
    with pytest.raises(openai.BadRequestError) as refused:
        api.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
    assert refused.value.param == "purpose"
    with pytest.raises(openai.BadRequestError):
        api.files.create(file=("a.jsonl", b""), purpose="batch")
    with pytest.raises(openai.NotFoundError):
        api.batches.retrieve("batch_0")
    api.batches.create(**wanted)
    with pytest.raises(openai.ConflictError):
        api.files.delete(file.id)


def test_lines_are_the_same_wherever_the_pieces_end(client: FlaskClient) -> None:
    long, longer = b"x" * (2 * PIECE), b"y" * (LINE_BYTES + 5 * PIECE)
    text = b'{"a": 1}\n\n  {"b": 2}  \r\n' + long + b"\n" + longer + b'\n{"c": 3}'
    with transaction() as session:
        file = StoredFile(client="c", purpose="batch", filename="f", bytes=len(text))
        session.add(file)
        session.flush()
        for number, start in enumerate(range(0, len(text), PIECE)):
            session.add(FilePart(file_id=file.id, number=number, content=text[start : start + PIECE]))
        session.flush()
        found = list(lines(session, file.id))
        assert [(line.text[:8], len(line.text)) for line in found] == [
            (b'{"a": 1}', 8),
            (b'{"b": 2}', 8),
            (b"x" * 8, 2 * PIECE),
            (b"y" * 8, LINE_BYTES),
            (b'{"c": 3}', 8),
        ]
        for before, line in pairwise(found):
            assert next(lines(session, file.id, before.end)) == line


def test_a_web_process_reads_batches_by_itself(services: Services, database: Services, family_file: Path) -> None:
    from tests.app.web_process import web_process

    with web_process(services, family_file) as web:
        api = OpenAI(base_url=f"{web.url}/v1", api_key="none")
        batch = batch_of(api, call("a", prompt="a fox"))
        (row,) = until(requests)
        draw(str(row.id))
        assert until(lambda: (found := api.batches.retrieve(batch.id)).status == "completed" and found)


def test_a_part_of_a_form_without_a_name_is_no_field(client: FlaskClient) -> None:
    part = b"--x\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
    body = part % (b'name="purpose"', b"batch") + part % (b"size=1", b"nameless") + b"--x--\r\n"
    answer = client.post("/v1/files", data=body, content_type="multipart/form-data; boundary=x")
    assert answer.status_code == 400
    assert answer.get_json()["error"]["param"] == "file"
