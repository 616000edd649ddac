"""The quality worker: scores every stored image against its prompt, and what it began with, from a queue of its own.

::

    python -m workers.scoring.worker [--name quality@host]

The scorer is loaded once; what arrives while one batch is scored goes into the next. A score is written once for each
image and scorer, so a second message changes nothing. It shares the CPU with generation and has no deadline, so it
runs at a lower priority of the operating system.
"""

from __future__ import annotations

import argparse
import io
import os
import socket
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Float, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID, insert

from core.batching import Batcher
from core.celery import celery_app, publish
from core.celery_worker import serve
from core.database import transaction
from core.errors import ArgusError, NotFound
from core.families import load_family
from core.images import ImageStore
from core.log import set_up_logging
from core.messages import QUALITY_QUEUE, ROUTER_QUEUE, Escalate, ScoreImage
from core.niceness import give_way
from core.receiving import receive
from core.settings import settings
from core.tables import Fidelity, Image, Request, Score
from scheduler.policies import policy_class
from workers.scoring.fidelity import fidelity_of

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from workers.scoring import Scorer

log = structlog.get_logger(__name__)
BATCH = 16
SCORED = text(
    """
UPDATE request r SET scored_at = now(), score = newest.value FROM (
    SELECT DISTINCT ON (i.request_id) i.request_id, v.value FROM image i JOIN unnest(:images, :scores) AS v(id, value)
    ON v.id = i.id ORDER BY i.request_id, i.created_at DESC
) newest WHERE r.id = newest.request_id RETURNING r.id, r.min_quality
"""
)


@dataclass(frozen=True)
class Unscored:
    """An image that this scorer has not scored yet."""

    image_id: uuid.UUID
    key: str
    request: Request


class ImageScoring:
    """Scores images by id, in batches."""

    def __init__(self, scorer: Scorer, images: ImageStore) -> None:
        self.scorer = scorer
        self.images = images

    def score(self, image_ids: Sequence[uuid.UUID]) -> None:
        """Read, score, record; images already scored or gone are passed over."""
        known = [(unscored, self._picture(unscored)) for unscored in self._unscored(image_ids)]
        batch = [(unscored, picture) for unscored, picture in known if picture is not None]
        if not batch:
            return
        read = [(unscored, picture) for unscored, picture in batch if unscored.request.prompt]
        values = self.scorer.score([picture for _, picture in read], [each.request.prompt for each, _ in read])
        scores = {each.image_id: float(value) for (each, _), value in zip(read, values, strict=True)}
        fidelity = {each.image_id: self._fidelity(each, picture) for each, picture in batch}
        self._record({each.image_id: scores.get(each.image_id) for each, _ in batch}, fidelity)

    def _unscored(self, image_ids: Sequence[uuid.UUID]) -> list[Unscored]:
        scored = select(Score.id).where(Score.image_id == Image.id, Score.scorer == self.scorer.name).exists()
        query = select(Image.id, Image.key, Request).join(Request)
        with transaction() as session:
            rows = [Unscored(*row) for row in session.execute(query.where(Image.id.in_(image_ids), ~scored))]
            session.expunge_all()
            return rows

    def _fidelity(self, unscored: Unscored, picture: Picture) -> dict[str, float]:
        """How it keeps to what it began with; nothing where that is gone, or cannot be measured."""
        try:
            return fidelity_of(unscored.request, picture, self.images, self.scorer)
        except (ArgusError, KeyError, ValueError) as error:
            log.warning("image cannot be compared", image=str(unscored.image_id), error=str(error))
            return {}

    def _picture(self, unscored: Unscored) -> Picture | None:
        from PIL import Image as Pillow

        try:
            picture = Pillow.open(io.BytesIO(self.images.get(unscored.key)))
            picture.load()
            return picture.convert("RGB")
        except (NotFound, OSError) as error:
            log.warning("image cannot be scored", image=str(unscored.image_id), error=str(error))
            return None

    def _record(self, values: dict[uuid.UUID, float | None], fidelity: dict[uuid.UUID, dict[str, float]]) -> None:
        """Scores by image, none of those without a prompt, and what else was measured of them."""
        told = {"scorer": self.scorer.name}
        rows = [{"id": uuid.uuid4(), "image_id": i, "value": v, **told} for i, v in values.items() if v is not None]
        measures = [
            {"image_id": i, "measure": name, "value": value}
            for i, found in fidelity.items()
            for name, value in found.items()
        ]
        scored = SCORED.bindparams(
            bindparam("images", list(values), type_=ARRAY(UUID())),
            bindparam("scores", list(values.values()), type_=ARRAY(Float())),
        )
        with transaction() as session:
            for table, found in ((Score, rows), (Fidelity, measures)):
                if found:
                    session.execute(insert(table).values(found).on_conflict_do_nothing())
            asked = session.execute(scored).all()
        everyone = policy_class(settings().policy).reviews_all
        publish(ROUTER_QUEUE, [Escalate(str(request)) for request, floor in asked if floor or everyone])


def main(argv: list[str] | None = None) -> int:
    """Score until told to stop; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workers.scoring.worker", description="The quality worker.")
    parser.add_argument("--name", default=f"quality@{socket.gethostname()}", help="Celery node name")
    asked = parser.parse_args(argv)
    set_up_logging()
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
    give_way()
    try:
        return run(asked.name)
    except ArgusError as error:
        log.error(error.message, code=error.code)
        return 1


def run(name: str) -> int:
    """Load the scorer, then serve its queue."""
    import torch

    from workers.scoring import load_scorer

    torch.set_num_threads(1)
    scoring = ImageScoring(load_scorer(load_family(settings().family)), ImageStore())
    batcher = Batcher("score", scoring.score, BATCH)
    app = celery_app()

    receive(app, ScoreImage, lambda image_id: batcher.do(uuid.UUID(image_id)))
    return serve(app, name, [QUALITY_QUEUE], 2 * BATCH)


if __name__ == "__main__":
    sys.exit(main())
