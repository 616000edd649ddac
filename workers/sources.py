"""The image that a claimed request begins with, from the store."""

from __future__ import annotations

from sqlalchemy import select

from core.database import transaction
from core.images import ImageStore
from core.pictures import fitted, mask_of, on_white, read_picture
from core.tables import InputImage, Request
from workers.engine.request import Source


def source_of(request: Request, store: ImageStore) -> Source | None:
    """As large as the request; None where it begins with noise.

    Raises:
        NotFound: its file is gone or damaged.
        StoreDown: the store does not answer.
    """
    if request.source_id is None:
        return None
    wanted = [id for id in (request.source_id, request.mask_id) if id is not None]
    with transaction() as session:
        rows = {row.id: row for row in session.scalars(select(InputImage).where(InputImage.id.in_(wanted)))}
    pictures = [read_picture(store.get(rows[id].key, rows[id].sha256), "image") for id in wanted]
    size = (request.width, request.height)
    mask = fitted(mask_of(pictures[1], "mask"), size, sharp=True) if request.mask_id else None
    return Source(fitted(on_white(pictures[0]), size), request.strength or 1.0, mask)
