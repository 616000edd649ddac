"""Requests of kinds with samplers of their own, from the queue to what is measured of them: all parts are real."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
from PIL import Image as Pillow
from sqlalchemy import select, text

from core.database import transaction
from core.families import load_family
from core.images import ImageStore
from core.operators import Down
from core.tables import Fidelity, InputImage, Request, Score, State
from tests.core.test_pictures import halves, saved
from tests.live.site import Site
from workers.pipelines.source import pixels_of
from workers.scoring import load_scorer
from workers.scoring.worker import ImageScoring

DOWN = {"operator": "down", "factor": 2, "noise": 0.01}


def kept(picture: Pillow.Image) -> uuid.UUID:
    """The row of a picture that requests begin with."""
    stored = ImageStore().write(f"inputs/{uuid.uuid4()}.png", saved(picture))
    row = InputImage(id=uuid.uuid4(), key=stored.key, sha256=stored.sha256, bytes=stored.bytes)
    row.width, row.height = picture.size
    with transaction() as session:
        session.add(row)
        session.flush()
        return row.id


def drawn(site: Site, **columns: Any) -> uuid.UUID:
    request = site.submit(steps=4, level_asked="exact", **columns)
    site.generation.generate(request, 0)
    assert site.row(request).state == State.DONE, site.row(request).error
    return request


def scored(site: Site, *requests: uuid.UUID) -> dict[uuid.UUID, dict[str, float]]:
    """What the quality worker measures of each request's image."""
    ImageScoring(load_scorer(load_family("embedded")), ImageStore()).score([site.image(one).id for one in requests])
    with transaction() as session:
        found = session.execute(select(Fidelity.image_id, Fidelity.measure, Fidelity.value)).all()
    of = {site.image(one).id: one for one in requests}
    return {one: {measure: value for image, measure, value in found if of.get(image) == one} for one in requests}


@pytest.fixture
def restored(site: Site) -> uuid.UUID:
    small = kept(halves("RGB", "red", "blue", (16, 16)))
    return drawn(site, source_id=small, own_kind="restoration", operator=DOWN, guidance=1.0, prompt="")


def test_a_restoration_fits_what_was_measured_and_its_misfit_is_kept(site: Site, restored: uuid.UUID):
    plain = drawn(site)
    (attempt,) = site.attempts(restored)
    assert (attempt.steps_run, attempt.parallel, attempt.batch_max) == (4, None, 1)
    measures = scored(site, restored, plain)
    pictures = [Pillow.open(io.BytesIO(ImageStore().get(site.image(one).key))) for one in (restored, plain)]
    assert measures[restored].keys() == {"misfit"}
    with transaction() as session:
        ((kind, level, measure, _),) = session.execute(text("SELECT kind, level, measure, value FROM report_fidelity"))
    assert (kind, level, measure) == ("restoration", "exact", "misfit")
    operator, small = Down(factor=2), halves("RGB", "red", "blue", (16, 16))
    off = [float(operator.misfit(pixels_of(one, one.size), pixels_of(small, small.size))) for one in pictures]
    assert measures[restored]["misfit"] == pytest.approx(off[0], rel=1e-5)
    assert off[0] < 0.2 * off[1], "random weights draw anything else"
    assert measures[plain] == {}, "it began with noise"
    left, right = (pictures[0].getpixel(at) for at in ((4, 16), (27, 16)))
    assert left[0] > left[2] + 100
    assert right[2] > right[0] + 100


def test_an_image_of_no_words_has_no_clip_score_and_is_not_asked_for_again(site: Site, restored: uuid.UUID):
    scored(site, restored)
    with transaction() as session:
        assert session.scalars(select(Score)).all() == []
        row = session.get_one(Request, restored)
        assert (row.score, row.scored_at is not None) == (None, True)


def test_two_pictures_are_fused_and_what_is_kept_of_both_is_measured(site: Site):
    pictures = {
        "source_id": kept(halves("RGB", "red", "blue", (32, 32))),
        "second_id": kept(halves("L", 200, 20, (32, 32))),
    }
    fused = drawn(site, own_kind="fusion", **pictures)
    measures = scored(site, fused)[fused]
    assert measures.keys() == {"entropy", "ssim", "scd"}, "the picture is too small for VIF"
    assert site.attempts(fused)[0].steps_run == 4


def test_what_is_drawn_from_an_image_is_compared_to_it(site: Site):
    source, half = kept(halves("RGB", "red", "blue", (32, 32))), kept(halves("L", 0, 255, (32, 32)))
    far, near = (drawn(site, source_id=source, strength=1.0, mask_id=mask) for mask in (None, half))
    measures = scored(site, near, far)
    assert measures[near].keys() == {"psnr", "ssim", "distance"}
    assert measures[near]["psnr"] > measures[far]["psnr"]
    assert measures[near]["distance"] < measures[far]["distance"]


def test_a_lost_picture_costs_its_comparison_alone(site: Site, restored: uuid.UUID):
    with transaction() as session:
        key = session.get_one(InputImage, site.row(restored).source_id).key
    ImageStore().delete(key)
    assert scored(site, restored) == {restored: {}}
    with transaction() as session:
        assert session.get_one(Request, restored).scored_at is not None
