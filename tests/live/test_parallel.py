"""Requests that name a parallel mode, from the queue to the record: the worker's engine and PostgreSQL are real."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
from PIL import Image as Pillow

from core.images import ImageStore
from core.tables import State
from tests.live.site import Site


def drawn(site: Site, **columns: Any) -> uuid.UUID:
    request = site.submit(steps=12, **columns)
    site.generation.generate(request, 0)
    assert site.row(request).state == State.DONE
    return request


def text_of(site: Site, request: uuid.UUID) -> dict[str, str]:
    return dict(Pillow.open(io.BytesIO(ImageStore().get(site.image(request).key))).text)


def test_parataa_is_drawn_and_recorded_in_fewer_turns_than_steps(site: Site):
    request = drawn(site, parallel="parataa", level_asked="exact")
    (attempt,) = site.attempts(request)
    told = dict(attempt.parallel)
    assert 1 < told.pop("turns") < 12
    assert told == {"mode": "parataa", "ranks": 1, "warm_up": 0, "fall_back": None}
    assert (attempt.steps_run, site.row(request).note) == (12, None)
    assert text_of(site, request)["parallel"] == "parataa"


@pytest.mark.parametrize("asked", ["off", "auto"])
def test_without_a_mode_nothing_is_said_of_one(site: Site, asked: str):
    request = drawn(site, parallel=asked)
    assert site.attempts(request)[0].parallel is None
    assert "parallel" not in text_of(site, request)


def test_a_mode_that_nobody_can_join_is_drawn_in_serial_steps_and_the_request_says_why(site: Site):
    request, serial = drawn(site, parallel="distrifusion"), drawn(site)
    told = site.attempts(request)[0].parallel
    assert (told["turns"], told["fall_back"]) == (0, "no other worker of this host could join")
    assert "serial steps instead of distrifusion" in site.row(request).note
    pixels = [Pillow.open(io.BytesIO(ImageStore().get(site.image(one).key))).tobytes() for one in (request, serial)]
    assert pixels[0] == pixels[1]
