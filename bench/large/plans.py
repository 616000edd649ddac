"""What was slow and is not: the statement as it was and as it is, with PostgreSQL's own account of both."""

from __future__ import annotations

import re
from typing import Any

from psycopg2.extensions import connection as Connection

JOB = "(SELECT id FROM job ORDER BY size DESC LIMIT 1)"
LINES = "SELECT r.*, i.id FROM request r JOIN job j ON j.id = r.job_id LEFT JOIN LATERAL (SELECT id FROM image WHERE "
LINES += "request_id = r.id ORDER BY created_at DESC LIMIT 1) i ON true"
LATENCY = "percentile_cont({}) WITHIN GROUP (ORDER BY extract(epoch FROM stored_at - accepted_at)::float)"
PAIRS = {
    "Page 1,500 of a job of 100,000": (
        f"{LINES} WHERE r.job_id = '{{job}}' ORDER BY r.position OFFSET 89940 LIMIT 60",
        f"{LINES} WHERE r.job_id = '{{job}}' AND r.position >= 89940 AND r.position < 90000 ORDER BY r.position",
    ),
    "Requests that ended, by state and level, for `/metrics`": (
        "SELECT state, level, count(*) FROM request WHERE state IN ('done', 'failed', 'cancelled') GROUP BY 1, 2",
        "SELECT level, sum(done), sum(failed), sum(cancelled) FROM tally WHERE hour = '-infinity' GROUP BY 1",
    ),
    "Latency and violations by level, of all time": (
        f"SELECT level, count(*), {LATENCY.format(0.5)}, {LATENCY.format(0.95)} FROM request WHERE level IS NOT NULL "
        "GROUP BY 1",
        "SELECT * FROM report_level",
    ),
    "A row a job": (
        "SELECT j.id, f.* FROM job j CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE state = 'done'), avg(score), "
        "avg((qualities ->> level)::float) FROM request r WHERE r.job_id = j.id) f",
        "SELECT * FROM report_job",
    ),
    "A row an hour": (
        f"SELECT date_trunc('hour', accepted_at), count(*), {LATENCY.format(0.95)} FROM request GROUP BY 1",
        "SELECT * FROM report_hour",
    ),
}
SHOWN = 6  # lines of a plan: where the time goes stands at its head


def compare(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """For each pair: the statements, seconds, and the head of the plan. Each is run once before, to be warm."""
    with connection.cursor() as cursor:
        cursor.execute(JOB)
        (job,) = cursor.fetchone() or ("",)
        return {
            name: [_explained(cursor, sql.replace("{job}", str(job))) for sql in pair] for name, pair in PAIRS.items()
        }


def _explained(cursor: Any, statement: str) -> dict[str, Any]:
    cursor.execute(statement)
    cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF, SUMMARY ON) {statement}")
    lines = [line for (line,) in cursor.fetchall()]
    seconds = next(float(re.sub(r"[^\d.]", "", line)) / 1000 for line in lines if line.startswith("Execution Time"))
    return {"statement": statement, "seconds": seconds, "plan": lines[:SHOWN]}


def told(compared: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The pairs as Markdown."""
    lines = ["", "## What was slow and is not", "", "Before from rows, after as it is now; warm, one run each.", ""]
    lines += ["| what | before, ms | after, ms |", "| --- | ---: | ---: |"]
    lines += [
        f"| {name} | {1000 * a['seconds']:.1f} | {1000 * b['seconds']:.1f} |" for name, (a, b) in compared.items()
    ]
    for name, pair in compared.items():
        lines += ["", f"### {name}", "", "```text"]
        for word, one in zip(("before", "after"), pair, strict=True):
            lines += [f"-- {word}: {one['statement']}", *one["plan"], ""]
        lines[-1] = "```"
    return lines
