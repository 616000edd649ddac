"""A file of 100,000 prompts beside interactive work: how long it takes, what it costs the web process and the others.

    python -m bench.big [--prompts 100000] [--minutes 3] [--share 0.3] [--write]

One Argus as `make up` starts it. Poisson arrivals of interactive requests at a share of the exact capacity for some
minutes; then the same arrivals again, and beside them the file, as JSON lines with ids and seeds of its own. Then the
job is paused, resumed and cancelled.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import requests
from rich.console import Console
from rich.progress import Progress

from bench.light_load import at_rate, one_at_a_time, worker_seconds
from bench.live.machine import hardware
from bench.neighbour import Neighbour, measure
from bench.own import keep, own_argus, own_home, peak_mb, run_of
from core.client import ArgusClient
from core.families import load_family
from core.settings import ROOT
from traces.replay.plan import read_prompts
from traces.replay.send import Sent

KEPT, PAGE = ROOT / "docs/results/big.json", ROOT / "docs/results/big.md"
AFTER_S = 5.0  # into the arrivals the file is sent
PATIENCE_S = 600.0
MB = 1e6
BETWEEN = {
    "routing": ("accepted_at", "routed_at"),
    "queue": ("routed_at", "started_at"),
    "decoding and storing": ("denoised_at", "stored_at"),
}
MEASURED = ("encode_s", "wait_s", "denoise_s", "decode_s")  # by the worker


def write_file(path: Path, prompts: Sequence[str], size: int) -> None:
    """So many prompts, a line each, all different."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(size):
            text = f"{prompts[number % len(prompts)]}, version {number // len(prompts)}"
            file.write(json.dumps({"prompt": text, "custom_id": f"row-{number}", "seed": number}) + "\n")


def web_process(home: Path) -> psutil.Process:
    """The process that takes the file."""
    children = json.loads((home / "run" / "argus.json").read_text())["children"]
    return psutil.Process(children["web"])


class Upload(threading.Thread):
    """Sends the file in the background, and keeps what became of it."""

    def __init__(self, client: ArgusClient, path: Path) -> None:
        super().__init__(daemon=True)
        self.client, self.path = client, path
        self.seconds, self.job = 0.0, dict[str, Any]()

    def run(self) -> None:
        time.sleep(AFTER_S)
        begun = time.monotonic()
        with self.path.open("rb") as file:
            answer = requests.post(f"{self.client.url}/v1/jobs/csv", files={"file": file}, timeout=PATIENCE_S)
        self.seconds = time.monotonic() - begun
        answer.raise_for_status()
        self.job = answer.json()


def moves(client: ArgusClient, job_id: str) -> dict[str, float]:
    """Seconds that each move of the whole job takes."""
    found = {}
    for name in ("pause", "resume", "cancel"):
        begun = time.monotonic()
        client.move(name, {}, job_id)
        found[name] = time.monotonic() - begun
    return found


def latencies(sent: Sequence[Sent]) -> dict[str, Any]:
    """Of those that were drawn, in seconds from the intended arrival."""
    known = [one.latency_s or 0.0 for one in sent if one.done]
    return {
        "requests": len(sent),
        "done": len(known),
        "p50_s": statistics.median(known),
        "p95_s": float(np.percentile(known, 95)),
        "late": sum(one.violated for one in sent) / len(sent),
        "stages": stages([one.row for one in sent if one.done]),
    }


def stages(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Median seconds of each stage of a request's life, as its record tells them."""
    found: dict[str, list[float]] = {}
    for row in rows:
        times, attempt = row["times"], row["attempts"][-1]
        for name, (since, until) in BETWEEN.items():
            span = datetime.fromisoformat(times[until]) - datetime.fromisoformat(times[since])
            found.setdefault(name, []).append(span.total_seconds())
        for name in MEASURED:
            found.setdefault(name.removesuffix("_s"), []).append(attempt[name])
    return {name: statistics.median(values) for name, values in found.items()}


def page(found: dict[str, Any]) -> str:
    """The page of the results."""
    run, machine, file = found["run"], found["hardware"], found["file"]
    alone, beside, neighbour = found["without"], found["with"], Neighbour(**found["neighbour"])
    rows = [
        f"| {name} | {part['requests']} | {part['done']} | {part['p50_s']:.2f} | {part['p95_s']:.2f} "
        f"| {part['late']:.1%} |"
        for name, part in (("without the file", alone), ("beside it", beside))
    ]
    moved = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in found["moves"].items())
    return "\n".join(
        [
            f"# A file of {file['prompts']:,} prompts",
            "",
            f"`{run['command']}`, {run['measured']}, commit {run['commit']}, family {run['family']}. Everything on "
            f"{machine['name']}, {machine['cores']} cores; load average before {run['load_before']:.2f}.",
            "",
            f"- Accepted in **{file['seconds']:.1f} s** ({file['mb']:.1f} MB of JSON lines), as one job.",
            f"- The web process had {file['before_mb']:.0f} MB before and **{file['peak_mb']:.0f} MB** at most.",
            f"- Interactive requests meanwhile ({run['share']:.0%} of the exact capacity, the same arrivals): p95 "
            f"**{beside['p95_s'] / alone['p95_s']:.2f}** of what it is without the file.",
            f"- Of that the machine's part: an image takes {neighbour.alone_s:.2f} s on one core, and "
            f"{neighbour.beside_s:.2f} s (**{neighbour.ratio:.2f}**) while the other core draws, without Argus between "
            "(`python -m bench.neighbour`).",
            f"- Moves of the whole job: {moved}.",
            "",
            "| interactive requests | sent | drawn | p50, s | p95, s | late |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "Median seconds by stage; *wait*: from the encoded prompt to the first step; *decode*: until the picture "
            "is there.",
            "",
            f"| | {' | '.join(alone['stages'])} |",
            "| --- |" + " --- |" * len(alone["stages"]),
            *(
                f"| {name} | " + " | ".join(f"{seconds:.3f}" for seconds in part["stages"].values()) + " |"
                for name, part in (("without the file", alone), ("beside it", beside))
            ),
            "",
        ]
    )


@click.command()
@click.option("--prompts", default=100_000, show_default=True, help="Lines of the file.")
@click.option("--minutes", default=3.0, show_default=True, help="Length of each part with arrivals.")
@click.option("--share", default=0.3, show_default=True, help="Arrivals as a share of the exact capacity.")
@click.option("--write", is_flag=True, help="Write docs/results/big.json and .md.")
def main(prompts: int, minutes: float, share: float, write: bool) -> None:
    """Say what a file of many prompts costs, and whom."""
    family = load_family("embedded")
    run = run_of("bench.big", family=family.id, share=share)
    known = read_prompts(ROOT / "profiles" / family.id / "quality.csv")
    with own_home("big") as home, own_argus(home) as client, Progress(console=Console(stderr=True)) as bar:
        path, web = home / "prompts.jsonl", web_process(home)
        write_file(path, known, prompts)
        per_minute = share * 60 / worker_seconds(one_at_a_time(client, known, bar))
        without = latencies(at_rate(client, per_minute, minutes, known, bar))
        before, upload = web.memory_info().rss / MB, Upload(client, path)
        upload.start()
        beside = latencies(at_rate(client, per_minute, minutes, known, bar))
        upload.join(PATIENCE_S)
        peak = peak_mb(web.pid)
        file = {"prompts": prompts, "mb": path.stat().st_size / MB, "seconds": upload.seconds, "peak_mb": peak}
        file["before_mb"] = before
        moved = moves(client, upload.job["id"])
    found = {"run": run, "hardware": hardware(), "file": file, "without": without, "with": beside, "moves": moved}
    found["neighbour"] = asdict(measure(family))
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
