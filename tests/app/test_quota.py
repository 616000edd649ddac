"""What a tenant may take: images a day, submissions a minute."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from app.keyring import KEYRING
from core.database import transaction
from core.tenant_tables import Tenant, TenantDay
from tests.app.conftest import Held, code_and_field, rows


@pytest.fixture
def bound(keys: Held) -> Iterator[Any]:
    """Bound what our tenant may take."""

    def bind(**bounds: Any) -> None:
        with transaction() as session:
            session.execute(update(Tenant).where(Tenant.name == "ours").values(**bounds))
        KEYRING.forget()

    yield bind
    KEYRING.forget()


def send(client: FlaskClient, headers: dict[str, str], n: int = 1) -> Any:
    return client.post("/v1/jobs", json={"prompt": "a fox", "n": n}, headers=headers)


def taken() -> int:
    with transaction() as session:
        return session.scalar(select(TenantDay.images).where(TenantDay.tenant == "ours")) or 0


def test_a_tenant_gets_as_many_images_a_day_as_it_may_and_is_told_what_is_left(
    client: FlaskClient, keys: Held, bound: Any
) -> None:
    bound(daily_images=5)
    first = send(client, keys.bearer("both"), 3)
    assert (first.headers["X-Quota-Limit"], first.headers["X-Quota-Remaining"]) == ("5", "2")
    over = send(client, keys.bearer("submit"), 3)  # another key of the same tenant
    assert code_and_field(over) == (429, "over_quota", None)
    assert 0 < int(over.headers["Retry-After"]) <= 86_400
    assert over.headers["X-Quota-Remaining"] == "2"
    assert send(client, keys.bearer("both"), 2).status_code == 202
    assert send(client, keys.bearer("foreign"), 5).status_code == 202
    assert (taken(), rows()) == (5, (3, 10))


def test_a_job_over_the_whole_day_s_quota_is_too_large(client: FlaskClient, keys: Held, bound: Any) -> None:
    bound(daily_images=5)
    assert code_and_field(send(client, keys.bearer("both"), 6)) == (413, "too_large", "prompts")
    assert taken() == 0


def test_what_is_not_accepted_does_not_count(client: FlaskClient, keys: Held, bound: Any) -> None:
    bound(daily_images=5)
    assert client.post("/v1/jobs", json={"prompt": ""}, headers=keys.bearer("both")).status_code == 422
    once = {**keys.bearer("both"), "Idempotency-Key": "once"}
    assert [send(client, once).status_code for _ in range(3)] == [202] * 3
    assert taken() == 1


def test_many_who_submit_at_once_get_no_image_more(client: FlaskClient, keys: Held, bound: Any) -> None:
    bound(daily_images=10)

    def one(_: int) -> int:
        return send(client.application.test_client(), keys.bearer("both"), 3).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(one, range(8)))
    assert sorted(statuses) == [202] * 3 + [429] * 5
    assert (taken(), rows()) == (9, (3, 9))


def test_a_tenant_without_a_quota_has_no_row_to_wait_for(client: FlaskClient, keys: Held) -> None:
    assert "X-Quota-Limit" not in send(client, keys.bearer("both")).headers
    assert taken() == 0


def test_a_tenant_s_rate_is_each_of_its_keys(client: FlaskClient, keys: Held, bound: Any) -> None:
    bound(rate="2/minute")
    statuses = [send(client, keys.bearer("both")) for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [202, 202, 429]
    assert statuses[0].headers["X-RateLimit-Remaining"] == "1"
    assert int(statuses[2].headers["Retry-After"]) <= 60
    assert code_and_field(statuses[2])[1] == "too_often"
    assert send(client, keys.bearer("submit")).status_code == 202
    assert [send(client, keys.bearer("foreign")).status_code for _ in range(3)] == [202] * 3
