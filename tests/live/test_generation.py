"""From an accepted row to a stored image, through real messages and real workers."""

from core.families import load_family
from core.images import ImageStore
from core.tables import Attempt, Image
from live.conftest import Stack


def test_an_accepted_job_becomes_images_with_timings(stack: Stack):
    stack.start("scheduler", "scheduler.boot")
    stack.start_worker()
    job = stack.submit(6)
    stack.publish(job)
    stack.wait_done(job)
    for request in stack.requests(job):
        assert request.level in load_family(str(stack.family_file)).levels
        assert request.accepted_at <= request.routed_at <= request.started_at <= request.denoised_at <= request.stored_at
        assert request.note
    attempts = stack.rows(Attempt)
    assert [attempt.outcome for attempt in attempts] == ["done"] * 6
    assert all(attempt.denoise_s > 0 and attempt.steps_run > 0 for attempt in attempts)
    images = stack.rows(Image)
    assert len({image.request_id for image in images}) == 6
    assert ImageStore().get(images[0].key).startswith(b"\x89PNG")
