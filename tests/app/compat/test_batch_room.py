"""Lines of a batch are read as far as there is room for their requests: in all, of a client, of a tenant's day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from sqlalchemy import delete

from app.backlog import BACKLOG
from app.compat.openai.batch import intake
from app.keyring import KEYRING
from core.database import transaction
from core.tables import State
from core.tenant_tables import DEFAULT, Tenant, TenantDay
from tests.app.compat.test_batches import api as api
from tests.app.compat.test_batches import batch_of, call, move_on, requests, told
from tests.app.conftest import configured, draw
from tests.conftest import Services


def test_lines_are_read_as_there_is_room_and_each_once(api: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "CHUNK", 3)
    batch = batch_of(api, *[call(str(number), prompt="a fox") for number in range(8)])
    with configured(ARGUS_MAX_WAITING="4"):
        for _ in range(8):
            BACKLOG._count_at = -1e9  # count again
            move_on()
            waiting = [row for row in requests() if row.state == State.ACCEPTED]
            assert len(waiting) <= 4
            for row in waiting:
                draw(str(row.id))
    assert [row.custom_id for row in requests()] == [str(number) for number in range(8)]
    batch = api.batches.retrieve(batch.id)
    assert batch.status == "completed"
    assert [line["custom_id"] for line in told(api, batch.output_file_id)] == [str(number) for number in range(8)]


@pytest.fixture
def quota(database: Services) -> Iterator[Any]:
    """Bound how many images of the usual tenant are accepted a day."""

    def bind(images: int) -> None:
        with transaction() as session:
            session.merge(Tenant(name=DEFAULT, daily_images=images))
        KEYRING.forget()

    yield bind
    KEYRING.forget()


def test_as_many_lines_are_read_a_day_as_the_tenant_s_quota_has_room_for(api: OpenAI, quota: Any) -> None:
    quota(3)
    batch = batch_of(api, *[call(str(number), prompt="a fox") for number in range(8)])
    for read in (3, 6, 8):
        for _ in range(2):  # the second time nothing is left of the day
            move_on()
            assert [row.custom_id for row in requests()] == [str(number) for number in range(read)]
        with transaction() as session:  # the next day begins
            session.execute(delete(TenantDay))
    assert api.batches.retrieve(batch.id).status == "in_progress"


def test_as_many_lines_are_read_as_may_wait_of_a_client(api: OpenAI) -> None:
    batch_of(api, call("two", prompt="a fox", n=2), call("three", prompt="a fox", n=2), call("one", prompt="a fox"))
    with configured(ARGUS_MAX_WAITING_CLIENT="3"):
        BACKLOG._count_at = -1e9
        move_on()
    assert [row.custom_id for row in requests()] == ["two", "two"]


def test_a_line_that_may_never_be_accepted_is_told_and_the_others_go_on(api: OpenAI, quota: Any) -> None:
    quota(2)
    batch = batch_of(api, call("three", prompt="a fox", n=3), call("two", prompt="a fox", n=2))
    move_on()
    for row in requests():
        draw(str(row.id))
    batch = api.batches.retrieve(batch.id)
    assert [line["custom_id"] for line in told(api, batch.output_file_id)] == ["two"]
    (error,) = told(api, batch.error_file_id)
    assert (error["custom_id"], error["response"]["status_code"]) == ("three", 413)
    assert "3 images at once; at most 2" in error["response"]["body"]["error"]["message"]
