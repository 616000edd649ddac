"""The same prompt at several levels: submitted as one job, read as a grid, and seen side by side."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from core.database import transaction
from core.tables import Attempt, Request
from tests.app.conftest import Held, code_and_field, draw, rows
from tests.app.web.conftest import PAGE, Submit, token, words


def compare(client: FlaskClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/compare", json=body)
    assert answer.status_code == 202, answer.text
    found = answer.get_json()
    assert answer.headers["Location"] == found["links"]["self"]
    return found


def test_a_prompt_is_drawn_at_every_level_with_the_same_seeds(client: FlaskClient) -> None:
    found = compare(client, prompt="a cat", seeds=[7, 2**62])
    assert rows() == (1, 6)
    asked = {(r["level_asked"], r["seed"]) for r in (client.get(at).get_json() for at in _requests(client, found))}
    assert asked == {(level, seed) for level in ("exact", "ac-5", "fs-10") for seed in (7, str(2**62))}


def _requests(client: FlaskClient, found: dict[str, Any]) -> list[str]:
    return [line["link"] for line in client.get(found["links"]["job"]).get_json()["requests"]]


def test_the_grid_has_scores_relative_to_exact_and_seconds(client: FlaskClient) -> None:
    found = compare(client, prompt="a cat", levels=["exact", "fs-10"], seeds=[1, 2])
    scores = {"exact": 0.8, "fs-10": 0.6}
    for link in _requests(client, found):
        line = client.get(link).get_json()
        draw(line["id"], line["level_asked"], scores[line["level_asked"]])
        with transaction() as session:
            request = session.get_one(Request, uuid.UUID(line["id"]))
            assert request.started_at
            request.stored_at = request.started_at + timedelta(seconds=3)
    grid = client.get(found["links"]["self"]).get_json()
    exact, fewer = grid["levels"]
    assert (exact["level"], exact["reference"], exact["relative"]) == ("exact", True, 1.0)
    assert (fewer["level"], fewer["score"], fewer["relative"]) == ("fs-10", 0.6, pytest.approx(0.75))
    assert [cell["seed"] for cell in fewer["cells"]] == grid["seeds"] == [1, 2]
    assert fewer["seconds"] == pytest.approx(3)
    assert client.get(fewer["cells"][0]["image"]).mimetype == "image/png"


def test_the_grid_has_a_row_a_level_before_anything_was_routed(client: FlaskClient) -> None:
    grid = client.get(compare(client, prompt="a cat", seeds=[1, 2])["links"]["self"]).get_json()
    assert [row["level"] for row in grid["levels"]] == ["exact", "ac-5", "fs-10"]
    cells = {cell["request_id"] for row in grid["levels"] for cell in row["cells"]}
    assert len(cells) == 6


def test_an_image_that_found_no_cached_latent_says_that_it_was_drawn_in_full(client: FlaskClient) -> None:
    found = compare(client, prompt="a cat", levels=["exact", "ac-5"], seeds=[1, 2])
    lines = [client.get(link).get_json() for link in _requests(client, found)]
    for line in lines:
        draw(line["id"], line["level_asked"])
    missed = next(line["id"] for line in lines if (line["level_asked"], line["seed"]) == ("ac-5", 2))
    with transaction() as session:
        session.execute(update(Attempt).where(Attempt.request_id == uuid.UUID(missed)).values(steps_skipped=0))
    exact, cached = client.get(found["links"]["self"]).get_json()["levels"]
    assert [cell["steps_skipped"] for cell in exact["cells"]] == [None, None]
    assert [cell["steps_skipped"] for cell in cached["cells"]] == [5, 0]
    shown = words(client.get(f"/compare/{found['id']}", headers=PAGE).text)
    assert shown.count("no cached latent near enough: drawn in full") == 1


def test_what_is_wrong_names_the_field_of_the_comparison(client: FlaskClient) -> None:
    def refused(**body: Any) -> tuple[int, str, str | None]:
        return code_and_field(client.post("/v1/compare", json=body))

    assert refused(prompt="a", levels=["best"]) == (422, "unknown_level", "levels")
    assert refused(prompt="") == (422, "bad_prompt", "prompt")
    assert refused(prompt="a", levels=[])[2] == "levels"
    assert refused(prompt="a", steps=99)[2] == "steps"
    assert refused(prompt="a", seeds=list(range(17)))[2] == "seeds"
    assert client.post("/v1/compare", data="prompt=a").status_code == 415
    assert rows() == (0, 0)


def test_sent_again_with_its_key_it_is_the_same_comparison(client: FlaskClient) -> None:
    answers = [
        client.post("/v1/compare", json={"prompt": "a"}, headers={"Idempotency-Key": "once"}).get_json()["id"]
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert rows() == (1, 6)


def test_the_page_submits_and_shows_the_grid(client: FlaskClient) -> None:
    fields = {"argus_token": token(client), "prompt": "a <b>cat</b>", "levels": ["exact", "fs-10"], "seeds": "1, 2,3"}
    answer = client.post("/compare", data=fields, headers=PAGE)
    assert answer.status_code == 303
    assert rows() == (1, 6)
    page = client.get(answer.headers["Location"], headers=PAGE).text
    assert "<b>cat</b>" not in page
    assert re.findall(r'scope="col">(seed \d)', page) == ["seed 1", "seed 2", "seed 3"]
    wrong = client.post("/compare", data={**fields, "seeds": "one"}, headers=PAGE)
    assert wrong.status_code == 400
    assert "seeds" in wrong.text


def test_images_that_were_selected_stand_side_by_side_with_a_slider(client: FlaskClient, submit: Submit) -> None:
    ids = [request["id"] for request in submit(prompts=["a cat", "a dog", "a cow"])["requests"]]
    images = [draw(id) for id in ids[:2]]
    page = client.get(f"/compare?ids={','.join(reversed(ids))}", headers=PAGE).text
    assert words(page).index("a cow") < words(page).index("a dog") < words(page).index("a cat")
    assert 'type="range"' in page
    assert all(page.count(f"/v1/images/{image}") >= 3 for image in images)
    assert client.get("/compare?ids=x", headers=PAGE).status_code == 400


def test_nobody_sees_the_comparison_of_another_tenant(client: FlaskClient, keys: Held) -> None:
    mine = client.post("/v1/compare", json={"prompt": "a"}, headers=keys.bearer("both")).get_json()
    foreign = keys.bearer("foreign")
    assert client.get(mine["links"]["self"], headers=foreign).status_code == 404
    job = client.get(mine["links"]["job"], headers=keys.bearer("both")).get_json()
    beside = client.get(f"/compare?ids={job['requests'][0]['id']}", headers={**PAGE, **foreign}).text
    assert "None of these requests is there" in beside
