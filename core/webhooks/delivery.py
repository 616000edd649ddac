"""Lanes: each tells one host what is due, one event after the other. A host that is slow or dead holds its own lane.

A turn starts a lane for every host that has something due and no lane, as long as there are lanes; it waits for none.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import structlog
from sqlalchemy.exc import OperationalError

from core.errors import BadInput
from core.webhook_tables import WebhookEvent
from core.webhooks import outbox
from core.webhooks.addresses import target_of
from core.webhooks.sending import WHOLE_S, Answer, post, signed

log = structlog.get_logger(__name__)
LANES = 16
LANE_S = 10.0  # after which a lane makes room for another host


class Deliverer:
    """Tells what is due.

    Args:
        whole_s: seconds that one host may take for one answer.
    """

    def __init__(self, lanes: int = LANES, whole_s: float = WHOLE_S) -> None:
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="webhooks")
        self._lanes, self._whole_s = lanes, whole_s
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._served: dict[str, float] = {}  # when a host's lane ended last

    def turn(self) -> int:
        """Start a lane for each host that has something due, those first that waited longest; returns how many."""
        outbox.note_jobs_done()
        due = sorted(outbox.due_hosts(), key=lambda host: self._served.get(host, 0.0))
        with self._lock:
            free = [host for host in due if host not in self._busy][: self._lanes - len(self._busy)]
            self._busy.update(free)
        for host in free:
            self._pool.submit(self._lane, host)
        return len(free)

    def idle(self) -> bool:
        """Whether no lane runs."""
        with self._lock:
            return not self._busy

    def _lane(self, host: str) -> None:
        end = time.monotonic() + LANE_S
        try:
            while time.monotonic() < end and self._tell_next(host):
                pass
        except OperationalError as error:  # the database is away: what was claimed is due again later
            log.warning("webhooks not told", host=host, error=str(error).splitlines()[0])
        except Exception:
            log.exception("webhooks not told", host=host)
        finally:
            with self._lock:
                self._busy.discard(host)
                self._served[host] = time.monotonic()

    def _tell_next(self, host: str) -> bool:
        """Tell one event; whether there may be more for this host now."""
        claimed = outbox.claim(host)
        if claimed is None:
            return False
        event, secrets = claimed
        answer = self._tell(event, secrets)
        state = outbox.record(event, answer)
        write = log.info if answer.taken else log.warning
        about = {"id": str(event.id), "type": event.type, "host": host, "state": state, "status": answer.status}
        write("webhook", **about, error=answer.error)
        return answer.taken

    def _tell(self, event: WebhookEvent, secrets: list[str]) -> Answer:
        if not secrets:
            return Answer(0.0, error="the tenant has no secret that signs: make one with `argus webhooks secret`")
        payload = event.payload or ""
        try:
            target = target_of(event.url)
        except BadInput as error:
            return Answer(0.0, error=error.message)
        return post(target, signed(outbox.message_id(event.id), payload, secrets), payload, self._whole_s)
