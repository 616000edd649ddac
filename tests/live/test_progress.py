"""What a worker tells of a request on its way: its engine and PostgreSQL are real, its denoiser waits where told."""

from __future__ import annotations

import io
import time

import pytest
from PIL import Image as Pillow
from sqlalchemy.exc import OperationalError

from core import progress
from core.database import transaction
from core.tables import State
from tests.live.site import PATIENCE_S, Site


def test_steps_are_those_that_the_engine_has_taken(site: Site):
    request = site.submit(previews=1)
    slot = site.begin(request, forwards=5)
    reporter = site.generation.execution.progress
    reporter.write_steps()
    with transaction() as session:
        (row,) = progress.progress_of(session, [request]).values()
    assert (row.step, row.steps) == (4, 40)  # its fifth forward waits
    site.finish(slot)
    assert site.row(request).state == State.DONE


def test_nothing_is_told_of_a_request_that_nobody_watches(site: Site):
    request = site.submit()
    slot = site.begin(request, forwards=5)
    site.generation.execution.progress.write_steps()
    with transaction() as session:
        assert progress.progress_of(session, [request]) == {}
    site.finish(slot)


def test_previews_that_were_asked_for_are_pictures_of_its_size(site: Site):
    request = site.submit(previews=3)
    slot = site.begin(request)
    site.generation.execution.progress.start()
    site.finish(slot)
    end = time.monotonic() + PATIENCE_S
    while len(shown := previews(request)) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    site.generation.execution.progress.stop()
    assert [number for number, _ in shown] == [0, 1, 2]
    assert {Pillow.open(io.BytesIO(image)).size for _, image in shown} == {(32, 32)}
    assert len({image for _, image in shown}) == 3


def previews(request):
    with transaction() as session:
        return [(shown.number, shown.image) for shown in progress.previews_of(session, request)]


def test_a_database_that_takes_no_progress_changes_nothing_for_the_drawing(site: Site, monkeypatch: pytest.MonkeyPatch):
    def away(*_):
        tried.append(True)
        raise OperationalError("INSERT", {}, Exception("away"))

    tried: list[bool] = []
    monkeypatch.setattr(progress, "write_steps", away)
    monkeypatch.setattr(progress, "write_preview", away)
    request = site.submit(previews=2)
    slot = site.begin(request)
    site.generation.execution.progress.start()
    end = time.monotonic() + PATIENCE_S
    while not tried and time.monotonic() < end:
        time.sleep(0.05)
    site.finish(slot)
    site.generation.execution.progress.stop()
    assert tried
    assert site.row(request).state == State.DONE
    assert previews(request) == []
