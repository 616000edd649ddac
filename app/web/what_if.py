"""What-if, on the dashboard: the last hour with another policy or more workers, simulated beside what was."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import redirect, render_template, request, url_for
from pydantic import BaseModel, Field

from app.access import caller, needs
from app.idempotency import digest_of, first_made
from app.records.plan import workers as all_workers
from app.schemas.base import AnyWhole
from app.schemas.plan import PlanPage, WorkerOut
from app.security import check_form
from app.web.blueprint import blueprint
from app.web.form import validated
from core.celery import publish
from core.database import transaction
from core.errors import BadInput, NotFound
from core.keys import Scope
from core.messages import SCHEDULER_QUEUE, AskWhatIf
from core.settings import settings
from core.what_if_tables import WhatIf
from scheduler.policies.registry import NAMES

POLICIES = tuple(name for name in NAMES if name != "oracle")  # which knows the future
MOST_WORKERS = 512  # of a type
AGAIN_S, PATIENCE_S = 5.0, 90.0  # a question that nobody took is published again; then it is said that nobody is there
OF_TYPE = "workers-"  # in front of a device type: how many


class Asked(BaseModel):
    """What somebody wants to know."""

    policy: str
    workers: dict[str, AnyWhole] = Field(max_length=20)


@blueprint.post("/dashboard/what-if")
@needs(Scope.ADMIN)
def ask_what_if() -> Any:
    """Have it simulated, once if it is sent twice; the page waits for what is found."""
    check_form()
    said = request.form
    with transaction() as session:
        known = types_of(all_workers(session))
    asked = checked(said.get("policy", ""), {name: said.get(f"{OF_TYPE}{name}", "0") for name in known})
    question = WhatIf(id=uuid.uuid4(), policy=asked.policy, workers=asked.workers)
    with transaction() as session:
        first = first_made(session, digest_of(asked.model_dump_json().encode()), question.id)
        if first is None:
            session.add(question)
    if first is None:
        publish(SCHEDULER_QUEUE, [AskWhatIf()])
    return redirect(url_for("web.dashboard", minutes=60, what_if=first or question.id, _anchor="what-if"), 303)


@blueprint.get("/dashboard/what-if/<uuid:question_id>")
@needs(Scope.ADMIN)
def what_if(question_id: uuid.UUID) -> str:
    """What was found so far."""
    return render_template("_what_if.html", **told(question_id))


def checked(policy: str, workers: Mapping[str, str]) -> Asked:
    """The question, if it is one; raises `BadInput`."""
    if policy not in POLICIES:
        raise BadInput(f"There is no policy {policy!r}. Choose one of: {', '.join(POLICIES)}.", field="policy")
    asked = validated(Asked, {"policy": policy, "workers": dict(workers)})
    if not all(0 <= count <= MOST_WORKERS for count in asked.workers.values()):
        raise BadInput(f"Of each type from 0 to {MOST_WORKERS} workers.", field="workers")
    if not sum(asked.workers.values()):
        raise BadInput("A simulation needs at least one worker.", field="workers")
    return Asked(policy=policy, workers={name: count for name, count in asked.workers.items() if count})


def types_of(workers: Sequence[WorkerOut]) -> dict[str, int]:
    """Ready workers by device type."""
    return dict(Counter(worker.device_type for worker in workers if worker.state == "ready"))


def asking(state: PlanPage) -> dict[str, Any] | None:
    """What may be asked, for who may ask; the policy and workers of now to begin with."""
    if not caller().sees_all:
        return None
    return {
        "policies": POLICIES,
        "policy": settings().policy,
        "types": types_of(state.workers),
        "most": MOST_WORKERS,
    }


def told(question_id: uuid.UUID) -> dict[str, Any]:
    """A question and its answer, as the page shows it; one that nobody took is published once more."""
    with transaction() as session:
        question = session.get(WhatIf, question_id)
    if question is None:
        raise NotFound("This is not known any more: ask again.", field="what_if")
    waited = datetime.now(UTC) - question.asked_at
    taken = question.began_at is not None
    if not taken and waited > timedelta(seconds=AGAIN_S):
        publish(SCHEDULER_QUEUE, [AskWhatIf()])
    alone = not taken and waited > timedelta(seconds=PATIENCE_S)
    waits = question.ended_at is None and not alone
    return {"question": question, "waits": waits, "alone": alone, "trust": trust(question.found or {})}


def trust(found: Mapping[str, Any]) -> str:
    """How far apart measured and simulated are of the same, in words."""
    if not found:
        return ""
    late, quality = (_points(found, name) for name in ("late", "quality"))
    told = f"Simulated as it was, the share of late ones is off by {late}"
    told += f" and quality by {quality}" if quality else ""
    return f"{told}: smaller differences say nothing."


def _points(found: Mapping[str, Any], name: str) -> str:
    measured, same = found["measured"][name], found["same"][name]
    return "" if measured is None or same is None else f"{100 * abs(measured - same):.1f} points"
