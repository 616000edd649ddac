"""Pages for people: they render, they need nothing from elsewhere, and nobody else can press their buttons."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

import app as package
from app.web import filters
from core.database import transaction
from core.tables import Attempt, Request
from tests.app.conftest import configured, draw, rows

Submit = Callable[..., dict[str, Any]]
PAGE = {"Accept": "text/html"}
TEMPLATES = Path(package.__file__).parent / "web" / "templates"


def token(client: FlaskClient) -> str:
    found = re.search(r'name="argus_token" value="([^"]+)"', client.get("/", headers=PAGE).text)
    assert found
    return found[1]


def send(client: FlaskClient, **fields: Any) -> Any:
    return client.post("/", data={"argus_token": token(client), **fields}, headers=PAGE)


@pytest.fixture
def pages(client: FlaskClient, submit: Submit) -> list[str]:
    """Every address a person can open, with something to see."""
    job = submit(prompts=["a <b>bold</b> cat", "a dog"], title="pets & <i>more</i>")
    draw(job["requests"][0]["id"], "ac-5")
    request = job["requests"][0]["id"]
    fragments = ["/recent", f"/jobs/{job['id']}/head", f"/requests/{request}/tile", "/dashboard/figures"]
    return ["/", f"/jobs/{job['id']}", f"/requests/{request}", "/gallery", "/dashboard", "/docs", *fragments]


def bodies(client: FlaskClient, pages: list[str]) -> Iterator[tuple[str, str]]:
    for address in pages:
        answer = client.get(address, headers=PAGE)
        assert answer.status_code == 200, address
        yield address, answer.text


def test_every_page_renders_and_escapes_what_people_wrote(client: FlaskClient, pages: list[str]) -> None:
    for _, body in bodies(client, pages):
        assert "<b>bold</b>" not in body
        assert "<i>more</i>" not in body


def test_pages_load_nothing_from_elsewhere_and_carry_no_inline_script_or_style(
    client: FlaskClient, pages: list[str]
) -> None:
    for address, body in bodies(client, pages):
        assert not re.search(r"""(?:src|href|spec-url)=["'](?:https?:)?//""", body), address
        assert not re.search(r"<script(?![^>]*\bsrc=)", body), address
        assert not re.search(r"""\s(?:style|on\w+)=["']""", body), address
        for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', body):
            assert client.get(asset).status_code == 200, asset


def test_the_policy_of_every_answer_forbids_inline_scripts(client: FlaskClient, pages: list[str]) -> None:
    for address in [*pages, "/v1/jobs", "/nowhere"]:
        headers = client.get(address).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "script-src" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_form_takes_lines_and_leads_to_the_job(client: FlaskClient) -> None:
    fields = {"prompts": "a cat\r\n\r\na dog\r\n", "size": "128x64", "n": "2", "seed": "", "level": "auto"}
    answer = send(client, **fields)
    assert answer.status_code == 303
    assert rows() == (1, 4)
    assert "a dog" in client.get(answer.headers["Location"], headers=PAGE).text


def test_the_form_takes_a_file_as_batch_work(client: FlaskClient) -> None:
    answer = send(client, prompts="", file=(io.BytesIO(b"prompt\na cat\n"), "pets.csv"))
    assert answer.status_code == 303
    job = client.get("/v1/jobs").get_json()["jobs"][0]
    assert (job["title"], job["source"], job["service_class"]) == ("pets.csv", "csv", "batch")


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"prompts": ""}, 400, "Write at least one prompt"),
        ({"prompts": "a", "steps": "99"}, 422, "outside 1 to 50"),
        ({"prompts": "a", "steps": "many"}, 400, "bad_input · steps"),
        ({"prompts": "a", "level": "best"}, 422, "no level"),
        ({"prompts": "a", "size": "huge"}, 400, "bad_input · width"),
        ({"prompts": "a\x07"}, 422, "control character"),
        ({"prompts": "", "file": (io.BytesIO(b"text\na\n"), "x.csv")}, 422, "a column `prompt`"),
        ({"prompts": "a", "colour": "red"}, 400, "bad_input · colour"),
    ],
)
def test_the_form_says_what_is_wrong_and_keeps_what_was_written(
    client: FlaskClient, fields: dict[str, Any], status: int, says: str
) -> None:
    answer = send(client, title="kept title", **fields)
    assert answer.status_code == status
    assert says in answer.text.replace("&#39;", "'")
    assert "kept title" in answer.text
    assert rows() == (0, 0)


def test_a_form_that_is_not_utf_8_is_refused(client: FlaskClient) -> None:
    fields = {b"argus_token": token(client).encode(), b"prompts": b"caf\xe9"}
    parts = [b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % field for field in fields.items()]
    kind = "multipart/form-data; boundary=x"
    answer = client.post("/", data=b"".join([*parts, b"--x--\r\n"]), content_type=kind, headers=PAGE)
    assert answer.status_code == 422
    assert "not sent as UTF-8" in answer.text
    assert rows() == (0, 0)


def test_a_form_without_its_token_is_refused(client: FlaskClient) -> None:
    token(client)
    for sent in ({}, {"argus_token": "guess"}):
        answer = client.post("/", data={"prompts": "a", **sent}, headers=PAGE)
        assert answer.status_code == 403
        assert "expired" in answer.text
    assert rows() == (0, 0)


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}])
def test_other_sites_can_neither_submit_nor_cancel(
    client: FlaskClient, submit: Submit, headers: dict[str, str]
) -> None:
    job = submit(prompt="a")
    assert client.post("/v1/jobs", json={"prompt": "b"}, headers=headers).status_code == 403
    upload = {"file": (io.BytesIO(b"prompt\na\n"), "a.csv")}
    assert client.post("/v1/jobs/csv", data=upload, headers=headers).status_code == 403
    assert client.delete(job["links"]["self"], headers=headers).status_code == 403
    assert rows() == (1, 1)


def test_a_job_is_cancelled_from_its_page(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompt="a")
    answer = client.post(f"/jobs/{job['id']}/cancel", data={"argus_token": token(client)}, headers=PAGE)
    assert answer.status_code == 303
    assert client.get(job["links"]["self"]).get_json()["state"] == "cancelled"


def test_the_gallery_keeps_a_level_and_goes_on_where_a_page_ended(
    client: FlaskClient, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.web import gallery

    monkeypatch.setattr(gallery, "PER_PAGE", 2)
    job = submit(prompts=["first cat", "second cat", "third cat"])
    for request, level in zip(job["requests"], ("exact", "exact", "fs-10"), strict=True):
        draw(request["id"], level)
    page = client.get("/gallery").text
    assert re.findall(r'caption">(\w+) cat', page) == ["third", "second"]
    older = re.search(r'href="(\?[^"]*before=[^"]+)"', page)
    assert older
    assert re.findall(r'caption">(\w+) cat', client.get("/gallery" + older[1].replace("&amp;", "&")).text) == ["first"]
    assert re.findall(r'caption">(\w+) cat', client.get("/gallery?level=fs-10").text) == ["third"]


def test_people_get_a_page_and_programs_get_json_about_the_same_error(client: FlaskClient) -> None:
    assert "<h1>" in client.get("/nowhere", headers=PAGE).text
    assert client.get("/nowhere").get_json()["error"]["code"] == "not_found"
    assert client.get("/v1/nowhere", headers=PAGE).get_json()["error"]["code"] == "not_found"


def test_with_the_database_away_pages_and_api_say_so(client: FlaskClient) -> None:
    from core.database import forget_connections

    forget_connections()
    try:
        with configured(ARGUS_DATABASE_URL="postgresql://argus@127.0.0.1:1/argus"):
            assert client.get("/v1/jobs").get_json()["error"]["code"] == "service_down"
            assert client.get("/", headers=PAGE).status_code == 503
            assert client.get("/readyz").get_json()["database"] is False
            assert client.get("/healthz").status_code == 200
    finally:
        forget_connections()


def test_the_api_page_has_the_navigation_of_the_others(client: FlaskClient) -> None:
    pages = (client.get(page, headers=PAGE).text for page in ("/docs", "/gallery"))
    api, gallery = (re.findall(r'<a href="(/[a-z]*)"', body.partition("</header>")[0]) for body in pages)
    assert api == gallery == ["/", "/compare", "/gallery", "/dashboard", "/reports", "/models", "/docs", "/settings"]


def test_times_are_written_without_units_of_which_there_are_none() -> None:
    written = {0.42: "0.42 s", 3.1: "3.1 s", 120: "2 min", 125: "2 min 5 s", 3600: "1 h", 3780: "1 h 3 min"}
    assert {value: filters.seconds(value) for value in written} == written


def test_the_form_says_by_when_an_image_has_to_be_begun(client: FlaskClient) -> None:
    assert send(client, prompts="a cat", start_within_s="60").status_code == 303
    with transaction() as session:
        request = session.scalars(select(Request)).one()
    assert request.start_by is not None
    assert (request.start_by - request.accepted_at).total_seconds() == pytest.approx(60, abs=1)
    refused = send(client, prompts="a cat", start_within_s="-1")
    assert 400 <= refused.status_code < 500
    assert 'value="-1"' in refused.text


def test_a_request_drawn_in_a_parallel_mode_says_how_it_went(client: FlaskClient, submit: Any) -> None:
    job = submit(prompt="a fox", parallel="asyncdiff")
    (request,) = job["requests"]
    draw(request["id"])
    told = {"mode": "asyncdiff", "ranks": 2, "warm_up": 3, "turns": 7, "fall_back": "a member is gone"}
    with transaction() as session:
        session.execute(update(Attempt).values(parallel=told))
    page = re.sub(r"<[^>]+>", " ", client.get(f"/requests/{request['id']}").text)
    assert "64 × 64, by asyncdiff" in page
    assert "done; asyncdiff on 2 devices, 7 turns, then serial steps: a member is gone" in page
