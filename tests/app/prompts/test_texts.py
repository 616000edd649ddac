"""Choices in submitted prompts: the seed decides, and what was written is kept beside what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.prompts.reading import read
from app.prompts.texts import PromptText
from core.errors import BadPrompt
from tests.app.conftest import code_and_field, configured, rows

PROMPT = "a {red|green|blue|white|black} {fox|cat|dog}"


def test_each_seed_draws_its_own_and_both_texts_are_kept(
    client: FlaskClient, submit: Callable[..., dict[str, Any]]
) -> None:
    job = submit(prompt=PROMPT, negative_prompt="{blur|noise}", seed=1, n=20)
    requests = [client.get(row["link"]).get_json() for row in job["requests"]]
    assert {request["prompt_asked"] for request in requests} == {PROMPT}
    assert {request["negative_prompt_asked"] for request in requests} == {"{blur|noise}"}
    assert len({request["prompt"] for request in requests}) > 5
    again = submit(prompt=PROMPT, negative_prompt="{blur|noise}", seed=1, n=20)["requests"]
    for request, row in zip(requests, again, strict=True):
        other = client.get(row["link"]).get_json()
        assert (other["prompt"], other["negative_prompt"]) == (request["prompt"], request["negative_prompt"])
    page = client.get(requests[0]["links"]["page"]).text
    assert PROMPT in page
    assert requests[0]["prompt"] in page


def test_a_plain_prompt_has_nothing_beside_it(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> None:
    request = client.get(submit(prompt="a {red} fox")["requests"][0]["link"]).get_json()
    assert (request["prompt"], request["prompt_asked"]) == ("a {red} fox", None)


def test_literal_prompts_are_taken_as_they_are(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> None:
    job = submit(prompts=[PROMPT, {"prompt": PROMPT, "literal": "no"}], literal=True)
    first, second = (client.get(row["link"]).get_json() for row in job["requests"])
    assert (first["prompt"], first["prompt_asked"]) == (PROMPT, None)
    assert second["prompt_asked"] == PROMPT


def test_comments_are_left_out_of_prompts_of_several_lines_with_choices(submit: Callable[..., dict[str, Any]]) -> None:
    written = "# my fox\na {red\n # | green   # not today\n|red} fox #1, #ff0000 # really"
    assert PromptText.of(written, "prompt", 200).drawn(1)[0] == "a red fox #1, #ff0000"
    for plain in ("# A fox\nin {red} # snow", "# {a|a} fox", '{"subject":\n "a # b|c"}'):
        assert PromptText.of(plain, "prompt", 200).drawn(1)[0] == " ".join(plain.replace("{a|a}", "a").split())


def test_what_is_written_may_be_longer_than_what_is_drawn(submit: Callable[..., dict[str, Any]]) -> None:
    submit(prompt="{" + "|".join(f"thing number {number}" for number in range(50)) + "}")


def test_faults_name_the_field_and_nothing_is_stored(client: FlaskClient, tmp_path: Path) -> None:
    def send(**body: Any) -> tuple[int, str, str | None]:
        return code_and_field(client.post("/v1/jobs", json=body))

    with configured(ARGUS_WILDCARDS=str(tmp_path), ARGUS_FAMILY=str(_family(client))):
        assert send(prompts=["a", "__cats__"]) == (422, "bad_prompt", "prompts.1.prompt")
        assert send(prompt="a", negative_prompt="__cats__") == (422, "bad_prompt", "negative_prompt")
        (tmp_path / "cats.txt").write_text("x" * 101)
        assert send(prompt="__cats__") == (422, "bad_prompt", "prompt")
        (tmp_path / "cats.txt").write_text("a\x07b")
        assert send(prompt="__cats__") == (422, "bad_prompt", "prompt")
        assert send(prompt="{a|" * 20 + "}" * 20) == (422, "bad_prompt", "prompt")
        assert send(prompt="a", literal="perhaps") == (400, "bad_input", "literal")
    assert rows() == (0, 0)


def _family(_client: FlaskClient) -> Path:
    from core.settings import settings

    return Path(settings().family)


def test_a_text_that_is_too_long_is_not_kept_in_memory() -> None:
    read.cache_clear()
    for text in ("a" * 5000, "a " * 4000, "{a|b}" * 5000):
        with pytest.raises(BadPrompt, match="characters; at most"):
            PromptText.of(text, "prompt", 100)
    assert read.cache_info().currsize == 0
