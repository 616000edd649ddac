"""`argus replay`: an open-loop load script. Arrivals of a trace are sent to a running Argus over its REST API, on time.

Open loop: a request is sent when the trace says, whether or not earlier ones were answered. Latency counts from the
*intended* time of arrival, so a server (or this script) that falls behind is charged for it: no coordinated omission.
Nothing is polled while the load runs; afterwards each request is read once, and the server's own times are used.

    latency = (answer to the submission − intended arrival, our clock) + (stored − accepted, the server's clock)

which is never less than the true latency, whatever the two clocks say.
"""

from __future__ import annotations

import csv
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import requests
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from urllib3.util import Retry

from core.errors import BadInput, ServiceDown
from core.settings import settings
from traces.reader import read_trace

SENDERS = 32  # submissions under way at once; more wait, and the wait counts
FINAL = ("done", "failed", "cancelled")
LOOK_S = 2.0
MAX_SEED = 2**32


@dataclass(frozen=True)
class Planned:
    """A request to come: seconds after the start, prompt, seed."""

    at: float
    prompt: str
    seed: int


@dataclass
class Sent:
    """What became of a planned request. Times in seconds after the start, our clock."""

    planned: Planned
    answered: float = 0.0
    request_id: str | None = None
    refused: str | None = None
    row: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.row.get("state") == "done"

    @property
    def latency_s(self) -> float | None:
        """From the intended arrival to the stored image; None without an image."""
        return self.answered - self.planned.at + self.row["latency_s"] if self.done else None

    @property
    def slo_s(self) -> float:
        """The time it should have taken, as the server promised."""
        promised = datetime.fromisoformat(self.row["deadline_at"])
        return (promised - datetime.fromisoformat(self.row["times"]["accepted_at"])).total_seconds()

    @property
    def violated(self) -> bool:
        """Late, failed, refused or still waiting."""
        latency = self.latency_s
        return latency is None or latency > self.slo_s

    @property
    def pair(self) -> tuple[str, int]:
        return self.planned.prompt, self.planned.seed


class Argus:
    """The REST API of a running Argus, one connection a thread."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._local = threading.local()

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._call("POST", "/v1/jobs", json=body)

    def get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path)

    def _call(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            again = Retry(total=3, backoff_factor=0.2, allowed_methods=["GET"])  # a kept connection may have ended
            for scheme in ("http://", "https://"):
                self._local.session.mount(scheme, HTTPAdapter(max_retries=again))
        try:
            answer = self._local.session.request(method, self.url + path, timeout=60, **given)
        except requests.RequestException as error:
            raise ServiceDown(f"Argus does not answer at {self.url} ({type(error).__name__}).") from None
        body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        if answer.status_code >= 400:
            told = body.get("error", {})
            kind = BadInput if answer.status_code < 500 else ServiceDown
            raise kind(f"{told.get('code', answer.status_code)}: {told.get('message', 'no Argus?')}")
        return dict(body)


def plan(arrivals: np.ndarray, prompts: Sequence[str], rows: np.ndarray | None, seed: int) -> list[Planned]:
    """A prompt and a seed for each arrival: the trace's own prompt where it has one, else drawn. Same seed, same plan."""
    rng = np.random.default_rng(seed)
    order = rng.integers(len(prompts), size=len(arrivals)) if rows is None else rows
    seeds = rng.integers(MAX_SEED, size=len(arrivals))
    return [Planned(float(at), prompts[i], int(s)) for at, i, s in zip(arrivals, order, seeds, strict=True)]


def read_prompts(path: Path) -> list[str]:
    """Prompts of a file: the column `prompt` of a CSV or TSV with a header, else one a line."""
    text = path.read_text(encoding="utf-8-sig")
    lines = [line for line in text.splitlines() if line.strip()]
    if path.suffix in (".csv", ".tsv"):
        table = csv.DictReader(lines, delimiter="\t" if path.suffix == ".tsv" else ",")
        column = next((name for name in table.fieldnames or () if name.strip().lower() == "prompt"), None)
        if column is None:
            raise BadInput(f"{path} has no column `prompt`.", field="prompts")
        lines = [row[column] for row in table if row[column]]
    if not lines:
        raise BadInput(f"{path} holds no prompts.", field="prompts")
    return lines


def send(argus: Argus, planned: Sequence[Planned], body: dict[str, Any], bar: Progress) -> list[Sent]:
    """Send each request at its time, answered or not; returns when all have been answered."""
    sent = [Sent(one) for one in planned]
    task = bar.add_task("sending", total=len(sent))
    start = time.monotonic()

    def submit(one: Sent) -> None:
        try:
            answer = argus.post({**body, "prompt": one.planned.prompt, "seed": one.planned.seed})
            one.request_id = answer["requests"][0]["id"]
        except (BadInput, ServiceDown) as error:
            one.refused = error.message
        one.answered = time.monotonic() - start
        bar.advance(task)

    with ThreadPoolExecutor(SENDERS, thread_name_prefix="send") as pool:
        for one in sent:
            time.sleep(max(0.0, start + one.planned.at - time.monotonic()))
            pool.submit(submit, one)
    return sent


def wait(argus: Argus, sent: Sequence[Sent], patience_s: float, bar: Progress) -> None:
    """Read every request once it is at rest and scored, until all are or patience ends."""
    waiting = [one for one in sent if one.request_id]
    task = bar.add_task("finishing", total=len(waiting))
    end = time.monotonic() + patience_s
    while waiting:
        for one in list(waiting):
            one.row = argus.get(f"/v1/requests/{one.request_id}")
            if _at_rest(one.row):
                waiting.remove(one)
                bar.advance(task)
            elif one is waiting[0]:  # the oldest is still open: so are most behind it
                break
        if time.monotonic() > end:
            break
        if waiting:
            time.sleep(LOOK_S)
    for one in waiting:
        one.row = argus.get(f"/v1/requests/{one.request_id}")


def _at_rest(row: dict[str, Any]) -> bool:
    return row["state"] in FINAL and (row["state"] != "done" or row["quality"]["score"] is not None)


class References:
    """Scores of the exact level by prompt and seed, kept in a CSV, so that relative quality is measured, not predicted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scores: dict[tuple[str, int], float] = {}
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.scores = {(r["prompt"], int(r["seed"])): float(r["score"]) for r in csv.DictReader(file)}

    def complete(self, argus: Argus, sent: Sequence[Sent], reference: str, bar: Progress) -> None:
        """Have the exact image drawn of every served pair that has none yet, as batch work, and keep its score."""
        for one in sent:
            if one.done and one.row["level"] == reference and one.row["quality"]["score"] is not None:
                self.scores[one.pair] = one.row["quality"]["score"]
        missing = sorted({one.pair for one in sent if one.done} - set(self.scores))
        if missing:
            prompts = [{"prompt": prompt, "seed": seed} for prompt, seed in missing]
            wish = {"prompts": prompts, "level": reference, "service_class": "batch", "title": "references of a replay"}
            answer = argus.post(wish)
            drawn = [
                Sent(Planned(0.0, *pair), request_id=line["id"])
                for pair, line in zip(missing, answer["requests"], strict=True)
            ]
            wait(argus, drawn, 86_400.0, bar)
            self.scores.update({one.pair: one.row["quality"]["score"] for one in drawn if one.done})
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow(["prompt", "seed", "score"])
            out.writerows([prompt, seed, f"{score:.6f}"] for (prompt, seed), score in sorted(self.scores.items()))

    def relative(self, one: Sent) -> float | None:
        """Measured quality of an image relative to `exact`; None where the reference scored nothing."""
        reference = self.scores.get(one.pair)
        return one.row["quality"]["score"] / reference if reference else None


def summary(sent: Sequence[Sent], duration_s: float, reference: str, references: References | None) -> dict[str, Any]:
    """The figures of the contract (DESIGN.md), and where the quality comes from."""
    served = [one for one in sent if one.done]
    latencies = np.array([one.latency_s for one in served])
    quality = [q for one in served if (q := _quality(one, reference, references)) is not None]
    scores = [one.row["quality"]["score"] for one in served if one.row["quality"]["score"] is not None]
    violations = sum(one.violated for one in sent)
    levels = Counter(one.row["level"] for one in served)
    percentiles = {f"latency_p{p}_s": float(np.percentile(latencies, p)) if len(served) else None for p in (50, 95, 99)}
    return {
        "requests": len(sent),
        "served": len(served),
        "violations": violations,
        "violation_rate": violations / len(sent) if sent else 0.0,
        "goodput_per_minute": 60 * sum(not one.violated for one in served) / duration_s,
        "quality_mean": float(np.mean(quality)) if quality else None,
        "quality_lost": float(np.mean([max(0.0, 1 - q) for q in quality])) if quality else None,
        **percentiles,
        "levels": {level: count / len(served) for level, count in sorted(levels.items())},
        "quality_is": "measured" if references else "predicted",
        "score_mean": float(np.mean(scores)) if scores else None,
        "refused": sum(one.refused is not None for one in sent),
    }


def _quality(one: Sent, reference: str, references: References | None) -> float | None:
    if one.row["level"] == reference:
        return 1.0
    if references is not None:
        return references.relative(one) if one.row["quality"]["score"] is not None else None
    return one.row["quality"]["predicted"]  # type: ignore[no-any-return]


def show(console: Console, name: str, figures: dict[str, Any]) -> None:
    """The table for people."""
    table = Table(title=f"Replay under {name}", show_header=False)
    for key, value in figures.items():
        if key == "levels":
            value = ", ".join(f"{level} {share:.1%}" for level, share in value.items())
        elif key == "violation_rate":
            value = f"{value:.2%}"
        elif isinstance(value, float):
            value = f"{value:.3f}"
        table.add_row(key.replace("_", " "), "–" if value is None else str(value))
    console.print(table)


@click.command()
@click.option("--trace", type=click.Path(exists=True, path_type=Path), required=True, help="CSV of arrivals.")
@click.option(
    "--prompts", type=click.Path(exists=True, path_type=Path), help="One a line, or CSV/TSV with a column prompt."
)
@click.option("--scale-to", type=float, help="Stretch the trace so that its busiest minute has so many requests.")
@click.option("--start", "start_s", type=float, default=0.0, help="Seconds of the trace to skip.")
@click.option("--duration", "duration_s", type=float, help="Seconds of the trace to replay; default: all of it.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of arrivals, prompts and image seeds.")
@click.option("--level", default="auto", show_default=True, help="Level asked for.")
@click.option("--min-quality", type=float, help="Floor of relative quality asked for.")
@click.option(
    "--deadline", "deadline_s", type=float, help="Seconds in which each image is wanted; default: the SLO in force."
)
@click.option(
    "--references", type=click.Path(path_type=Path), help="CSV of exact scores; missing ones are drawn afterwards."
)
@click.option(
    "--patience", "patience_s", type=float, default=600.0, show_default=True, help="Seconds to wait for the last image."
)
@click.option("--url", help="Where Argus answers; default: this machine's, from the settings.")
@click.option("--name", help="Name of the run in the output; default: the policy in force.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here for programs.")
def replay(
    trace: Path,
    prompts: Path | None,
    scale_to: float | None,
    start_s: float,
    duration_s: float | None,
    seed: int,
    level: str,
    min_quality: float | None,
    deadline_s: float | None,
    references: Path | None,
    patience_s: float,
    url: str | None,
    name: str | None,
    out: Path | None,
) -> None:
    """Send the arrivals of a trace to a running Argus, on time, and say what became of them."""
    console = Console(stderr=True)
    whole = read_trace(trace)
    shape = (whole.scaled_to(scale_to) if scale_to else whole).window(start_s, duration_s)
    arrivals, rows = shape.requests(seed)
    own = shape.prompts if rows is not None and shape.prompts else None
    if prompts is None and own is None:
        raise BadInput("The trace has no prompts of its own: give some with --prompts FILE.", field="prompts")
    texts = read_prompts(prompts) if prompts is not None else list(own or ())
    planned = plan(arrivals, texts, rows if prompts is None else None, seed)
    argus = Argus(url or _here())
    reference, policy = _who_answers(argus)
    wish = {"level": level, "min_quality": min_quality, "deadline_s": deadline_s, "title": f"replay of {whole.name}"}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        sent = send(argus, planned, {key: value for key, value in wish.items() if value is not None}, bar)
        wait(argus, sent, patience_s, bar)
        known = References(references) if references else None
        if known:
            known.complete(argus, sent, reference, bar)
    figures = summary(sent, shape.duration_s, reference, known)
    name = name or policy
    show(Console(), name, figures)
    if out:
        run = {
            "trace": whole.name,
            "start_s": start_s,
            "duration_s": shape.duration_s,
            "scale_to": scale_to,
            "seed": seed,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"policies": {name: figures}, "run": run}, indent=1) + "\n", encoding="utf-8")


def _here() -> str:
    host = settings().host
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::', '') else host}:{settings().port}"


def _who_answers(argus: Argus) -> tuple[str, str]:
    """The reference level, and the policy in force (as set, while there is no plan)."""
    levels = argus.get("/v1/levels")["levels"]
    plan = argus.get("/v1/plan")["plan"]
    return next(level["id"] for level in levels if level["reference"]), plan["policy"] if plan else settings().policy
