"""The Celery tasks of router and scheduler: what is done for each message to them (`core.messages`)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from core.batching import Batcher
from core.database import patiently
from core.families import Family
from core.messages import (
    AskWhatIf,
    CheckFiles,
    Escalate,
    Fold,
    Learn,
    ReadPrompts,
    ReadSearch,
    Reconcile,
    Route,
    TellHooks,
    Tick,
    WriteOutputs,
)
from core.one_at_a_time import OneAtATime
from core.receiving import receive
from core.tally import fold
from core.webhooks.delivery import Deliverer
from scheduler.control.escalate import escalate
from scheduler.control.files import FilesAndRows
from scheduler.control.lost_workers import LostWorkers
from scheduler.control.outputs import write_outputs
from scheduler.control.prune import prune
from scheduler.control.reconcile import reconcile
from scheduler.control.router import Router
from scheduler.control.tick import Scheduler
from scheduler.control.trim import Trimmer
from scheduler.control.what_ifs import answer_what_ifs
from scheduler.observation.flow import note_tick
from scheduler.observation.tracing import make_tracing
from scheduler.prediction.prompt_index import PromptIndex
from scheduler.prediction.retrain import Learner

if TYPE_CHECKING:
    from celery import Celery

JOBS = 100  # whose messages one turn of the router answers
HUNG_S = {"tick": 120.0, "reconcile": 120.0}  # statements end after ten seconds of waiting, the solver after two


def register_tasks(app: Celery, family: Family) -> OneAtATime:
    """Give the Celery app of this process the scheduler's tasks for one family; returns what does the periodic ones."""
    routing = Router(family)
    routing.predictions.warm_up()
    router: Batcher[str] = Batcher("router", lambda _: routing.route(), JOBS)
    scheduler, learner, alone = Scheduler(family), Learner(family), OneAtATime(HUNG_S)
    trim, lost_workers, files, tracing = Trimmer(), LostWorkers(), FilesAndRows(family), make_tracing()
    deliverer, prompts = Deliverer(), PromptIndex(family, routing.predictions.can_read)

    def check_score(request_id: str) -> None:
        patiently(lambda: escalate(routing.reader, uuid.UUID(request_id)))

    def ticked() -> None:
        scheduler.tick()
        note_tick()

    def reconcile_rows() -> None:
        routing.reader.invalidate()  # a worker asks for this when its assignment changes: routing must know of it
        alone("reconcile", lambda: reconcile(family, lost_workers))

    def learn() -> None:
        alone("learn", learner.learn)
        alone("trim", trim)
        alone("prune", prune)

    def sum_up() -> None:
        alone("fold", fold)
        if tracing is not None:
            alone("traces", tracing.turn)

    receive(app, Route, lambda job_id: router.do(job_id))
    receive(app, Escalate, check_score)
    receive(app, ReadPrompts, lambda: alone("prompts", prompts.turn))
    receive(app, ReadSearch, lambda digest: prompts.read_search(uuid.UUID(digest)))
    receive(app, Tick, lambda: alone("tick", ticked))
    receive(app, Reconcile, reconcile_rows)
    receive(app, CheckFiles, lambda: alone("files", files.turn))
    receive(app, Fold, sum_up)
    receive(app, Learn, learn)
    receive(app, AskWhatIf, lambda: alone("what-if", answer_what_ifs))
    receive(app, WriteOutputs, lambda: alone("outputs", write_outputs))
    receive(app, TellHooks, lambda: alone("hooks", deliverer.turn))
    return alone
