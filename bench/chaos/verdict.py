"""What must hold after any number of faults, judged from rows, files and workers. Pure: frozen in, findings out.

lost        a request that was answered 202 has no row
unfinished  … is neither done nor failed
innocent    … failed by infrastructure, or without saying why; `WORK` lists the reasons that are a request's own
doubled     … was recorded done twice: two images, or two attempts that ended well
twice       one submission, sent again because its answer was lost, became two jobs
refused     a submission that is right was never accepted
bare        a request is done and has no image
orphans     a file in the store has no row; partial files are counted apart
missing     a row has no file, or one of other content
open        an attempt has not ended though nothing runs
unserved    a queue that the house or an assignment needs is consumed by nobody
plan        what a worker was assigned last, what its row says and what it consumes differ
processes   a process is not back, or Argus does not call itself ready
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from core.images import thumbnail_key

WORK = frozenset({"not_a_number", "decode_failed"})  # codes of failures that are a request's own
OPEN = frozenset({"accepted", "queued", "running"})
SHOWN = 5  # examples of each finding


@dataclass(frozen=True)
class RequestRow:
    """A request. `outcomes` are its attempts', None while one has not ended."""

    id: str
    title: str  # of its job: the number of the submission
    job: str
    state: str
    error_code: str | None = None
    error: str | None = None
    outcomes: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class ImageRow:
    id: str
    request: str
    key: str
    sha256: str


@dataclass(frozen=True)
class WorkerView:
    """A worker as three see it: the queues it was assigned last, those of its row, those it consumes."""

    assigned: frozenset[str]
    row: frozenset[str]
    consumed: frozenset[str]


@dataclass(frozen=True)
class Evidence:
    """All that the verdict looks at. `files` are key → sha256."""

    promised: frozenset[str]
    refused: Mapping[int, str] = field(default_factory=dict)
    requests: Sequence[RequestRow] = ()
    images: Sequence[ImageRow] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    partials: Sequence[str] = ()
    needed: frozenset[str] = frozenset()  # queues that must be consumed
    consumed: frozenset[str] = frozenset()
    workers: Mapping[str, WorkerView] = field(default_factory=dict)
    down: Sequence[str] = ()  # processes that are not back, parts that are not ready


@dataclass(frozen=True)
class Finding:
    """Something that does not hold: how often, and some examples."""

    check: str
    count: int
    examples: tuple[str, ...]


def judge(evidence: Evidence) -> list[Finding]:
    """What does not hold; nothing when all does."""
    found = [(name, list(check(evidence))) for name, check in CHECKS.items()]
    return [Finding(name, len(wrong), tuple(wrong[:SHOWN])) for name, wrong in found if wrong]


def lost(evidence: Evidence) -> Iterable[str]:
    return sorted(evidence.promised - {row.id for row in evidence.requests})


def unfinished(evidence: Evidence) -> Iterable[str]:
    return (f"{row.id} is {row.state}" for row in evidence.requests if row.state in OPEN)


def innocent(evidence: Evidence) -> Iterable[str]:
    ended = (row for row in evidence.requests if row.state not in OPEN and row.state != "done")
    return (f"{row.id} {row.state}: {row.error_code}, {row.error}" for row in ended if row.error_code not in WORK)


def doubled(evidence: Evidence) -> Iterable[str]:
    images = Counter(image.request for image in evidence.images)
    for row in evidence.requests:
        if (count := max(images[row.id], row.outcomes.count("done"))) > 1:
            yield f"{row.id} was recorded {count} times"


def twice(evidence: Evidence) -> Iterable[str]:
    jobs: dict[str, set[str]] = {}
    for row in evidence.requests:
        jobs.setdefault(row.title, set()).add(row.job)
    return (f"{title}: {len(ids)} jobs" for title, ids in jobs.items() if len(ids) > 1)


def refused(evidence: Evidence) -> Iterable[str]:
    return (f"submission {wish}: {why}" for wish, why in evidence.refused.items())


def bare(evidence: Evidence) -> Iterable[str]:
    drawn = {image.request for image in evidence.images}
    return (row.id for row in evidence.requests if row.state == "done" and row.id not in drawn)


def orphans(evidence: Evidence) -> Iterable[str]:
    keys = {image.key for image in evidence.images}
    return sorted(set(evidence.files) - keys - {thumbnail_key(key) for key in keys})


def partials(evidence: Evidence) -> Iterable[str]:
    return sorted(evidence.partials)


def missing(evidence: Evidence) -> Iterable[str]:
    for image in evidence.images:
        if (there := evidence.files.get(image.key)) != image.sha256:
            yield f"{image.key} of request {image.request}: {'other content' if there else 'no file'}"


def open_attempts(evidence: Evidence) -> Iterable[str]:
    return (row.id for row in evidence.requests if row.state not in OPEN and None in row.outcomes)


def unserved(evidence: Evidence) -> Iterable[str]:
    return sorted(evidence.needed - evidence.consumed)


def plan(evidence: Evidence) -> Iterable[str]:
    for name, view in evidence.workers.items():
        if not view.assigned == view.row == view.consumed:
            sides = (("assigned", view.assigned), ("row", view.row), ("consumed", view.consumed))
            yield f"{name}: " + "; ".join(f"{side} {sorted(queues)}" for side, queues in sides)


def processes(evidence: Evidence) -> Iterable[str]:
    return evidence.down


CHECKS: dict[str, Callable[[Evidence], Iterable[str]]] = {
    "lost": lost,
    "unfinished": unfinished,
    "innocent": innocent,
    "doubled": doubled,
    "twice": twice,
    "refused": refused,
    "bare": bare,
    "orphans": orphans,
    "partials": partials,
    "missing": missing,
    "open": open_attempts,
    "unserved": unserved,
    "plan": plan,
    "processes": processes,
}
MEANING = {
    "lost": "accepted requests without a row",
    "unfinished": "accepted requests neither done nor failed",
    "innocent": "requests failed by infrastructure",
    "doubled": "requests recorded done twice",
    "twice": "submissions that became two jobs",
    "refused": "right submissions never accepted",
    "bare": "requests done without an image",
    "orphans": "image files without a row",
    "partials": "partial files left",
    "missing": "rows without their file",
    "open": "attempts of ended requests that have not ended",
    "unserved": "queues that nobody serves",
    "plan": "workers that do not do what they were assigned",
    "processes": "processes not back, parts not ready",
}
