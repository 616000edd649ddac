"""`/sdapi/v1/options`: the checkpoint that a client chose stays chosen for that client; nothing else can be changed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.access import needs
from app.clients import client_of
from app.compat.a1111.blueprint import REFUSED, blueprint
from app.compat.a1111.checkpoints import checkpoint, level_named
from app.compat.a1111.schemas import OptionsIn
from app.compat.a1111.settings import CHECKPOINT, SHOWN, refuse_settings
from app.submission import AUTO
from core.client_tables import ClientCheckpoint
from core.database import transaction
from core.errors import UnknownLevel
from core.families import Family, load_family
from core.keys import Scope
from core.settings import settings

SCHEMA: dict[str, Any] = {"type": "object", "properties": {CHECKPOINT: {"type": "string"}}}
OPTIONS: dict[Any, Any] = {
    200: {"description": "The options in force", "content": {"application/json": {"schema": SCHEMA}}}
}


def chosen_level(session: Session, family: Family) -> str:
    """The level that this client chose, else `auto`; also where the family in force does not have it any more."""
    found = session.get(ClientCheckpoint, client_of())
    return found.level if found is not None and found.level in family.levels else AUTO


@blueprint.get("/options")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.doc(responses=OPTIONS)
def read_options() -> dict[str, Any]:
    """Read options

    `sd_model_checkpoint` is what this client chose, else the family's id: Argus chooses the level.
    """
    return _options()


@blueprint.post("/options")
@needs(Scope.SUBMIT)
@blueprint.input(OptionsIn, arg_name="wanted", example={CHECKPOINT: "exact"})
@blueprint.doc(responses=OPTIONS | REFUSED)
def write_options(wanted: OptionsIn) -> dict[str, Any]:
    """Choose a checkpoint

    `sd_model_checkpoint` names a level, or the family; it is kept for this client (its address) and holds for its next
    calls. Options about files and pages are taken and mean nothing; those that would change images are refused by name.
    """
    refuse_settings(wanted.model_extra or {})
    if wanted.sd_model_checkpoint is not None:
        _choose(level_named(wanted.sd_model_checkpoint, load_family(settings().family)))
    return _options()


def _choose(level: str) -> None:
    try:
        kept = level if level == AUTO else load_family(settings().family).level(level).id
    except UnknownLevel as error:
        error.field = CHECKPOINT
        raise
    row = insert(ClientCheckpoint).values(client=client_of(), level=kept)
    with transaction() as session:
        session.execute(
            row.on_conflict_do_update(index_elements=["client"], set_={"level": kept, "chosen_at": func.now()})
        )


def _options() -> dict[str, Any]:
    family = load_family(settings().family)
    with transaction() as session:
        level = chosen_level(session, family)
    chosen = checkpoint(family.id if level == AUTO else level, family)
    return {CHECKPOINT: chosen.title, "sd_checkpoint_hash": chosen.sha256 or "", **SHOWN}
