"""For monitoring: whether this process is alive, whether Argus is ready, metrics."""

from __future__ import annotations

from functools import lru_cache
from time import time

from flask import Blueprint, Response, jsonify
from sqlalchemy import select

from app.access import needs, public
from app.ops.metrics import exposition
from core.database import transaction
from core.errors import ServiceDown
from core.families import load_family
from core.images import ImageStore
from core.keys import Scope
from core.services import broker_answers, broker_url
from core.settings import settings
from scheduler.observation.flow import ticks, work_flows

blueprint = Blueprint("ops", __name__)


@blueprint.get("/healthz")
@public
def alive() -> Response:
    """This process answers."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
@public
def ready() -> tuple[Response, int, dict[str, str]]:
    """PostgreSQL and the broker answer, images can be stored, the scheduler ticks, nobody waits for an idle worker; 503
    names what is wrong. Jobs are still accepted without the broker, and without the store their images wait."""
    parts = {
        "database": _database_answers(),
        "broker": _broker_answers(),
        "store": store_is_writable(int(time()) // 5),
        "scheduler": _scheduler_ticks(),
        "work": _work_flows(),
    }
    if all(parts.values()):
        return jsonify({"status": "ready", **parts}), 200, {}
    return jsonify({"status": "not ready", **parts}), 503, {"Retry-After": str(ServiceDown.retry_after_s)}


@blueprint.get("/metrics")
@needs(Scope.METRICS)
def metrics() -> Response:
    """Prometheus metrics, read from PostgreSQL now."""
    body, mimetype = exposition()
    return Response(body, content_type=mimetype)


def _database_answers() -> bool:
    try:
        with transaction() as session:
            return session.scalar(select(1)) == 1
    except Exception:
        return False


@lru_cache(maxsize=1)
def store_is_writable(moment: int) -> bool:
    """Asked at most once in five seconds: `moment` counts them."""
    return ImageStore().is_writable()


def _scheduler_ticks() -> bool:
    try:
        return ticks()
    except ServiceDown:
        return False


def _work_flows() -> bool:
    try:
        with transaction() as session:
            return work_flows(session, load_family(settings().family))
    except Exception:
        return False


def _broker_answers() -> bool:
    try:
        return broker_answers(broker_url())
    except ServiceDown:
        return False
