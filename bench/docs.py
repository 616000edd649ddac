"""Pages of docs/ made from others: settings, errors, report views and routes from the code, the index of decisions from
its pages.

`python -m bench.docs` writes them, `--check` says (exit status 1) which differ from what the code says now.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.routes_page import routes_page
from core.errors import PAGE, kinds
from core.settings import PREFIX, ROOT, Settings
from migrations.report_comments import merged

DECISIONS = """# Decisions

A page for each choice that was hard to make or would be hard to take back: context, decision, what is good about it
and what is bad. The third line of a page is its date and status; one that no longer holds keeps its page and names the
one that replaced it. Numbers up to 0058 are given by subject: 00 ground and data, 01 planning, 02 engine, 03 live
scheduling, 04 the house, 05 faults; from 0060 on they count on. Made by `make docs`."""

REPORTS = """# Reports in SQL

After this page you can ask PostgreSQL how Argus served: by level, model, tenant, hour and job, what quality it cost and
what device time it saved.

```sh
argus psql --report -c "SELECT level, requests, violation_rate, quality_lost, device_saved_s FROM report_level"
argus psql --report -c "SELECT hour, accepted, images, latency_p95_s FROM report_hour ORDER BY hour DESC LIMIT 24"
argus psql --report -c "SELECT tenant, images, device_s / 3600 AS hours FROM report_tenant"
argus psql --report -c "SELECT id, done, open, latency_mean_s FROM report_job ORDER BY created_at DESC LIMIT 10"
argus psql --report -c "SELECT level, avg(measured_quality), count(*) FROM report_audit GROUP BY level"
argus psql --report -c "SELECT prompt, latency_s FROM report_request WHERE accepted_at > now() - interval '1 h' LIMIT 5"
argus psql --report -c "SELECT kind, measure, count(*), avg(value) FROM report_fidelity GROUP BY 1, 2"
argus psql --report --json - -c "SELECT * FROM report_minute"
```

`argus psql` alone asks for SQL; `\\d+ report_level` in it tells what this page tells. `--report` is the role
`argus_report`, which reads these views and nothing else; `argus settings --urls` has its address, for Grafana and other
programs. With a database of your own, ARGUS_REPORT_URL names such a role ([roles.sql](../migrations/roles.sql) makes
it).

These views are a contract: columns stay, or are announced in [CHANGELOG.md](../CHANGELOG.md). Tables may change with
any version. None counts what Argus draws for itself (audits), but `report_audit`.

Views by job, level, model, tenant and hour, and `report_usage`, are read from sums that are kept as requests end, and
are up to ten seconds behind. They count what happened, also after a job is purged; a request counts in the hour in
which it was accepted, at its first end; one that was retried counts again. `report_request`, `report_minute`,
`report_audit` and `report_fidelity` read the rows there are: narrow the first by `accepted_at`, which has an index.

Made from `migrations/report_comments.py` by `make docs`, as the comments in the database are."""


def settings_page() -> str:
    """Every setting with default and meaning."""
    lines = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = default.relative_to(ROOT) if isinstance(default, Path) else default
        lines.append(f"| `{PREFIX}{name.upper()}` | {f'`{shown}`' if str(shown) else ''} | {field.description} |")
    head = (
        "After this page you know what can be changed, and how: by environment variables. An unknown one, or a "
        "malformed value, stops start-up with its name."
    )
    return _page("Settings", head, lines, "core/settings.py")


def errors_page() -> str:
    """Every error with code, status and what to do."""
    lines = ["| code | HTTP status | what to do |", "| --- | --- | --- |"]
    lines += [
        f'| <a id="{kind.code}"></a>`{kind.code}` | {kind.status} | {kind.help} |'
        for kind in sorted(kinds(), key=lambda kind: kind.code)
    ]
    head = (
        "After this page your program knows each error and what to do about it. It is answered by RFC 9457, as "
        "`application/problem+json`: `type` (this page of the running Argus, "
        f"`{PAGE}#code`), `title`, `status`, `detail`, `instance` (with the `X-Request-ID` of the logs), and of ours "
        "`code`, `field` (the part of the input at fault) and `help` (what to do). The code is stable, the words may "
        'change. `error` has `{"code", "message", "field"}` as before version 0.2. The addresses of OpenAI and '
        "AUTOMATIC1111 answer errors as their clients know them."
    )
    return _page("Errors", head, lines, "core/errors.py")


def reports_page() -> str:
    """Every report view with its columns."""
    lines = [REPORTS]
    for name, (about, columns) in merged().items():
        lines += ["", f"## {name}", "", about, "", "| column | meaning |", "| --- | --- |"]
        lines += [f"| `{column}` | {meaning} |" for column, meaning in columns.items()]
    return "\n".join([*lines, ""])


def decisions_page() -> str:
    """Every decision with date and status, as its own page says them."""
    lines = ["| no. | date | status | decision |", "| --- | --- | --- | --- |"]
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        title, _, status, *_ = path.read_text().splitlines()
        number, _, name = title.removeprefix("# ").partition(" ")
        date, _, state = status.partition(" · ")
        lines.append(f"| [{number}]({path.name}) | {date} | {state.partition(':')[0]} | {name} |")
    return "\n".join([DECISIONS, "", *lines, ""])


def _page(title: str, head: str, lines: list[str], source: str) -> str:
    return "\n".join([f"# {title}", "", head, f"Made from `{source}` by `make docs`.", "", *lines, ""])


PAGES = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "reports.md": reports_page,
    "routes.md": routes_page,
    "decisions/README.md": decisions_page,
}


def outdated(folder: Path = ROOT / "docs") -> list[str]:
    """Names of pages that differ from what the code says."""
    return [
        name for name, page in PAGES.items() if not (folder / name).is_file() or (folder / name).read_text() != page()
    ]


def main(argv: list[str]) -> int:
    """Write the pages, or with `--check` only compare; returns the exit status."""
    if argv == ["--check"]:
        for name in (wrong := outdated()):
            print(f"docs/{name} differs from the code: run `make docs`.")
        return 1 if wrong else 0
    for name, page in PAGES.items():
        (ROOT / "docs" / name).write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
