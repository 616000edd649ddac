"""Files of OpenAI's clients go by themselves when that was asked, by its own client."""

from __future__ import annotations

import io
import json

import openai
import pytest
from flask.testing import FlaskClient
from openai import OpenAI
from sqlalchemy import text

from core.database import transaction
from scheduler.control.prune import remove_expired_files
from tests.app.compat import test_batches
from tests.app.compat.test_batches import ADDRESS, Body, call, file_of, move_on, requests
from tests.app.conftest import draw

api = test_batches.api  # its fixture

HOUR: Body = {"anchor": "created_at", "seconds": 3600}


def test_files_expire_when_that_was_asked(api: OpenAI) -> None:
    kept = api.files.create(file=("a.jsonl", b"{}"), purpose="batch")
    file = api.files.create(
        file=("b.jsonl", file_of(call("a", prompt="a"))),
        purpose="batch",
        expires_after=HOUR,  # type: ignore[arg-type]
    )
    assert (kept.expires_at, file.expires_at) == (None, file.created_at + 3600)
    batch = api.batches.create(
        input_file_id=file.id,
        endpoint=ADDRESS,
        completion_window="24h",
        output_expires_after={"anchor": "created_at", "seconds": 7200},
    )
    with transaction() as session:
        session.execute(text("UPDATE stored_file SET expires_at = now() WHERE expires_at IS NOT NULL"))
    with pytest.raises(openai.NotFoundError):
        api.files.retrieve(file.id)
    assert [found.id for found in api.files.list()] == [kept.id]
    assert remove_expired_files() == 0  # the batch is still to be read from it
    move_on()
    assert remove_expired_files() == 1
    draw(str(requests()[0].id))
    output = api.batches.retrieve(batch.id).output_file_id
    assert output
    made = api.files.retrieve(output)
    assert made.expires_at == made.created_at + 7200
    assert remove_expired_files() == 0


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"anchor": "created_at", "seconds": 3599}, "expires_after.seconds"),
        ({"anchor": "created_at", "seconds": 2_592_001}, "expires_after.seconds"),
        ({"anchor": "last_active_at", "seconds": 3600}, "expires_after.anchor"),
        ({"seconds": 3600}, "expires_after.anchor"),
        ({"anchor": "created_at"}, "expires_after.seconds"),
    ],
)
def test_policies_outside_openai_s_types_are_refused(api: OpenAI, policy: Body, field: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        api.files.create(file=("a.jsonl", b"{}"), purpose="batch", expires_after=policy)  # type: ignore[arg-type]
    assert refused.value.param == field
    file = api.files.create(file=("a.jsonl", b"{}"), purpose="batch")
    with pytest.raises(openai.BadRequestError) as refused:
        api.batches.create(
            input_file_id=file.id,
            endpoint=ADDRESS,
            completion_window="24h",
            output_expires_after=policy,  # type: ignore[arg-type]
        )
    assert refused.value.param == f"output_{field}"


@pytest.mark.parametrize(("given", "status"), [(json.dumps(HOUR), 200), ("", 200), ("soon", 400), ("[1]", 400)])
def test_a_form_may_have_the_policy_as_json(client: FlaskClient, given: str, status: int) -> None:
    form = {"purpose": "batch", "expires_after": given, "file": (io.BytesIO(b"{}"), "a.jsonl")}
    answer = client.post("/v1/files", data=form)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert bool(answer.get_json()["expires_at"]) == bool(given)
