"""A job's page: chunks of a grid, filters, and what happens to what is selected."""

from __future__ import annotations

import re
import uuid

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from app.records import grid
from app.records.grid import Chunk
from app.schemas.selection import Selection
from core.database import transaction
from core.tables import Request, State
from tests.app.conftest import draw
from tests.app.web.conftest import PAGE, Submit, token, words


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "A_CHUNK", 2)


def fail(request_id: str) -> None:
    with transaction() as session:
        session.execute(update(Request).where(Request.id == uuid.UUID(request_id)).values(state=State.FAILED))


def prompts(html: str) -> list[str]:
    return re.findall(r'class="caption">([^<]+)<', html)


@pytest.mark.usefixtures("small")
def test_a_job_is_cut_into_chunks_by_position(client: FlaskClient, submit: Submit) -> None:
    job = uuid.UUID(submit(prompts=["a", "b", "c", "d", "e"])["id"])
    with transaction() as session:
        assert grid.chunks(session, job, 5, Selection()) == [Chunk(0, 2, 2), Chunk(2, 4, 2), Chunk(4, 5, 1)]
        assert [line.prompt for line in grid.tiles(session, job, 2, 4, Selection())] == ["c", "d"]


@pytest.mark.usefixtures("small")
def test_chunks_of_a_filter_span_what_it_leaves_out(client: FlaskClient, submit: Submit) -> None:
    sent = submit(prompts=["red a", "b", "red c", "d", "red e"])
    job, red = uuid.UUID(sent["id"]), Selection(prompt="RED")
    with transaction() as session:
        found = grid.chunks(session, job, 5, red)
        assert found == [Chunk(0, 4, 2), Chunk(4, 5, 1)]
        tiles = [[line.prompt for line in grid.tiles(session, job, each.start, each.stop, red)] for each in found]
        assert grid.chunks(session, job, 5, Selection(prompt="blue")) == []
    assert tiles == [["red a", "red c"], ["red e"]]


@pytest.mark.usefixtures("small")
def test_the_page_has_its_first_images_and_places_for_the_others(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["first one", "second one", "third one"])
    page = client.get(f"/jobs/{job['id']}", headers=PAGE).text
    assert prompts(page) == ["first one", "second one"]
    (later,) = re.findall(r'data-start="(2)" data-stop="(\d+)" data-count="1"', page)
    rest = client.get(f"/jobs/{job['id']}/tiles?start={later[0]}&stop={later[1]}").text
    assert prompts(rest) == ["third one"]


def test_a_filter_is_said_and_kept_for_what_is_done_to_all_of_it(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["red cat", "blue cat", "red dog"])
    draw(job["requests"][0]["id"])
    page = client.get(f"/jobs/{job['id']}?prompt=red&state=done", headers=PAGE).text
    assert prompts(page) == ["red cat"]
    assert "1 image of 3." in words(page)
    assert 'type="hidden" name="state" value="done"' in page
    none = words(client.get(f"/jobs/{job['id']}?prompt=green", headers=PAGE).text)
    assert "No image of this job fits the filter" in none


@pytest.mark.parametrize("query", ["state=lost", "level=" + "x" * 65, "prompt=" + "x" * 201, "colour=red", "ids=1"])
def test_a_filter_that_is_none_is_refused(client: FlaskClient, submit: Submit, query: str) -> None:
    job = submit(prompt="a")
    for page in ("", "/tiles"):
        assert client.get(f"/jobs/{job['id']}{page}?{query}", headers=PAGE).status_code in (400, 422)


def test_what_is_selected_is_retried_and_the_rest_stays(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b"])
    first, second = (request["id"] for request in job["requests"])
    fail(first)
    fail(second)
    answer = client.post(f"/jobs/{job['id']}/retry", data={"argus_token": token(client), "ids": second}, headers=PAGE)
    assert answer.status_code == 303
    counts = client.get(job["links"]["self"]).get_json()["counts"]
    assert (counts["failed"], counts["accepted"]) == (1, 1)


def test_it_is_said_to_how_many_a_move_would_be_done_before_it_is(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["red a", "red b", "red c", "blue"])
    fail(job["requests"][0]["id"])
    said = {"argus_token": token(client), "prompt": "red", "positions": "", "priority": "first"}
    buttons = client.post(f"/jobs/{job['id']}/moves", data=said, headers=PAGE).text
    assert words(buttons) == "Retry 1 Pause 2 Resume Cancel 2"
    assert re.findall(r'/(\w+)" disabled', buttons) == ["resume"]
    assert client.get(job["links"]["self"]).get_json()["counts"]["cancelled"] == 0
    some = client.post(f"/jobs/{job['id']}/moves", data={**said, "positions": "1-1,3"}, headers=PAGE).text
    assert words(some) == "Retry Pause 1 Resume Cancel 1"


def test_what_is_selected_is_reordered(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b", "c"], service_class="batch")
    said = {"argus_token": token(client), "positions": "1-2", "priority": "7"}
    assert client.post(f"/jobs/{job['id']}/reorder", data=said, headers=PAGE).status_code == 303
    with transaction() as session:
        found = session.scalars(select(Request.priority).order_by(Request.position)).all()
    assert found == [0, 7, 7]
    assert client.post(f"/jobs/{job['id']}/reorder", data={**said, "priority": ""}, headers=PAGE).status_code == 400


def test_a_job_is_filtered_by_class_and_time_too(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b"])
    path = f"/jobs/{job['id']}"
    assert prompts(client.get(f"{path}?service_class=batch", headers=PAGE).text) == []
    assert prompts(client.get(f"{path}?until=2000-01-01T10:30", headers=PAGE).text) == []
    page = client.get(f"{path}?service_class=interactive&since=2000-01-01T10:30", headers=PAGE).text
    assert prompts(page) == ["a", "b"]
    assert 'value="2000-01-01T10:30:00"' in page


def test_a_job_that_waits_is_paused_and_resumed_by_its_head(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b"])
    said = {"argus_token": token(client)}
    head = f"/jobs/{job['id']}/head"
    assert "/pause" in client.get(head).text
    client.post(f"/jobs/{job['id']}/pause", data=said, headers=PAGE)
    assert "2 paused" in words(client.get(head).text)
    client.post(f"/jobs/{job['id']}/resume", data=said, headers=PAGE)
    assert "paused" not in words(client.get(head).text)


def test_a_grid_shows_thumbnails_and_a_request_its_whole_image(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompt="a cat")
    image = draw(job["requests"][0]["id"])
    assert f"/v1/images/{image}/thumbnail" in client.get(f"/jobs/{job['id']}", headers=PAGE).text
    assert f'src="/v1/images/{image}"' in client.get(f"/requests/{job['requests'][0]['id']}", headers=PAGE).text
