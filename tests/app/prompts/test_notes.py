"""What other programs act upon and Argus reads as text is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.prompts.notes import notes


@pytest.mark.parametrize("prompt", ["a (red:1.2) fox", "(fox: .5)", "a fox <lora:detail:1>", "<LoRA:x>"])
def test_weights_and_networks_are_told_of(prompt: str) -> None:
    assert len(notes(prompt, "")) == len(notes("", prompt)) == 1


@pytest.mark.parametrize("prompt", ["a (red) fox", "at 10:30 (noon)", "1 < 2 > 0", "(see: here)", "(((fox)))"])
def test_other_brackets_are_not(prompt: str) -> None:
    assert notes(prompt, "") == []


def test_request_and_page_say_it(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> None:
    row = submit(prompt="a (red:1.2) fox")["requests"][0]
    request = client.get(row["link"]).get_json()
    assert request["prompt"] == "a (red:1.2) fox"
    assert "read as they are written" in request["notes"][0]
    assert "read as they are written" in client.get(request["links"]["page"]).text
