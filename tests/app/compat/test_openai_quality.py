"""What `model` and `quality` mean: names of OpenAI's, levels, floors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from flask.testing import FlaskClient
from openai import OpenAI

from app.compat.openai import quality
from core.database import transaction
from tests.app.compat.openai_client import openai_client
from tests.app.conftest import configured, draw, rows
from tests.app.test_compat import stored, worker


@pytest.mark.parametrize(
    "model", [None, "auto", "paper", "dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-2.5-flare", "openai/gpt-image-1"]
)
def test_names_of_openai_s_models_leave_the_level_to_argus(api: OpenAI, model: str | None) -> None:
    api.images.generate(prompt="a", model=model)
    assert [row.level_asked for row in stored()] == ["auto"]


def test_models_are_listed_and_answer_to_their_aliases(client: FlaskClient) -> None:
    with configured(ARGUS_MODEL_ALIASES="fast=fs-10,dall-e-*=auto"):
        api = openai_client(client)
        assert [model.id for model in api.models.list()] == ["paper", "exact", "ac-5", "fs-10", "fast"]
        assert api.models.retrieve("dall-e-3").id == "dall-e-3"
        with worker():
            api.images.generate(prompt="a", model="fast")
        assert [row.level_asked for row in stored()] == ["fs-10"]
        with pytest.raises(openai.NotFoundError):
            api.models.retrieve("gpt-image-1")


def test_a_model_that_is_not_here_is_not_found(client: FlaskClient) -> None:
    api = openai_client(client)
    for ask in (lambda: api.models.retrieve("flux"), lambda: api.images.generate(prompt="a", model="flux")):
        with pytest.raises(openai.NotFoundError, match="exact, ac-5, fs-10") as told:
            ask()
        assert (told.value.code, told.value.param) == ("model_not_found", "model")
        assert told.value.request_id
    with configured(ARGUS_MODEL_ALIASES="mine=sd15"), pytest.raises(openai.NotFoundError, match="ARGUS_MODEL_ALIASES"):
        openai_client(client).models.retrieve("mine")
    assert rows() == (0, 0)


def test_an_alias_that_means_nothing_stops_the_start() -> None:
    from core.errors import BadSettings
    from core.settings import load_settings

    with pytest.raises(BadSettings, match="pattern=level"):
        load_settings({"ARGUS_MODEL_ALIASES": "dall-e-3"})


@pytest.mark.parametrize(
    ("asked", "level", "floor"),
    [
        ("high", "exact", None),
        ("hd", "exact", None),
        ("xhigh", "exact", None),
        ("max", "exact", None),
        ("HIGH", "exact", None),
        ("medium", "auto", 0.95),
        ("auto", "auto", None),
        ("standard", "auto", None),
        (None, "auto", None),
        ("low", "auto", None),  # nothing is measured here
    ],
)
def test_words_for_quality_are_levels_and_floors(api: OpenAI, asked: Any, level: str, floor: float | None) -> None:
    answer = api.images.generate(prompt="a", quality=asked)
    assert [(row.level_asked, row.min_quality) for row in stored()] == [(level, floor)]
    assert answer.argus["ignored"] == []  # type: ignore[attr-defined]


def test_low_is_the_cheapest_level_that_was_measured(api: OpenAI, home_profile: None) -> None:
    api.images.generate(prompt="a", quality="low")
    api.images.generate(prompt="b", quality="low", extra_body={"min_quality": 0.9})
    by_prompt = {row.prompt: row.level_asked for row in stored()}
    assert by_prompt == {"a": "fs-10", "b": "ac-5"}


@pytest.fixture
def home_profile(database: Any) -> Iterator[None]:
    """A profile of this family, and a worker of its type of device."""
    import uuid

    from core.tables import Worker

    levels = [("exact", 10, 1.0), ("ac-5", 20, 0.95), ("fs-10", 40, 0.8)]
    path = database.home / "profiles" / "paper" / "cpu.json"
    path.parent.mkdir(parents=True)
    measured = [
        {"id": id, "model": "large", "requests_per_minute": rate, "latency_s": 1, "quality": kept}
        for id, rate, kept in levels
    ]
    path.write_text(json.dumps({"family": "paper", "device": "cpu", "levels": measured}))
    about = {"device": "cpu:0", "device_type": "cpu", "family": "paper", "state": "ready"}
    with transaction() as session:
        session.add(Worker(name="cpu0@here", boot=uuid.uuid4(), models=[], queues=[], stats={}, **about))
    yield
    path.unlink()
    path.parent.rmdir()


def test_a_level_and_a_floor_that_are_named_win_over_words_for_quality(api: OpenAI) -> None:
    level = api.images.generate(prompt="a", model="ac-5", quality="high")
    floor = api.images.generate(prompt="b", quality="medium", extra_body={"min_quality": 0.5})
    assert {(row.prompt, row.level_asked, row.min_quality) for row in stored()} == {
        ("a", "ac-5", None),
        ("b", "auto", 0.5),
    }
    for answer in (level, floor):
        assert answer.argus["ignored"] == ["quality"]  # type: ignore[attr-defined]


def test_the_answer_says_which_quality_the_images_got(client: FlaskClient) -> None:
    with worker(lambda request: draw(request, "ac-5")):
        answer = openai_client(client).images.generate(prompt="a", quality="auto")
    assert answer.quality == "medium"  # predicted 0.97
    assert quality.word_for("ac-5", 0.9, family_of(client)) == "low"
    assert quality.word_for("ac-5", None, family_of(client)) == "low"


def family_of(client: FlaskClient) -> Any:
    from core.families import load_family
    from core.settings import settings

    return load_family(settings().family)
