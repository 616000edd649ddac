"""The images that a claimed request begins with, from the store: a source, or what a kind of its own is made of."""

from __future__ import annotations

import uuid

from PIL import Image
from sqlalchemy import select

from core.database import transaction
from core.errors import BadFamily
from core.families import Family
from core.images import ImageStore
from core.kinds import FUSION, RESTORATION, TRANSLATION
from core.operators import Operator, operator_of
from core.pictures import fitted, mask_of, on_white, read_picture
from core.tables import InputImage, Request
from workers.engine.request import Source
from workers.kinds.fusion import Fusion
from workers.kinds.own import OwnKind
from workers.kinds.restoration import Restoration
from workers.kinds.translation import Translation


def begun_with(request: Request, store: ImageStore, family: Family) -> tuple[Source | None, OwnKind | None]:
    """Source and kind of the engine's request, one of them at most; neither where it begins with noise alone.

    Raises:
        NotFound: a file is gone or damaged.
        StoreDown: the store does not answer.
    """
    pictures = pictures_of(request, store)
    if request.own_kind == RESTORATION:
        measured = on_white(pictures["source_id"])
        return None, Restoration(measurement_of(request, pictures.get("mask_id")), measured)
    size = (request.width, request.height)
    if request.own_kind == FUSION:
        visible, infrared = (fitted(on_white(pictures[name]), size) for name in ("source_id", "second_id"))
        return None, Fusion(visible, infrared)
    if request.own_kind == TRANSLATION:
        if family.bridge is None:
            raise BadFamily(f"Family {family.id} has no bridge any more: name it in its file.", field="bridge")
        return None, Translation(fitted(on_white(pictures["source_id"]), size), family.bridge.location)
    if not pictures:
        return None, None
    mask = pictures.get("mask_id")
    hole = None if mask is None else fitted(mask_of(mask, "mask"), size, sharp=True)
    return Source(fitted(on_white(pictures["source_id"]), size), request.strength or 1.0, hole), None


def measurement_of(request: Request, mask: Image.Image | None) -> Operator:
    """What the image of a restoration went through."""
    return operator_of(request.operator or {}, None if mask is None else mask_of(mask, "mask"))


def pictures_of(request: Request, store: ImageStore) -> dict[str, Image.Image]:
    """Each picture that the request names, by the column that does; raises as `begun_with`."""
    named = {name: getattr(request, name) for name in ("source_id", "mask_id", "second_id")}
    return _read({name: id for name, id in named.items() if id is not None}, store)


def _read(wanted: dict[str, uuid.UUID], store: ImageStore) -> dict[str, Image.Image]:
    if not wanted:
        return {}
    with transaction() as session:
        found = session.scalars(select(InputImage).where(InputImage.id.in_(wanted.values())))
        rows = {row.id: (row.key, row.sha256) for row in found}
    return {name: read_picture(store.get(*rows[id]), "image") for name, id in wanted.items()}
