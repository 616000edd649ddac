"""What is asked of the large database, and how long each answer takes."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import requests
from psycopg2.extensions import connection as Connection

from bench.large.month import LOOKED_FOR

CALLS = 20
PATIENCE_S = 120.0
REPORTS = "SELECT relname FROM pg_class WHERE relkind = 'v' AND relname LIKE 'report\\_%' ORDER BY relname"
# Values of the variables that paths have; the big job, and a request in the middle of it.
SUBJECTS = """
SELECT r.job_id AS job_id, r.id AS request_id, i.id AS image_id FROM job j
JOIN request r ON r.job_id = j.id AND r.position = j.size / 2 LEFT JOIN image i ON i.request_id = r.id
WHERE j.size = (SELECT max(size) FROM job)
"""
# Beside each path as it is: pages far behind, filters that find little, windows that are long.
VARIANTS = {
    "/v1/jobs": ("?page=100&per_page=100",),
    "/v1/jobs/<uuid:job_id>": ("?page=900&per_page=100",),
    "/jobs/<uuid:job_id>": ("?page=1500",),
    "/gallery": (
        "?level=exact",
        "?before=2020-01-01T00:00:00",
        f"?like={LOOKED_FOR}",
        f"?like={LOOKED_FOR}&level=exact",
        "?prompt=pets",
        "?prompt=of+which+there+is+none",
    ),
    "/v1/requests": (f"?like={LOOKED_FOR}", "?prompt=of+which+there+is+none"),
    "/dashboard": ("?minutes=1440",),
    "/v1/report": ("?minutes=1440",),
}
# Streams never end; files of this database's images are not there; results of a job are as long as the job.
LEFT_OUT = re.compile(
    r"/events|/v1/images/|/content|results|archive|\.zip|/static/|file|batch|model_id|checkpoint|/tile"
)
OF_ROWS = ("report_request", "report_plan")  # a row a request, a row a plan: nobody reads all
VIEWS = {
    "report_request": ("SELECT * FROM report_request WHERE accepted_at > now() - interval '1 hour' ORDER BY hour",
                       "SELECT * FROM report_request WHERE accepted_at > now() - interval '1 day' AND violated"),
    "report_job": ("SELECT * FROM report_job ORDER BY created_at DESC LIMIT 100",),
    "report_plan": ("SELECT * FROM report_plan ORDER BY epoch DESC LIMIT 100",),
    "report_usage": ("SELECT hour, level, sum(images) FROM report_usage GROUP BY 1, 2",),
    "report_fidelity": ("SELECT kind, measure, count(*), avg(value) FROM report_fidelity GROUP BY 1, 2",),
    "report_audit": ("SELECT level, avg(measured_quality), count(*) FROM report_audit GROUP BY level",),
}  # fmt: skip


def paths(url: str, session: requests.Session) -> list[str]:
    """GET routes of the running web process, as its own list tells them."""
    from app import create_app

    rules = create_app().url_map.iter_rules()
    return sorted({rule.rule for rule in rules if "GET" in (rule.methods or ()) and not LEFT_OUT.search(rule.rule)})


def addresses(connection: Connection, rules: list[str]) -> Iterator[str]:
    """Each route with its variables filled in, and its variants; a route whose variable is unknown is left out."""
    known = dict(_first(connection, SUBJECTS))
    for rule in rules:
        filled = re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", lambda found: str(known.get(found[1], "<")), rule)
        if "<" not in filled:
            yield from (filled + more for more in ("", *VARIANTS.get(rule, ())))


def ask_all(url: str, connection: Connection) -> dict[str, dict[str, Any]]:
    """Seconds of each address, `CALLS` times."""
    session = requests.Session()
    found = {}
    for address in addresses(connection, paths(url, session)):

        def ask(address: str = address) -> int:
            answer = session.get(url + address, timeout=PATIENCE_S, headers={"Accept": "text/html,*/*"})
            if answer.status_code >= 500 and address != "/readyz":  # no scheduler ticks here
                raise RuntimeError(f"{address} answered {answer.status_code}: {answer.text[:200]}")
            return answer.status_code

        found[address] = timed(ask)
    return found


def read_all(report: Connection) -> dict[str, dict[str, Any]]:
    """Seconds of each report view as a whole and narrowed, read as the role that only reads."""
    found = {}
    with report.cursor() as cursor:
        cursor.execute(REPORTS)
        for (view,) in cursor.fetchall():
            whole = () if view in OF_ROWS else (f"SELECT * FROM {view}",)
            for statement in (*whole, *VIEWS.get(view, ())):

                def read(statement: str = statement) -> int:
                    cursor.execute(statement)
                    return len(cursor.fetchall())

                found[statement] = timed(read)
    return found


def timed(work: Callable[[], int]) -> dict[str, Any]:
    """The first call, the median and the 95th percentile of all, in seconds; what the last answered."""
    taken, answer = [], 0
    for _ in range(CALLS):
        begun = time.perf_counter()
        answer = work()
        taken.append(time.perf_counter() - begun)
    cut = statistics.quantiles(taken, n=20, method="inclusive")
    return {"first_s": taken[0], "p50_s": statistics.median(taken), "p95_s": cut[18], "answer": answer}


def _first(connection: Connection, statement: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        names = [column.name for column in cursor.description or ()]
        return dict(zip(names, cursor.fetchone() or (), strict=False))
