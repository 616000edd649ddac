"""One POST: signed, bounded in time and size, following nobody."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from core.webhooks.addresses import target_of
from core.webhooks.sending import ANSWER_BYTES, post, signed
from tests.app.conftest import configured
from tests.core.webhooks.receivers import nobody, receiving, silent

SECRETS = ["whsec_" + "QUFB" * 8, "whsec_" + "QkJC" * 8]


@pytest.fixture(autouse=True)
def allowed() -> Iterator[None]:
    with configured(ARGUS_WEBHOOK_PRIVATE="127.0.0.0/8"):
        yield


def test_receivers_verify_what_is_sent_with_either_secret() -> None:
    with receiving() as receiver:
        answer = post(target_of(receiver.url), signed("msg_1", '{"é":1}', SECRETS), '{"é":1}')
    ((headers, body),) = receiver.heard
    assert answer.taken
    assert headers["Content-Type"] == "application/json"
    for secret in SECRETS:
        assert Webhook(secret).verify(body, headers) == {"é": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[0]).verify(body + " ", headers)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_answers_and_are_not_followed(status: int) -> None:
    with receiving() as other, receiving(status=status, location=other.url) as receiver:
        answer = post(target_of(receiver.url), {}, "{}")
    assert (answer.status, answer.taken, other.heard) == (status, False, [])


def test_of_a_long_answer_the_beginning_is_read() -> None:
    with receiving(status=200, text="x" * 5_000_000) as receiver:
        answer = post(target_of(receiver.url), {}, "{}")
    assert (answer.status, answer.text) == (200, "x" * ANSWER_BYTES)


@pytest.mark.parametrize("drip", [False, True])
def test_a_server_that_is_slow_or_sends_byte_by_byte_is_cut_off(drip: bool) -> None:
    with receiving(wait_s=0.0 if drip else 60.0, drip=drip) as receiver:
        began = time.monotonic()
        answer = post(target_of(receiver.url), {}, "{}", whole_s=0.5)
    assert (answer.status, answer.error) == (None, "no answer within 0.5 s")
    assert time.monotonic() - began < 30


def test_who_is_silent_or_not_there_is_an_error_and_nothing_raises() -> None:
    with silent() as url:
        assert post(target_of(url), {}, "{}", whole_s=0.3).error == "no answer within 0.3 s"
    refused = post(target_of(nobody()), {}, "{}")
    assert refused.status is None
    assert "refused" in str(refused.error)
