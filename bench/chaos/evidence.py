"""What the verdict looks at, read from a running Argus: rows, files, queues, workers.

`python -m bench.chaos.evidence FILE` in its environment writes what it says of itself; `gather` adds what the harness
knows.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from bench.chaos.ledger import Ledger
from bench.chaos.load import TITLE
from bench.chaos.site import Site, alive
from bench.chaos.verdict import Evidence, ImageRow, RequestRow, WorkerView
from core.celery import celery_app
from core.database import transaction
from core.images import PARTIAL
from core.messages import QUALITY_QUEUE, ROUTER_QUEUE, SCHEDULER_QUEUE
from core.settings import ROOT
from core.tables import Assignment, Image, Job, Request, Worker

ANSWER_S = 3.0  # with which workers are asked what they consume
HOUSE = (ROUTER_QUEUE, SCHEDULER_QUEUE, QUALITY_QUEUE)


def gather(site: Site, ledger: Ledger) -> Evidence:
    """All evidence. Raises `subprocess.CalledProcessError` while Argus cannot be asked."""
    file = site.home / "evidence.json"
    words = [sys.executable, "-m", "bench.chaos.evidence", str(file)]
    subprocess.run(words, env=site.settings, cwd=ROOT, check=True, capture_output=True, timeout=120)
    found = json.loads(file.read_text())
    files, partials = stored(site.images.link)
    return Evidence(
        promised=frozenset(request for promise in ledger.promises for request in promise.requests),
        refused={each.wish: each.why for each in ledger.refused},
        requests=[RequestRow(**{**row, "outcomes": tuple(row["outcomes"])}) for row in found["requests"]],
        images=[ImageRow(**row) for row in found["images"]],
        files=files,
        partials=partials,
        needed=frozenset(found["needed"]),
        consumed=frozenset(queue for queues in found["consumed"].values() for queue in queues),
        workers={name: _view(view) for name, view in found["workers"].items()},
        down=down(site),
    )


def stored(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Files of the image store by key with their digest, and partial files."""
    paths = [path for path in folder.resolve().rglob("*") if path.is_file()]
    keys = {str(path.relative_to(folder.resolve())): path for path in paths}
    files = {key: path for key, path in keys.items() if not key.endswith(PARTIAL)}
    digests = {key: hashlib.sha256(path.read_bytes()).hexdigest() for key, path in files.items()}
    return digests, sorted(set(keys) - set(files))


def down(site: Site) -> list[str]:
    """Processes that do not run, and what Argus says is not ready."""
    pids = {**site.pids(), "argus up": site.supervisor()}
    wrong = [f"{name} does not run" for name, pid in pids.items() if not alive(pid)]
    try:
        urllib.request.urlopen(f"{site.address}/readyz", timeout=10).close()
    except urllib.error.HTTPError as error:
        wrong.append(f"not ready: {error.read().decode(errors='replace')[:300]}")
    except OSError as error:
        wrong.append(f"web does not answer: {error}")
    return wrong


def _view(found: dict[str, list[str]]) -> WorkerView:
    return WorkerView(**{side: frozenset(queues) for side, queues in found.items()})


def read() -> dict[str, Any]:
    """What Argus says of itself."""
    asked = celery_app().control.inspect(timeout=ANSWER_S).active_queues() or {}
    consumed = {node: sorted(queue["name"] for queue in queues) for node, queues in asked.items()}
    with transaction() as session:
        workers = _workers(session, consumed)
        return {
            "requests": _requests(session),
            "images": [asdict(ImageRow(str(i.id), str(i.request_id), i.key, i.sha256)) for i in _images(session)],
            "workers": workers,
            "consumed": consumed,
            "needed": sorted({*HOUSE, *(queue for view in workers.values() for queue in view["assigned"])}),
        }


def _requests(session: Session) -> list[dict[str, Any]]:
    query = select(Request, Job.title).join(Job).where(Job.title.like(f"{TITLE} %"))
    rows = session.execute(query.options(selectinload(Request.tries))).all()
    return [
        asdict(
            RequestRow(
                str(row.id),
                str(title),
                str(row.job_id),
                row.state.value,
                row.error_code,
                row.error,
                tuple(attempt.outcome for attempt in row.tries),
            )
        )
        for row, title in rows
    ]


def _images(session: Session) -> list[Image]:
    return list(session.scalars(select(Image)))


def _workers(session: Session, consumed: dict[str, list[str]]) -> dict[str, dict[str, list[str]]]:
    newest = select(func.max(Assignment.id)).group_by(Assignment.worker)
    told = {
        row.worker: sorted(row.queues) for row in session.scalars(select(Assignment).where(Assignment.id.in_(newest)))
    }
    rows = session.scalars(select(Worker)).all()
    return {
        row.name: {
            "assigned": told.get(row.name, sorted(row.queues)),
            "row": sorted(row.queues),
            "consumed": consumed.get(row.name, []),
        }
        for row in rows
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(read()))
