"""The form: what levels cost in words, what a draft would make before it is sent, the prompts of before."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from app.schemas.levels import LevelOut, MeasuredOut
from app.web import levels
from core.database import transaction
from core.tables import Job, Plan, Request
from tests.app.conftest import rows
from tests.app.web.conftest import PAGE, Submit, token, words


def preview(client: FlaskClient, **fields: Any) -> str:
    answer = client.post("/preview", data={"size": "64x64", **fields}, headers=PAGE)
    assert answer.status_code == 200
    return words(answer.text)


@pytest.mark.usefixtures("measured")
def test_the_form_says_what_each_level_costs_and_loses(client: FlaskClient) -> None:
    page = words(client.get("/", headers=PAGE).text)
    assert "the exact model, all steps: about 4.0 s; what all others are measured against" in page
    assert "cached latent, 15 of 20 steps: about 1.0 s less, loses about 2.0 % of likeness to the prompt" in page
    assert "about 2.0 s less, loses about 10 % of likeness to the prompt" in page


def test_the_form_offers_the_modes_that_run_the_family_s_model_and_sends_the_chosen_one(client: FlaskClient) -> None:
    modes = client.get("/v1/levels").json["parallel"]
    page = client.get("/?parallel=asyncdiff", headers=PAGE).text
    offered = re.search(r'<select id="parallel".*?</select>', page, re.DOTALL)
    assert offered
    assert re.findall(r'value="(\w*)"', offered[0]) == ["", "off", *modes]
    assert 'value="asyncdiff" selected' in offered[0]
    assert ("asyncdiff" in modes, "ulysses" in modes) == (True, False)
    sent = {"argus_token": token(client), "prompts": "a red fox", "size": "64x64", "level": "exact"}
    assert client.post("/", data={**sent, "parallel": "asyncdiff"}, headers=PAGE).status_code == 303
    with transaction() as session:
        assert session.scalars(select(Request.parallel)).all() == ["asyncdiff"]
    refused = client.post("/", data={**sent, "parallel": "ulysses"}, headers=PAGE)
    assert (refused.status_code, "ulysses" in refused.text) == (400, True)


def test_a_level_that_nobody_measured_says_so(client: FlaskClient) -> None:
    assert words(client.get("/", headers=PAGE).text).count(levels.NOT_MEASURED) == 3


def test_levels_that_auto_never_takes_are_folded_until_one_is_chosen(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = [
        levels.Choice("exact", "exact", "all steps", "4 s", False),
        levels.Choice("fs-10", "fs", "few", "2 s", True),
    ]
    monkeypatch.setattr("app.web.submit.choices", lambda _: offered)
    page = client.get("/", headers=PAGE).text
    folded = re.search(r'<details class="more"><summary>1 more level, by name alone.*?</details>', page, re.DOTALL)
    assert folded
    assert ('value="fs-10"' in folded[0], 'value="exact"' in folded[0]) == (True, False)
    chosen = client.post("/", data={"argus_token": token(client), "level": "fs-10"}, headers=PAGE).text
    assert '<details class="more" open><summary>1 more level' in chosen
    monkeypatch.setattr("app.web.submit.choices", lambda _: offered[:1])
    assert "by name alone" not in client.get("/", headers=PAGE).text


def test_words_follow_what_was_measured_on_the_slowest_device() -> None:
    def level(reference: bool = False, **measured: tuple[float, float]) -> LevelOut:
        costs = {name: MeasuredOut(requests_per_minute=1, latency_s=s, quality=q) for name, (s, q) in measured.items()}
        shape = {"id": "x", "strategy": "fs", "model": "m", "queue": "q", "steps": 1, "steps_skipped": 0}
        return LevelOut(**shape, reference=reference, measured=costs)

    exact = level(True, fast=(1.0, 1.0), slow=(10.0, 1.0))
    assert levels.words(level(fast=(0.5, 0.9), slow=(7.0, 0.9)), exact).startswith("about 3.0 s less")
    assert levels.words(level(slow=(12.0, 1.0)), exact) == "about 2.0 s more, loses nothing that was measured"
    assert levels.words(level(slow=(9.9, 1.2)), exact) == "takes as long, loses nothing that was measured"
    assert levels.words(level(), exact) == levels.NOT_MEASURED
    assert levels.words(level(slow=(3.0, 0.9)), None) == "about 3.0 s, loses about 10 % of likeness to the prompt"


@pytest.mark.usefixtures("measured")
def test_a_draft_says_how_many_images_and_how_long_they_take(client: FlaskClient, submit: Submit) -> None:
    assert (
        preview(client, prompts="a cat\na dog", n="5")
        == "10 images of 2 prompts. Done in about 20.0 s : nothing waits."
    )
    assert "about 4.0 s" in preview(client, prompts="a cat")  # one alone takes its latency, whatever throughput is
    assert "about 2.0 s" in preview(client, prompts="a cat", level="fs-10")
    submit(prompt="a bird", n=9)
    assert "20.0 s at most: 9 requests are open before." in preview(client, prompts="a cat")


@pytest.mark.usefixtures("measured")
def test_a_device_that_is_slower_than_its_profile_is_told_so(client: FlaskClient) -> None:
    slower = {"cpu": {"factors": {"large": 3.0}, "p90_ratios": {}, "overhead_s": {}, "fetch_s": None}}
    about = {"policy": "argus", "status": "optimal", "reason": "r", "seconds": 0.1, "decided": {}}
    with transaction() as session:
        session.add(Plan(**about, family="paper", in_force=True, observed={"corrections": slower}))
    assert "about 12.0 s" in preview(client, prompts="a cat")


@pytest.mark.usefixtures("measured")
def test_what_is_drawn_later_is_not_waited_for(client: FlaskClient, submit: Submit) -> None:
    submit(prompt="a bird", n=50, service_class="batch")
    submit(prompt="a bird", n=4)
    assert "about 10.0 s at most: 4 requests are open before." in preview(client, prompts="a cat")
    assert "about 1 min 50 s at most: 54 requests" in preview(client, prompts="a cat", service_class="batch")
    audit = submit(prompt="a bird", n=30, service_class="batch")
    with transaction() as session:
        session.execute(update(Job).where(Job.id == uuid.UUID(audit["id"])).values(source="audit"))
    assert "54 requests" in preview(client, prompts="a cat", service_class="batch")


@pytest.mark.usefixtures("measured")
def test_each_that_waits_takes_what_its_own_level_steps_and_size_do(client: FlaskClient, submit: Submit) -> None:
    submit(prompt="a bird", n=6, level="fs-10")
    assert "about 8.0 s : 6 requests" in preview(client, prompts="a cat", level="exact")
    assert "about 7.0 s : 6 requests" in preview(client, prompts="a cat", level="fs-10")
    submit(prompt="a bird", n=4, level="exact", steps=40, width=128, height=64)
    assert "about 40.0 s : 10 requests" in preview(client, prompts="a cat", level="exact")


@pytest.mark.usefixtures("measured")
def test_a_draft_takes_what_its_own_steps_size_and_image_do(client: FlaskClient) -> None:
    assert "about 16.0 s" in preview(client, prompts="a cat", steps="40", size="128x64")
    begun = {"image_file": "[object File]", "strength": "0.5"}
    assert "about 2.0 s" in preview(client, prompts="a cat", **begun)
    restored = preview(client, prompts="a cat", image_file="[object File]", becomes="blur", strength="0.5")
    assert "about 32.0 s" in restored
    assert "strength" in preview(client, prompts="a cat", image_file="[object File]", strength="7")


def test_a_draft_says_when_nobody_could_draw_it(client: FlaskClient) -> None:
    assert "No worker is ready" in preview(client, prompts="a cat")


def test_a_draft_shows_what_choices_could_make_and_stores_nothing(client: FlaskClient) -> None:
    shown = preview(client, prompts="a {red|green} (big:1.2) apple", seed="3")
    assert "a red (big:1.2) apple" in shown or "a green (big:1.2) apple" in shown
    assert "Weights such as (a:1.2) change nothing here" in shown
    assert rows() == (0, 0)


def test_a_draft_says_what_is_wrong_with_it(client: FlaskClient) -> None:
    assert "outside 1 to 50" in preview(client, prompts="a", steps="99")
    assert "is no size of family paper" in preview(client, prompts="a", size="1x1")
    assert preview(client, prompts=" \n ") == ""


def test_the_history_has_the_clients_own_prompts_as_they_were_written(client: FlaskClient, submit: Submit) -> None:
    assert "Nothing yet" in client.get("/history").text
    submit(prompts=["a {red|green} apple", "a cat"])
    submit(prompts=["a cat", "a <b>dog</b>"])
    shown = words(client.get("/history").text)
    assert shown == "a cat a &lt;b&gt;dog&lt;/b&gt; a {red|green} apple"
    assert "Nothing yet" in client.get("/history", environ_base={"REMOTE_ADDR": "10.1.1.1"}).text
